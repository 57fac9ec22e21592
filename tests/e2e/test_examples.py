"""Every program of examples/ does what it says."""
import re
import time

import pytest
import websockets
from websockets.sync.client import connect

from programs import BIN, ROOT, Program, Site, run, wait_until
from wire import Client, ask


class Example(Program):
    """An example beside a site; what it needs of the site it finds where a --dev would."""

    def __init__(self, site, name, *arguments, home=None):
        super().__init__(f"example_{name}", arguments, site.folder, environment=home or home_of(site))

    def line(self, pattern, after=0):
        """The first match in its output past line `after`."""
        def found():
            for line in self.lines[after:]:
                match = re.search(pattern, line)
                if match:
                    return match
            assert self.process.poll() is None, self.log()
            return None
        return wait_until(found, f"{self.label}: {pattern}")

    def path(self):
        """Of the address it prints."""
        return self.line(r"http://[^/]*(/session/[^/]*)/").group(1)


def home_of(site):
    """XDG_STATE_HOME with the site's directory as the default one."""
    home = site.folder / "home"
    home.mkdir(exist_ok=True)
    if not (home / "tunnel2").exists():
        (home / "tunnel2").symlink_to(site.state)
    return {"XDG_STATE_HOME": str(home)}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("examples"))
    try:
        site.tunneld()
        site.proxyentry()
        site.server = f"https://{site.control}"
        yield site
    finally:
        site.close()


@pytest.fixture
def example(running):
    """Starts one; it is ended with the test, and no sanitizer may have anything to say."""
    started = []

    def start(name, *arguments, site=running, home=None):
        started.append(Example(site, name, *arguments, home=home))
        return started[-1]
    yield start
    for program in started:
        if program.process.poll() is None:
            program.kill()
        program.check_end()


def test_each_is_short_and_run_here():
    text = (ROOT / "tests/e2e/test_examples.py").read_text()
    for source in (ROOT / "examples").glob("*.c"):
        assert len(source.read_text().splitlines()) < 100, source
        assert f'"{source.stem}"' in text or f"example_{source.stem}" in text, source


def test_expose(running, example, origin):
    program = example("expose", origin.port, running.server)
    assert ask(running.public, "GET", program.path() + "/echo").status == 200
    given = example("expose", origin.port, running.server, running.state / "token", running.ca, home={"HOME": "/none"})
    assert ask(running.public, "GET", given.path() + "/echo").status == 200
    status, _, said = run("example_expose")
    assert status == 2 and said.startswith("usage: ")
    status, _, said = run("example_expose", "1", "https://127.0.0.1:1", "/none/token")
    assert status == 1 and "token file /none/token: " in said


def test_origin(running, example):
    program = example("origin", running.server)
    path = program.path()
    assert ask(running.public, "GET", path + "/a?b").body == b"GET /a?b with 0 bytes from 127.0.0.1\n"
    with Client(running.public) as client:
        assert client.ask("POST", path + "/", body=b"x" * 300000).body == b"POST / with 300000 bytes from 127.0.0.1\n"
    assert program.stop() == 0


def test_chat(running, example):
    program = example("chat", running.server)
    path = program.path()
    page = ask(running.public, "GET", path + "/")
    assert page.status == 200 and page.fields.get("content-type") == "text/html" and b"new WebSocket(" in page.body
    url = f"ws://{running.public[0]}:{running.public[1]}{path}/"
    with connect(url) as ann, connect(url) as bob:
        ann.send("hello")
        assert ann.recv(timeout=10) == bob.recv(timeout=10) == "hello"
        with connect(url) as eve:
            eve.send("späße")
            assert [one.recv(timeout=10) for one in (ann, bob, eve)] == ["späße"] * 3
        wait_until(lambda: "2 stay" in program.log(), "one leaves")
        bob.send("two")
        assert ann.recv(timeout=10) == "two"
        bob.send("x" * 4097)
        with pytest.raises(websockets.ConnectionClosed):
            bob.recv(timeout=10)  # its own "two"
            bob.recv(timeout=10)
        assert bob.close_code == 1009


def test_chat_in_a_browser(running, example):
    sync = pytest.importorskip("playwright.sync_api")
    url = f"http://{running.public[0]}:{running.public[1]}{example('chat', running.server).path()}/"
    with sync.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch()
        except sync.Error as missing:
            pytest.skip(str(missing))
        pages = [browser.new_page() for _ in range(2)]
        for page in pages:
            page.goto(url)
            page.wait_for_function("ws.readyState === 1")
        pages[0].fill("#line", "hello")
        pages[0].press("#line", "Enter")
        for page in pages:
            page.wait_for_selector("li:has-text('hello')")
        browser.close()


def test_server(tmp_path, example, origin):
    """All it takes is made by itself; a client of the programs uses it."""
    site = Site(tmp_path)
    try:
        home = {"XDG_STATE_HOME": str(tmp_path / "home")}
        server = example("server", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", site=site, home=home)
        control = server.line(r"control (https://\S+)").group(1)
        host, port = server.line(r"public http://(\S+):(\d+)").groups()
        client = example("expose", origin.port, control, site=site, home=home)
        assert ask((host, int(port)), "GET", client.path() + "/echo").status == 200
        assert server.stop() == 0
    finally:
        site.close()


def test_watch(tmp_path, example, origin):
    """The server goes and comes back: LOST, RETRYING, and REGISTERED and CONNECTED again."""
    site = Site(tmp_path)
    try:
        site.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0")
        site.programs[-1].stop()
        listen = site.control
        watch = example("watch", origin.port, f"https://{listen}", site=site)
        assert watch.line(r"RETRYING the control plane in \d+ ms: .*refused")
        public, uplink = "{}:{}".format(*site.public), "{}:{}".format(*site.uplink)
        server = site.tunneld("--entry", "--public", public, "--uplink", uplink, listen=listen)
        path = watch.line(r"READY http://[^/]*(/session/[^/]*)/").group(1)
        names = [line.split()[0] for line in watch.lines]
        assert names.index("REGISTERED") < names.index("CONNECTED") < names.index("READY")
        assert ask(server.public, "GET", path + "/echo").status == 200
        mark = len(watch.lines)
        server.kill()
        assert watch.line("LOST the control plane: ", mark) and watch.line("LOST (?!the control plane)", mark)
        assert watch.line(r"RETRYING .* in \d+ ms: ", mark)
        mark = len(watch.lines)
        server = site.tunneld("--entry", "--public", public, "--uplink", uplink, listen=listen)
        assert watch.line("REGISTERED ", mark) and watch.line("CONNECTED ", mark)
        assert ask(server.public, "GET", path + "/echo").status == 200
        assert watch.stop() == 0
        assert watch.lines[-2].startswith("DRAINING") and watch.lines[-1].startswith("ENDED")
    finally:
        site.close()


def test_frames():
    status, out, _ = run("example_frames")
    assert status == 0
    assert re.fullmatch(r"\d+ bytes\n21 degrees in the kitchen\n4 degrees in the cellar\n", out)


def test_device_does_not_grow(running, example):
    """After warm-up, ten thousand requests leave the high-water mark of the arena where it was."""
    path = example("device", running.server).path() + "/"

    def figures(response):
        arena, rss = re.match(rb"arena (\d+) of 1024 KiB, rss (\d+) KiB\n", response.body).groups()
        return int(arena), int(rss)

    def ask_many(count, together=10):
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        with Client(running.public) as client:
            for _ in range(count // together):
                client.send(request * together)
                for _ in range(together):
                    response = client.response()
                    assert response.status == 200
        return figures(response)

    started = time.monotonic()
    warm, warm_rss = ask_many(1000)
    arena, rss = ask_many(10000)
    print(f"arena {warm} KiB, then {arena} KiB; rss {warm_rss} KiB, then {rss} KiB; {time.monotonic() - started:.1f} s")
    assert arena == warm
    if b"__asan_init" not in (BIN / "example_device").read_bytes():
        assert rss <= warm_rss + 256
