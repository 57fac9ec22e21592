"""The examples do what they say."""
import signal
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect as ws_connect
from wire import ask

from conftest import ROOT, python

FOLDER = ROOT / "examples/python"


@pytest.fixture
def start(site):
    running = []

    def start(name, *operands):
        process = python(FOLDER / name, *operands, site.options["server"], site.state / "token", site.ca)
        running.append(process)
        return process
    yield start
    for process in running:
        process.kill()
        process.communicate()


def interrupt(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in err, err
    assert process.returncode == 0
    return out


def get(url, path=""):
    parts = urlsplit(url.strip())
    return ask((parts.hostname, parts.port), "GET", parts.path + path)


def test_forward(start, origin):
    process = start("forward.py", origin.target)
    assert get(process.stdout.readline(), "inspect").status == 200
    interrupt(process)


def test_forward_says_what_is_wrong(tmp_path, site):
    (tmp_path / "token").write_text("t" * 20)
    process = python(FOLDER / "forward.py", "80", site.options["server"], tmp_path / "token", site.ca)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and err.splitlines()[-1].startswith("the token was not accepted")


def test_flask_app(start):
    process = start("flask_app.py")
    url = process.stdout.readline()
    page = get(url).body.decode()
    assert page.startswith("hello 127.0.0.1, see /session/")
    assert get(url, "count/3").body == b"0\n1\n2\n"
    interrupt(process)


def test_asgi_app(start):
    process = start("asgi_app.py")
    url = process.stdout.readline().strip()
    assert b"new WebSocket" in get(url).body
    with ws_connect(url.replace("http", "ws", 1)) as a, ws_connect(url.replace("http", "ws", 1)) as b:
        a.send("hello")
        assert (a.recv(20), b.recv(20)) == ("hello", "hello")
    interrupt(process)


def test_events(start, origin):
    process = start("events.py", origin.target)
    lines = [process.stdout.readline() for _ in range(3)]
    assert [line.split()[0] for line in lines] == ["registered", "connected", "ready:"]
    assert "Stats(requests=0" in interrupt(process)
