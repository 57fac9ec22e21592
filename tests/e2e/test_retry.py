"""No request is lost that need not be, and none comes to an origin twice that may not: several clients of a session,
one of them killed, stopped or cut off under load; requests that wait for a client; an entry that has just started."""
import collections
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from origin import Origin
from programs import Site, wait_until
from wire import Client, Closed, ask

KILLS = int(os.environ.get("T2_KILLS", "100"))
KILL_SECONDS = 40  # a slow machine gets through fewer


class Counting(Origin):
    """An origin that counts which deliveries came: /deliver/ID takes some milliseconds to answer."""

    def __init__(self):
        super().__init__()
        self.delivered = collections.Counter()
        self._lock = threading.Lock()

    def _do_deliver(self, wire, sock, request, name):
        with self._lock:
            self.delivered[name] += 1
        time.sleep(0.005)
        self._send(sock, 200, name.encode())


class Askers:
    """Threads that ask without a pause, each request with an id of its own: (method, id, status, seconds, when)."""

    def __init__(self, address, path, methods):
        self.address, self.path = address, path
        self.done = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(method, f"{method.lower()}{i}"), daemon=True)
                         for i, method in enumerate(methods)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, method, name):
        client, number = None, 0
        while not self._stopping.is_set():
            number += 1
            one = f"{name}-{number}"
            begun = time.monotonic()
            try:
                client = client or Client(self.address, timeout=20)
                response = client.ask(method, f"{self.path}/deliver/{one}", body=b"x" * 100 if method == "POST" else b"")
                status = response.status if response.whole else "cut"
                if status == 200:
                    assert response.body == one.encode()
            except (OSError, Closed, ValueError) as error:
                status, client = repr(error), None
            self.done.append((method, one, status, time.monotonic() - begun, begun))

    def failures(self, method):
        return [one for one in self.done if one[0] == method and one[2] != 200]

    def check(self, delivered, within):
        """GETs never fail; a POST fails alone with a 502, soon, and none is delivered twice."""
        assert not self.failures("GET")
        for _, one, status, seconds, _ in self.failures("POST"):
            assert status == 502, (one, status)
            assert seconds < within, (one, seconds)
        twice = {one: times for one, times in delivered.items() if one.startswith("post") and times > 1}
        assert not twice
        missing = [one for method, one, status, _, _ in self.done if status == 200 and not delivered[one]]
        assert not missing


@pytest.fixture
def counting():
    origin = Counting()
    yield origin
    origin.close()


def entry_log(site):
    return site.programs[1].log()


# ---- clients that go without a word ----

def test_killed_clients_lose_only_what_was_under_way_and_nothing_is_delivered_twice(site, counting):
    site.all(counting)
    clients = [site.client, site.tunnelc(counting.target, session="main")]
    kills = 0
    with Askers(site.public, site.path(""), ["POST"] * 4 + ["GET"] * 2) as askers:
        end = time.monotonic() + KILL_SECONDS
        while kills < KILLS and time.monotonic() < end:
            clients.pop(0).kill()
            kills += 1
            clients.append(site.tunnelc(counting.target, session="main"))
    askers.check(counting.delivered, within=1)
    lost = len(askers.failures("POST"))
    print(f"{kills} kills, {len(askers.done)} requests, {lost} POSTs lost")
    assert kills >= 10
    assert lost <= 4 * kills
    assert "request is asked again" in entry_log(site)


# ---- clients that do not answer ----

def check_stalled(site, askers, stall, begun_at):
    """One client stops answering: the entry gives it up in time, and who is not on it notices nothing."""
    with askers:
        wait_until(lambda: len(askers.done) > 20, "requests under way")
        stall()
        stalled = time.monotonic()
        wait_until(lambda: "uplink of session main is gone" in entry_log(site)[begun_at:], "the uplink to be given up",
                   timeout=10)
        assert time.monotonic() - stalled < 5
        done = len(askers.done)
        wait_until(lambda: len(askers.done) > done + 20, "requests to go on")


def test_stopped_client_is_given_up_in_time(site, counting):
    site.all(counting)
    other = site.tunnelc(counting.target, session="main")
    askers = Askers(site.public, site.path(""), ["POST"] * 2 + ["GET"] * 4)
    try:
        check_stalled(site, askers, lambda: other.signal(signal.SIGSTOP), len(entry_log(site)))
    finally:
        mark = other.mark()
        other.signal(signal.SIGCONT)
    askers.check(counting.delivered, within=5.5)
    other.event("connected", after=mark)


def in_a_namespace(body):
    """Runs body in a thread whose network is its own: what it opens and starts is too. What it raises is raised."""
    libc = ctypes.CDLL(None, use_errno=True)
    raised = []

    def run():
        try:
            assert libc.unshare(0x40000000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNET
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            body()
        except BaseException as error:  # pylint: disable=broad-except
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def cut(port):
    """Drops whatever goes to or from that port."""
    for command in ("add table inet cut", "add chain inet cut both { type filter hook input priority 0; }",
                    f"add rule inet cut both tcp sport {port} drop", f"add rule inet cut both tcp dport {port} drop"):
        subprocess.run(["nft", command], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace is root's to make")
@pytest.mark.skipif(not shutil.which("nft") or not shutil.which("ip"), reason="nft and ip are needed")
def test_client_that_is_cut_off_is_given_up_in_time(tmp_path):
    def body():
        counting, site = Counting(), Site(tmp_path)
        try:
            site.all(counting)
            site.tunnelc(counting.target, session="main")
            log = entry_log(site)
            port = int(log[log.rindex("is up, from ") + len("is up, from "):].split()[0].rsplit(":", 1)[1].rstrip('"'))
            askers = Askers(site.public, site.path(""), ["POST"] * 2 + ["GET"] * 4)
            check_stalled(site, askers, lambda: cut(port), len(log))
            askers.check(counting.delivered, within=5.5)
            subprocess.run(["nft", "delete", "table", "inet", "cut"], check=True)
        finally:
            site.close()
            counting.close()

    in_a_namespace(body)
