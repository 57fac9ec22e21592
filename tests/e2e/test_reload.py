"""SIGHUP of a client: its files are read again, and what is under way goes on."""
import base64
import hashlib
import secrets
import signal
import threading

import pytest

from programs import DEADLINE, Site, wait_until
from test_drain import begin
from wire import Client, ask


def basic(text):
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


def reload(program):
    mark = program.mark()
    program.signal(signal.SIGHUP)
    return program.event("reloaded", after=mark)


class Asker:
    """Asks all the time, and notes each status that is none of those."""

    def __init__(self, site, *lines, right=(200,)):
        self.site, self.lines, self.right = site, lines, right
        self.done, self.wrong = 0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with Client(self.site.public) as client:
            while not self.stopping.wait(0.01):
                response = client.ask("GET", self.site.path("/bytes/50"), *self.lines)
                if response.status not in self.right:
                    self.wrong.append(response.status)
                self.done += 1

    def stop(self):
        self.stopping.set()
        self.thread.join(DEADLINE)


def test_a_password_is_changed_under_load(site, origin, tmp_path):
    """Uplinks are dialled anew for it: what is under way goes on, and nobody gets a 502."""
    file = tmp_path / "password"
    file.write_text("ann:one\n")
    site.tunneld()
    site.proxyentry()
    site.client = site.tunnelc(origin.target, "--basic-auth-file", file, "--uplinks", 3, session="main")
    site.session = "main"
    path = site.path("/echo")
    asker = Asker(site, basic("ann:one"), right=(200, 401, 429))  # 429: too many that are wrong
    client, pieces = begin(site, origin, "old", basic("ann:one"))
    for password in ("two", "three"):
        mark = site.client.mark()
        file.write_text(f"ann:{password}\n")
        assert reload(site.client)["ok"]
        wait_until(lambda: ask(site.public, "GET", path, basic(f"ann:{password}")).status == 200, "the new password")
        assert ask(site.public, "GET", path, basic("ann:one")).status == 401
        wait_until(lambda: [e["event"] for e in site.client.events[mark:]].count("connected") == 3, "three new uplinks")
    origin.gate("old").set()
    assert b"".join(pieces) == b"after"
    client.close()
    asker.stop()
    assert not asker.wrong and asker.done > 20, asker.wrong[:5]
    # The same once more changes nothing: no uplink is dialled.
    mark = site.client.mark()
    assert reload(site.client)["ok"]
    file.write_text("nobody\n")
    refused = reload(site.client)
    assert not refused["ok"] and "USER:PASSWORD" in refused["detail"]
    file.unlink()
    refused = reload(site.client)
    assert not refused["ok"] and str(file) in refused["detail"]
    assert ask(site.public, "GET", path, basic("ann:three")).status == 200
    assert not [e for e in site.client.events[mark:] if e["event"] != "reloaded"]


@pytest.fixture
def own(tmp_path):
    site = Site(tmp_path / "own", own=True)
    yield site
    site.close()


def test_a_token_is_changed_without_a_restart(own, origin):
    """In the control plane's file and in the client's, each with a SIGHUP."""
    tunneld = own.tunneld()
    own.proxyentry()
    own.session = "main"
    client = own.tunnelc(origin.target, session="main")
    asker = Asker(own)
    token = secrets.token_urlsafe(24)
    tokens = own.folder / "tokens"
    lines = [line for line in tokens.read_text().splitlines() if not line.startswith("alice ")]
    tokens.write_text("\n".join([*lines, f"alice client sha256:{hashlib.sha256(token.encode()).hexdigest()}"]) + "\n")
    assert reload(tunneld)["ok"]
    (own.folder / "alice.token").write_text("too short\n")
    assert not reload(client)["ok"]
    (own.folder / "alice.token").write_text(token + "\n")
    assert reload(client)["ok"]
    mark = client.mark()
    assert tunneld.stop() == 0
    own.tunneld(listen=own.control)
    client.event("registered", after=mark)  # the old one would be refused
    before = asker.done
    wait_until(lambda: asker.done > before + 10, "more requests")
    asker.stop()
    assert not asker.wrong, asker.wrong[:5]
