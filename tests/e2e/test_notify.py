"""What a service manager is told (sd_notify(3)): a test stands in for systemd's socket."""
import contextlib
import os
import signal
import socket
import time

import pytest

from programs import DEADLINE
from wire import Client


class Manager:
    """A unix socket whose name programs get that are started while it is `told`."""

    def __init__(self, name, monkeypatch):
        self.name = name
        self.monkeypatch = monkeypatch
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(DEADLINE)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)

    @contextlib.contextmanager
    def told(self):
        self.monkeypatch.setenv("NOTIFY_SOCKET", self.name)
        yield
        self.monkeypatch.delenv("NOTIFY_SOCKET")

    def next(self):
        """The assignments of the next datagram."""
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))

    def until(self, **wanted):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            said = self.next()
            if all(part in said.get(name, "") for name, part in wanted.items()):
                return said
        raise AssertionError(f"not told: {wanted}")

    def quiet(self):
        self.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.sock.recv(4096)
        self.sock.settimeout(DEADLINE)


@pytest.fixture
def managers(tmp_path, monkeypatch):
    made = []

    def make(abstract=False):
        made.append(Manager(f"@t2-test-{os.getpid()}-{len(made)}" if abstract else str(tmp_path / f"notify-{len(made)}"),
                            monkeypatch))
        return made[-1]
    yield make
    for manager in made:
        manager.sock.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_programs_say_when_they_are_ready_reload_and_stop(site, origin, managers, abstract):
    control, entry, client = (managers(abstract) for _ in range(3))
    with control.told():
        tunneld = site.tunneld()
    assert control.next() == {"READY": "1", "STATUS": "serving"}
    with entry.told():
        proxyentry = site.proxyentry()
    assert entry.next()["READY"] == "1"
    assert entry.until(STATUS="registered as east")["READY"] == "1"
    with client.told():
        tunnelc = site.tunnelc(origin.target, session="main")
    assert client.until(STATUS="session main is published")["READY"] == "1"
    for program, manager in ((tunneld, control), (proxyentry, entry), (tunnelc, client)):
        program.signal(signal.SIGHUP)
        before = time.monotonic_ns() // 1000
        said = manager.next()
        assert said["RELOADING"] == "1" and abs(int(said["MONOTONIC_USEC"]) - before) < DEADLINE * 1_000_000
        assert manager.next() == {"READY": "1"}
    for program, manager in ((tunnelc, client), (proxyentry, entry), (tunneld, control)):
        assert program.stop() == 0
        assert manager.next() == {"STOPPING": "1"}
        manager.quiet()


def test_ready_does_not_wait_for_who_is_not_there(site, origin, managers):
    """An entry serves without the control plane, and a client goes on trying: the boot does not wait for either."""
    entry, client = managers(), managers()
    site.tunneld().kill()
    with entry.told():
        site.proxyentry(registered=False)
    assert entry.next()["READY"] == "1"
    with client.told():
        site.tunnelc(origin.target, session="main", ready=False)
    said = client.next()
    assert said["READY"] == "1" and "no connection to the control plane" in said["STATUS"]
    site.tunneld(listen=site.control)
    client.until(STATUS="session main is published")


def test_a_handover_is_ready_when_it_serves_and_the_old_one_does_not_say_that_it_stops(site, origin, managers):
    old_manager, manager = managers(), managers()
    site.tunneld()
    with old_manager.told():
        old = site.proxyentry()
    old_manager.until(STATUS="registered")
    site.tunnelc(origin.target, session="main")
    with manager.told():
        new = site.proxyentry("--handover")
    new.event("serving")
    assert manager.next()["STATUS"] == "serving, in the place of another process"
    assert old.wait() == 0
    old_manager.quiet()


@pytest.mark.parametrize("name", ["", "@", "relative", "/nowhere/notify", "/" + "x" * 200, "full"])
def test_a_socket_that_is_of_no_use_is_no_obstacle(site, origin, managers, monkeypatch, name):
    if name == "full":  # nobody reads
        manager = managers()
        name = manager.name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    filler.sendto(b"x", name)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    site.all(origin)
    with Client(site.public) as client:
        assert client.ask("GET", site.path("/echo")).status == 200
