"""python -m tunnel2: the command line of tunnelc, and serve MODULE:APP."""
import json
import re
import signal
import time

import pytest
from programs import address, run
from wire import ask

import tunnel2
from conftest import python

APPS = '''
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"from " + __name__.encode()]

class Nested:
    @staticmethod
    async def asgi(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"asgi"})
'''


class Command:
    """One that is running."""

    def __init__(self, site, *arguments, **options):
        common = ["--server", site.options["server"], "--state-dir", site.state, "--log-level", "warn"]
        self.process = python("-m", "tunnel2", *arguments, *common, **options)

    def event(self, kind):
        """The next of that kind (--json)."""
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"no event {kind}: {self.process.stderr.read()[-4000:]}")

    def end(self, number=signal.SIGTERM):
        """(status, the rest of stdout, stderr)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def once(*arguments, **options):
    process = python("-m", "tunnel2", *arguments, **options)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_help_has_the_options_of_tunnelc():
    _, theirs, _ = run("tunnelc", "--help")
    status, ours, _ = once("--help")
    options = set(re.findall(r"^\s+(--[a-z-]+)", theirs, re.M)) - {"--admin", "--log-format"}
    assert status == 0 and options <= set(re.findall(r"--[a-z-]+", ours)), options - set(re.findall(r"--[a-z-]+", ours))


def test_version():
    assert once("--version")[:2] == (0, f"tunnel2 {tunnel2.__version__}\n")


@pytest.mark.parametrize("arguments, word", [
    ([], "COMMAND"), (["smtp", "25"], "smtp"), (["http"], "publish"), (["http", "80", "--colour"], "--colour"),
    (["http", "80", "--token", "short"], "token"), (["http", "80", "--token", "t" * 20, "--route", "x"], "--route"),
    (["http", "80", "--remote-port", "x"], "--remote-port"),
    (["tcp", "80", "--token", "t" * 20, "--remote-port", "70000"], "65535")])
def test_bad_usage_is_a_2(arguments, word):
    status, out, err = once(*arguments)
    assert (status, out) == (2, "") and word in err and "Traceback" not in err


@pytest.mark.parametrize("arguments, word", [
    (["http", "80", "--state-dir", "/nonexistent"], "/nonexistent"),
    (["serve", "no_such_module:app", "--token", "t" * 20], "no_such_module"),
    (["serve", "json:no_such_app", "--token", "t" * 20], "no_such_app")])
def test_what_cannot_be_done_is_a_1(arguments, word):
    status, out, err = once(*arguments)
    assert (status, out) == (1, "") and word in err and "Traceback" not in err


def test_http_and_its_events(site, origin):
    command = Command(site, "http", origin.target, "--json", "--session", "cli", "--add-header", "X-Added: a:b",
                      "--route", "/other=127.0.0.1:9")
    assert command.event("registered")["session"] == "cli"
    ready = command.event("ready")
    assert ready["session"] == "cli" and len(ready["urls"]) == 2
    assert ask(site.public, "GET", "/session/cli/inspect").status == 200
    assert origin.requests_for("/inspect")[-1].fields.get("x-added") == "a:b"
    assert ask(site.public, "GET", "/session/cli/other").status == 502
    status, out, _ = command.end()
    assert status == 0 and [json.loads(line)["event"] for line in out.splitlines()] == ["draining", "ended"]


def test_files_for_a_person(site, tmp_path):
    (tmp_path / "a.txt").write_text("a file")
    command = Command(site, "files", tmp_path)
    assert re.fullmatch(r"session [0-9a-f-]{36} is published:\n", command.process.stdout.readline())
    url = command.process.stdout.readline().strip()
    host, path = url.removeprefix("http://").split("/", 1)
    assert ask(address(host), "GET", f"/{path}a.txt").body == b"a file"
    assert command.end()[0] == 0


def test_tcp_and_udp(site):
    for kind in ("tcp", "udp"):
        command = Command(site, kind, "9", "--json")
        assert command.event("ready")["urls"][0].startswith(f"{kind}://")
        assert command.end()[0] == 0


@pytest.mark.parametrize("name, body", [("apps", b"from apps"), ("apps:Nested.asgi", b"asgi")])
def test_serve_an_app(site, tmp_path, name, body):
    (tmp_path / "apps.py").write_text(APPS)
    command = Command(site, "serve", name, "--json", "--session", "apps", "--app-dir", tmp_path)
    command.event("ready")
    assert ask(site.public, "GET", "/session/apps/").body == body
    assert command.end()[0] == 0


def test_ctrl_c_ends_it_at_once(site, origin):
    command = Command(site, "http", origin.target, "--json")
    command.event("ready")
    began = time.monotonic()
    status, _, err = command.end(signal.SIGINT)
    assert time.monotonic() - began < 3 and status == 130 and err == ""


def test_what_ends_it_for_good_is_a_1(site):
    status, out, err = once("http", "80", "--server", site.options["server"], "--ca", site.ca, "--token", "t" * 20)
    assert status == 1 and "Traceback" not in err and err.splitlines()[-1].startswith("tunnel2: ")
    assert not out
