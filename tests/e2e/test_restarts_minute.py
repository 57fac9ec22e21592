"""Every kind of restart again and again through a minute of steady load, all kinds at once, each on a site of its own:
0 requests fail, and no WebSocket ends before the time for draining has. T2_RESTART_SECONDS: how long (60)."""
import os
import signal
import threading
import time

import pytest

import certificates
from activation import Activation
from api import call
from programs import DEADLINE, Site, wait_until
from steady import Steady
from websocket_origin import WebSocketOrigin

SECONDS = float(os.environ.get("T2_RESTART_SECONDS", "60"))
DRAIN = ("--drain-timeout", str(int(SECONDS) + 120))  # the load ends before it does
PAUSE = 4.0  # of load alone, between restarts
PATIENCE = 2 * DEADLINE  # for one step, on a machine that does much else
ENTRY = ("--entry", "--entry-id", "east", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0")


class Kind:
    """One kind of restart: `start` makes the site, each `restart` is one of them, under `load`."""

    def __init__(self, site, origin, sockets):
        self.site, self.origin, self.sockets = site, origin, sockets
        self.restarts = 0
        self.load = self.problem = None

    def serve(self, websockets=True):
        """Two clients of each session, and a load that leaves the machine to what is tested."""
        self.clients = [self.client(n) for n in range(4 if websockets else 2)]
        self.load = Steady(self.site.public, "/session/main/bytes/100", "/session/sockets/" if websockets else None,
                           threads=1, websockets=8, pause=0.1, beat=0.25, timeout=DEADLINE)

    def client(self, number):
        target, session = (self.origin.target, "main") if number < 2 else (self.sockets.port, "sockets")
        return self.site.tunnelc(target, *DRAIN, session=session)

    def run(self):
        try:
            self.start()
            with self.load as load:
                wait_until(load.ready, "a load", PATIENCE)
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    self.restart()
                    self.restarts += 1
                    pause, before = time.monotonic() + PAUSE, load.total()
                    wait_until(lambda: time.monotonic() > pause and load.total() > before + 20, "more load", PATIENCE)
        except Exception as problem:  # noqa: BLE001 - said by the test's own thread
            self.problem = problem

    def __str__(self):
        load = self.load
        if not load:
            return f"{type(self).__name__}: no load"
        return (f"{type(self).__name__:<20} {self.restarts:3} restarts, {load.total():6} requests, "
                f"{len(load.failures)} failed, slowest {load.slowest:.3f} s, {load.open_websockets} WebSockets")


class Clients(Kind):
    """One after another of four clients of two sessions, SIGTERM and a new one."""

    def start(self):
        self.site.tunneld()
        self.site.proxyentry()
        self.serve()

    def restart(self):
        number = self.restarts % len(self.clients)
        old = self.clients[number]
        old.signal()
        old.event("draining", timeout=PATIENCE)
        if number < 2:  # the others' WebSockets go on
            assert old.wait(PATIENCE) == 0
        self.clients[number] = self.client(number)


class Entry(Kind):
    """proxyentry --handover."""

    def start(self):
        self.site.tunneld()
        self.running = self.site.proxyentry(*DRAIN)
        self.serve()

    def restart(self):
        old, self.running = self.running, self.site.proxyentry("--handover", *DRAIN)
        self.running.event("serving", timeout=PATIENCE)
        old.event("draining", timeout=PATIENCE)


class EntryOfSystemd(Kind):
    """systemctl restart proxyentry, whose sockets systemd keeps: the old process ends, and then the new one begins."""

    def start(self):
        self.activation = Activation()
        self.site.tunneld()
        self.running = self.activation.start(self.site)
        self.serve(websockets=False)

    def restart(self):
        assert self.running.stop(PATIENCE) == 0
        self.running = self.activation.start(self.site)


class ControlPlane(Kind):
    """tunneld, in turns by --handover, and SIGTERM and a new one."""

    def start(self):
        self.running = self.site.tunneld()
        self.entry = self.site.proxyentry()
        self.serve()

    def restart(self):
        mark, old, site = self.entry.mark(), self.running, self.site
        if self.restarts % 2:
            assert old.stop(PATIENCE) == 0
        self.running = site.tunneld(*(() if self.restarts % 2 else ("--handover",)), listen=site.control)
        self.entry.event("registered", after=mark, timeout=PATIENCE)
        assert old.wait(PATIENCE) == 0


class BothInOne(Kind):
    """tunneld --entry --handover."""

    def start(self):
        self.running = self.site.tunneld(*ENTRY, *DRAIN)
        self.serve()

    def restart(self):
        old, self.running = self.running, self.site.tunneld(*ENTRY, "--handover", *DRAIN)
        self.running.event("serving", timeout=PATIENCE)
        old.event("draining", timeout=PATIENCE)


class Reload(Kind):
    """A new key for tickets (which live for seconds), a new certificate and new limits, and SIGHUP of all."""

    def start(self):
        self.rotated = 0
        self.limits = self.site.folder / "limits"
        self.limits.write_text("")
        self.site.tunneld("--ticket-seconds", 8)
        self.site.proxyentry("--limits-file", self.limits)
        self.serve()

    def restart(self):
        site = self.site
        status = call(site, "POST", "/v1/keys", token=site.token_of("root")).status
        assert status in (200, 201, 409)  # 409: as many as may be are still needed
        self.rotated += status != 409
        certificates.issue(site.folder, "ca", "server")
        self.limits.write_text(f"session-requests-rate {1000 + self.restarts}\nheader-timeout {20 + self.restarts}\n")
        for program in site.programs:
            mark = program.mark()
            program.signal(signal.SIGHUP)
            said = program.event("reloaded", after=mark, timeout=PATIENCE)
            assert said["ok"], said


KINDS = (Clients, Entry, EntryOfSystemd, ControlPlane, BothInOne, Reload)


@pytest.fixture
def sites(tmp_path):
    """One for each kind; their clients know no other."""
    sites = [Site(tmp_path / kind.__name__, own=kind is Reload, log_level="info") for kind in KINDS]
    yield sites
    threads = [threading.Thread(target=site.close) for site in sites]
    problems = []
    threading.excepthook, hook = lambda arguments: problems.append(arguments.exc_value), threading.excepthook
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threading.excepthook = hook
    assert not problems, "\n".join(map(str, problems))


@pytest.fixture
def sockets():
    origin = WebSocketOrigin()
    yield origin
    origin.close()


@pytest.mark.timeout(SECONDS + 400)
def test_no_request_fails_through_a_minute_of_restarts(sites, origin, sockets):
    kinds = [kind(site, origin, sockets) for kind, site in zip(KINDS, sites, strict=True)]
    threads = [threading.Thread(target=kind.run) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(map(str, kinds)))
    for kind in kinds:
        failures = kind.load.failures if kind.load else []
        assert not failures, f"{type(kind).__name__}: {len(failures)} of {kind.load.total()} failed: {failures[:8]}"
        assert kind.problem is None, f"{type(kind).__name__}: {kind.problem!r}"
        assert kind.restarts >= 3, f"{kind}"
