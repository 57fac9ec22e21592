"""No request is lost that need not be, and none comes to an origin twice that may not: several clients of a session,
one of them killed, stopped or cut off under load; requests that wait for a client; an entry that has just started."""
import collections
import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest

import ptth_client
from api import register
from origin import Origin
from programs import Site, wait_until
from shared_socket import SharedSocket
from wire import Client, Closed, ask

KILLED, STALL = 10, 15  # seconds, at most, of a machine with other things to do: 1 and 5 on one without
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
        slowest = 0
        assert not self.failures("GET")
        for _, one, status, seconds, _ in self.failures("POST"):
            assert status == 502, (one, status)
            assert seconds < within, (one, seconds)
            slowest = max(slowest, seconds)
        print(f"the slowest 502: {slowest:.2f} s")
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
    askers.check(counting.delivered, within=KILLED)
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
                   timeout=30)
        print(f"given up after {time.monotonic() - stalled:.1f} s")  # 4 s and what the machine adds
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
    askers.check(counting.delivered, within=STALL)
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
            askers.check(counting.delivered, within=STALL)
            subprocess.run(["nft", "delete", "table", "inet", "cut"], check=True)
        finally:
            site.close()
            counting.close()

    in_a_namespace(body)


# ---- requests that wait ----

class Narrow:
    """A client that is not ours, with room for one request at a time, which is answered when `gate` is set."""

    def __init__(self, site, session, room=1):
        given = register(site, session)
        self.gate = threading.Event()
        self.asked = []
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.http.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: room})
        context = ssl.create_default_context(cafile=str(site.ca))
        sock, rest = ptth_client.attach(given["entries"][0]["uplink"], context, given["ticket"])
        self.sock = SharedSocket(sock)
        self.lock = threading.Lock()
        self.settled = threading.Event()
        self.http.initiate_connection()
        self.sock.sendall(self.http.data_to_send())
        self.thread = threading.Thread(target=self._serve, args=(rest,), daemon=True)
        self.thread.start()
        assert self.settled.wait(30), "SETTINGS are not acknowledged"  # h2 takes the first acknowledgement for the last

    def allow(self, room):
        """Says how many requests it takes at once from now on."""
        with self.lock:
            self.http.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: room})
            self.sock.sendall(self.http.data_to_send())

    def _answer(self, stream):
        self.gate.wait(30)
        try:
            with self.lock:
                self.http.send_headers(stream, [(":status", "200")])
                self.http.send_data(stream, b"narrow", end_stream=True)
                self.sock.sendall(self.http.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass  # nobody waits for it any more

    def _serve(self, data):
        try:
            while True:
                with self.lock:
                    events = self.http.receive_data(data) if data else []
                    self.sock.sendall(self.http.data_to_send())
                for event in events:
                    if isinstance(event, h2.events.SettingsAcknowledged):
                        self.settled.set()
                    elif isinstance(event, h2.events.RequestReceived):
                        self.asked.append(dict(event.headers)[":path"])
                        threading.Thread(target=self._answer, args=(event.stream_id,), daemon=True).start()
                data = self.sock.recv(65536)
                if not data:
                    return
        except (OSError, h2.exceptions.ProtocolError):
            pass

    def close(self):
        """The thread first: the number of a closed socket is soon another's."""
        self.gate.set()
        self.sock.shutdown()
        self.thread.join()
        self.sock.close()


class Later(threading.Thread):
    """A request in a thread of its own: its answer, and how long that took."""

    def __init__(self, address, path):
        super().__init__(daemon=True)
        self.address, self.path, self.answer = address, path, None
        self.start()

    def run(self):
        begun = time.monotonic()
        self.answer = ask(self.address, "GET", self.path)
        self.seconds = time.monotonic() - begun

    def wait(self):
        self.join(30)
        return self.answer


@pytest.fixture
def narrow(site):
    site.tunneld()
    site.proxyentry("--queue-max", "3", "--queue-timeout", "2")
    client = Narrow(site, "narrow")
    wait_until(lambda: "uplink of session narrow is up" in entry_log(site), "the uplink")
    yield client
    client.close()


@pytest.mark.skipif("T2_ENTRY_WORKERS" in os.environ, reason="each worker has a share of the queue, and an order of its own")
def test_requests_wait_in_their_order_for_room(site, narrow):
    first = Later(site.public, "/session/narrow/0")
    wait_until(lambda: narrow.asked, "the first request")
    others = []
    for i in range(1, 4):
        others.append(Later(site.public, f"/session/narrow/{i}"))
        time.sleep(0.1)  # so that their order is known
    assert narrow.asked == ["/0"]
    full = Later(site.public, "/session/narrow/full").wait()  # the queue has three places
    assert full.status == 503 and int(full.fields.get("retry-after")) >= 1
    narrow.gate.set()
    assert [one.wait().status for one in [first, *others]] == [200] * 4
    assert narrow.asked == ["/0", "/1", "/2", "/3"]


def test_request_that_has_waited_long_enough_is_503(site, narrow):
    Later(site.public, "/session/narrow/0")
    wait_until(lambda: narrow.asked, "the first request")
    waiting = Later(site.public, "/session/narrow/1")
    answer = waiting.wait()
    assert answer.status == 503 and int(answer.fields.get("retry-after")) >= 1
    assert 1.9 < waiting.seconds < 4
    assert narrow.asked == ["/0"]


def test_who_gives_up_leaves_the_queue(site, narrow):
    first = Later(site.public, "/session/narrow/0")
    wait_until(lambda: narrow.asked, "the first request")
    with Client(site.public) as leaver:
        leaver.request("GET", "/session/narrow/left")
        time.sleep(0.2)  # it waits: nothing shows it from outside
    last = Later(site.public, "/session/narrow/2")
    narrow.gate.set()
    assert first.wait().status == 200 and last.wait().status == 200
    assert narrow.asked == ["/0", "/2"]


def test_client_without_any_room_is_waited_for(site, narrow):
    narrow.gate.set()
    narrow.allow(0)
    wait_until(lambda: ask(site.public, "GET", "/session/narrow/x").status == 503, "nobody to have room")
    waiting = Later(site.public, "/session/narrow/y")
    time.sleep(0.3)
    assert waiting.answer is None
    narrow.allow(5)
    assert waiting.wait().status == 200


def test_client_without_room_is_passed_over_for_another(site, narrow, counting):
    narrow.gate.set()
    narrow.allow(0)
    site.tunnelc(counting.target, session="narrow")
    wait_until(lambda: ask(site.public, "GET", "/session/narrow/echo").body == b"", "the other client to answer")
    before = len(narrow.asked)
    for _ in range(20):
        assert ask(site.public, "GET", "/session/narrow/echo").status == 200
    assert len(narrow.asked) == before


def test_session_whose_client_is_gone_for_a_moment_is_waited_for(site, counting):
    site.all(counting)
    site.client.kill()
    wait_until(lambda: "uplink of session main is gone" in entry_log(site), "the uplink to be gone")
    waiting = Later(site.public, site.path("/deliver/one"))
    site.tunnelc(counting.target, session="main")
    assert waiting.wait().status == 200


# ---- requests that belong together ----

@pytest.mark.parametrize("option, line", [("--sticky-cookie", "Cookie: other=1; user={}"),
                                          ("--sticky-header", "User: {}")])
def test_requests_with_the_same_value_go_to_the_same_client(site, counting, origin, option, line):
    site.all(counting, option, "user")
    other = site.tunnelc(origin.target, option, "user", session="main")

    def who(value):
        before = len(origin.requests)
        assert ask(site.public, "GET", site.path("/echo"), line.format(value)).status == 200
        return len(origin.requests) > before

    first = {value: who(value) for value in range(30)}
    assert 0 < sum(first.values()) < 30  # both have some
    assert all(who(value) == by_other for value, by_other in first.items() for _ in range(3))
    other.kill()
    assert not any(who(value) for value in first)  # each with whom there is


# ---- an entry that has just started ----

def restarted(site, *arguments):
    """The entry, killed and started again on its ports; its clients are not back yet."""
    entry = site.programs[1]
    entry.kill()
    again = site.proxyentry(*arguments, public="%s:%d" % entry.public, uplink="%s:%d" % entry.uplink, registered=False)
    return again


def test_requests_right_after_a_start_wait_for_their_session(site, counting):
    site.all(counting)
    restarted(site)
    by_path, by_name = Later(site.public, site.path("/deliver/a")), None
    with Client(site.public) as client:
        by_name = client.ask("GET", "/deliver/b", host="main.localhost")
    assert by_path.wait().status == 200
    assert by_name.status == 200 and by_name.body == b"b"


def test_guard_of_a_session_that_comes_later_is_asked(site, counting):
    site.all(counting, "--basic-auth", "user:secret")
    restarted(site)
    without = Later(site.public, site.path("/deliver/a"))
    with Client(site.public) as client:
        right = client.ask("GET", site.path("/inspect"), "Authorization: Basic dXNlcjpzZWNyZXQ=")
    assert right.status == 200 and b"authorization" not in right.body.lower()
    assert without.wait().status == 401
    assert "basic" in without.answer.fields.get("www-authenticate").lower()
    assert not counting.delivered


def test_unknown_session_is_404_after_the_wait_and_at_once_later(site, counting):
    site.tunneld()
    site.proxyentry("--queue-timeout", "1", "--start-grace", "2")
    begun = time.monotonic()
    assert ask(site.public, "GET", "/session/nobodys/").status == 404
    assert time.monotonic() - begun > 0.9
    assert ask(site.public, "GET", "/").status == 404  # the address of none
    wait_until(lambda: time.monotonic() - begun > 2.2, "the end of the grace")
    late = time.monotonic()
    assert ask(site.public, "GET", "/session/nobodys/").status == 404
    assert time.monotonic() - late < 0.5
