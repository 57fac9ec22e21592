"""UDP sessions: a port at the entry, every remote address on it a flow to the target (raw sockets, dig)."""
import functools
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

import api
import ports
import tcp
import tickets
from programs import BIN_RELEASE, Site, wait_until

MIB = 1 << 20
PORTS = 20


def bound(port=0):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


class UdpOrigin:
    """Answers each datagram with what `answer` makes of it (None: not at all), and notes who asked."""

    def __init__(self, answer=lambda data: data, port=0):
        self.sock = bound(port)
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        self.target = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.answer = answer
        self.askers = {}  # address: datagrams
        self.closed = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closed:
            data, asker = self.sock.recvfrom(65536)
            if self.closed:
                return
            self.askers[asker] = self.askers.get(asker, 0) + 1
            answer = self.answer(data)
            if answer is not None:
                self.sock.sendto(answer, asker)

    def close(self):
        self.closed = True
        with bound() as sock:
            sock.sendto(b"", self.sock.getsockname())
        self.thread.join(5)
        self.sock.close()


@pytest.fixture
def echo():
    origin = UdpOrigin()
    yield origin
    origin.close()


def udp_site(site, count=PORTS, *arguments):
    """tunneld and an entry with so many ports."""
    site.first = ports.free(count, socket.SOCK_DGRAM)
    site.last = site.first + count - 1
    site.tunneld()
    site.entry = site.proxyentry("--udp-ports", f"{site.first}-{site.last}", *arguments)
    return site


@pytest.fixture
def udp(site):
    return udp_site(site)


publish = functools.partial(tcp.publish, kind="udp")


def connect(client):
    sock = bound()
    sock.connect(client.address)
    return sock


def ask(sock, data):
    sock.send(data)
    return sock.recv(65536)


def is_bound(where):
    """Has somebody bound the port?"""
    try:
        bound(where[1]).close()
    except OSError:
        return True
    return False


def active(site):
    """Exchanges under way at the entry."""
    entry, = api.call(site, "GET", "/v1/entries", token=site.token).json["entries"]
    return entry["active"]


# ---- Datagrams ----

def test_datagrams_of_every_size_come_back(udp, echo):
    client = publish(udp, echo.target)
    assert udp.first <= client.address[1] <= udp.last
    with connect(client) as sock:
        for size in (0, 1, 62, 63, 64, 512, 1200, 1472, 1473, 9000, 16382, 16383, 16384, 40000, 65000, 65507):
            data = os.urandom(size)
            assert ask(sock, data) == data
    assert len(echo.askers) == 1


def test_boundaries_are_kept(udp, echo):
    client = publish(udp, echo.target)
    with connect(client) as sock:
        ask(sock, b"first")
        sent = [b"%d" % i * (i + 1) for i in range(50)]
        for data in sent:
            sock.send(data)
        assert [sock.recv(65536) for _ in sent] == sent


def test_200_remote_addresses_at_once(udp, echo):
    client = publish(udp, echo.target)
    socks = [connect(client) for _ in range(200)]
    for round_ in range(3):
        for i, sock in enumerate(socks):
            sock.send(b"%d/%d" % (round_, i))
        for i, sock in enumerate(socks):
            assert sock.recv(100) == b"%d/%d" % (round_, i)
    for sock in socks:
        sock.close()
    assert len(echo.askers) == 200  # each a socket of its own


def test_only_addresses_that_may_ask_are_heard(udp, echo):
    client = publish(udp, echo.target, "--allow-ip", "203.0.113.0/24", "--allow-ip", "127.0.0.2")
    with bound() as sock:
        sock.settimeout(0.5)
        for _ in range(3):
            sock.sendto(b"from 127.0.0.1", client.address)
        with pytest.raises(TimeoutError):
            sock.recvfrom(100)
    assert not echo.askers
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.2", 0))
        sock.settimeout(10)
        sock.sendto(b"from 127.0.0.2", client.address)
        assert sock.recvfrom(100)[0] == b"from 127.0.0.2"


def test_a_name_is_a_target(udp, echo):
    client = publish(udp, "localhost:" + echo.target.rsplit(":", 1)[1])
    with connect(client) as sock:
        assert ask(sock, b"hello") == b"hello"


def test_an_origin_that_comes_later(udp):
    port = ports.free(1, socket.SOCK_DGRAM)
    client = publish(udp, port)
    with connect(client) as sock:
        sock.settimeout(0.3)
        for _ in range(3):
            with pytest.raises(socket.timeout):
                ask(sock, b"anybody?")
        origin = UdpOrigin(port=port)
        sock.settimeout(10)
        assert ask(sock, b"hello") == b"hello"
        origin.close()
    assert "datagrams do not arrive" in client.log()


def test_a_name_that_does_not_resolve_is_not_asked_for_each_datagram(udp):
    client = publish(udp, "nowhere.invalid:53")
    with connect(client) as sock:
        for _ in range(100):
            sock.send(b"x")
        wait_until(lambda: "datagrams do not arrive" in client.log(), "the client says so", every=0.1)
        time.sleep(0.5)
    assert active(udp) == 0


# ---- Flows end ----

def test_an_idle_flow_ends(site, echo):
    udp_site(site, PORTS, "--udp-idle-timeout", "1")
    client = publish(site, echo.target)
    with connect(client) as sock:
        ask(sock, b"one")
        ask(sock, b"two")
        assert len(echo.askers) == 1
        time.sleep(2.5)
        assert ask(sock, b"three") == b"three"
    assert len(echo.askers) == 2  # by another socket


def test_a_flow_in_use_does_not_end(site, echo):
    udp_site(site, PORTS, "--udp-idle-timeout", "1")
    client = publish(site, echo.target)
    with connect(client) as sock:
        for _ in range(12):
            ask(sock, b"x")
            time.sleep(0.25)
    assert len(echo.askers) == 1


def test_the_flow_that_is_idle_longest_makes_room(site, echo):
    udp_site(site, PORTS, "--udp-flows", "10")
    client = publish(site, echo.target)
    socks = [connect(client) for _ in range(10)]
    for sock in socks:
        ask(sock, b"x")
    with connect(client) as late:
        late.settimeout(0.3)
        with pytest.raises(socket.timeout):  # all the others are in use
            ask(late, b"x")
        time.sleep(1)
        for sock in socks[1:]:
            ask(sock, b"x")
        late.settimeout(10)
        assert ask(late, b"late") == b"late"
        for sock in socks[1:]:
            assert ask(sock, b"still") == b"still"
    assert len(echo.askers) == 11
    for sock in socks:
        sock.close()


def test_another_client_goes_on_when_one_dies(udp, echo):
    one = publish(udp, echo.target)
    with connect(one) as sock:
        ask(sock, b"x")
        two = publish(udp, echo.target)
        assert two.address == one.address
        one.kill()

        def answered():
            sock.settimeout(0.3)
            try:
                return ask(sock, b"y") == b"y"
            except socket.timeout:
                return False
        wait_until(answered, "the other client answers")


def flood(client, seconds, size, socks=20):
    """Datagrams from many addresses as fast as they go: how many."""
    sent, end = 0, time.monotonic() + seconds
    held = [connect(client) for _ in range(socks)]
    data = b"x" * size
    while time.monotonic() < end:
        for sock in held:
            try:
                sock.send(data)
                sent += 1
            except OSError:
                pass
    for sock in held:
        sock.close()
    return sent


@pytest.mark.parametrize("size", [1, 1200, 60000])
def test_a_flood_is_bounded(tmp_path, size):
    """By a client that stands still: what can't be passed on is dropped, not kept."""
    site = Site(tmp_path, binaries=BIN_RELEASE)
    origin = UdpOrigin(lambda data: None)
    try:
        udp_site(site)
        client = publish(site, origin.target)
        with connect(client) as sock:
            sock.send(b"first")
            wait_until(lambda: origin.askers, "a flow is open")
        client.process.send_signal(19)  # SIGSTOP
        before = site.entry.rss_peak()
        assert flood(client, 4, size) > 1000
        client.process.send_signal(18)
        grown = site.entry.rss_peak() - before
        assert grown < 48 * MIB, f"{grown / MIB:.1f} MiB"
        wait_until(lambda: "datagrams were dropped" in site.entry.log(), "what was dropped is said", every=0.5)
        with connect(client) as sock:
            count = len(origin.askers)
            sock.send(b"after")
            wait_until(lambda: len(origin.askers) > count, "it goes on")
    finally:
        origin.close()
        site.close()


def test_a_flood_of_addresses_is_bounded(udp, echo):
    client = publish(udp, echo.target)
    for _ in range(4):
        socks = [connect(client) for _ in range(300)]
        for sock in socks:
            sock.send(b"x")
        time.sleep(0.3)
        for sock in socks:
            sock.close()
    assert active(udp) <= 1000
    with connect(client) as sock:
        def answered():
            sock.settimeout(0.3)
            try:
                return ask(sock, b"y") == b"y"
            except socket.timeout:
                return False
        wait_until(answered, "a new address has its turn")


# ---- Ports ----

def test_the_port_asked_for_is_given(udp, echo):
    client = publish(udp, echo.target, "--remote-port", udp.first + 7)
    assert client.address == ("127.0.0.1", udp.first + 7)
    assert client.event("connected")["url"] == f"udp://127.0.0.1:{udp.first + 7}"
    claims = tickets.claims(api.register(udp, "main", kind="udp", remote_port=udp.first + 7)["ticket"])
    assert (claims["t2_kind"], claims["t2_port"]) == ("udp", udp.first + 7)


def test_a_port_is_kept_over_a_clients_restart(udp, echo):
    client = publish(udp, echo.target)
    client.kill()
    assert publish(udp, echo.target).address == client.address


def refusal(client):
    return client.event("retrying", entry="east")["reason"]


def test_a_port_of_another_session_or_program_is_refused(udp, echo):
    publish(udp, echo.target, "--remote-port", udp.first, session="one")
    two = publish(udp, echo.target, "--remote-port", udp.first, session="two", ready=False)
    assert "is another session's" in refusal(two)
    with bound(udp.first + 1):
        three = publish(udp, echo.target, "--remote-port", udp.first + 1, session="three", ready=False)
        assert "not to be had" in refusal(three)
    four = publish(udp, echo.target, "--remote-port", udp.last + 1, session="four", ready=False)
    assert "which UDP sessions have here" in refusal(four)


def test_an_entry_without_ports_refuses(site, echo):
    site.tunneld()
    site.proxyentry()
    client = publish(site, echo.target, ready=False)
    assert "no ports for UDP sessions" in refusal(client)


def test_the_end_of_a_session_closes_its_port(udp, echo):
    client = publish(udp, echo.target)
    with connect(client) as sock:
        ask(sock, b"x")
        assert is_bound(client.address)
        assert api.call(udp, "DELETE", "/v1/sessions/main", token=udp.token).status == 204
    client.expected_end = 1
    client.wait()
    wait_until(lambda: not is_bound(client.address), "the port is closed")


def test_a_client_that_leaves_in_order_gives_its_own_sessions_port_back(udp, echo):
    client = publish(udp, echo.target, session=None)
    with connect(client) as sock:
        ask(sock, b"x")
        began = time.monotonic()
        client.stop()  # it does not wait for flows
        assert time.monotonic() - began < 8
    wait_until(lambda: not is_bound(client.address), "the port is closed")


def test_a_draining_entry_does_not_wait_for_flows(udp, echo):
    client = publish(udp, echo.target)
    with connect(client) as sock:
        ask(sock, b"x")
        began = time.monotonic()
        udp.entry.stop()
        assert time.monotonic() - began < 8
    assert not is_bound(client.address)


# ---- Beside the others ----

def test_tcp_and_udp_ports_are_apart(site, echo):
    first = ports.free(1, socket.SOCK_DGRAM)
    site.tunneld()
    site.proxyentry("--udp-ports", first, "--tcp-ports", first)
    client = publish(site, echo.target, session="names")
    tcp = site.tunnelc(echo.target, session="conns", command="tcp")
    assert client.ready["urls"] == [f"udp://127.0.0.1:{first}"] and tcp.ready["urls"] == [f"tcp://127.0.0.1:{first}"]
    with connect(client) as sock:
        assert ask(sock, b"x") == b"x"


def test_a_session_is_of_one_kind(udp):
    assert api.register(udp, "main", kind="udp")["urls"] == []
    assert api.call(udp, "POST", "/v1/sessions", {"session": "main", "kind": "tcp"}, token=udp.token).is_problem(409)
    listed, = api.call(udp, "GET", "/v1/sessions", token=udp.token).json["sessions"]
    assert listed["kind"] == "udp"


# ---- What people run through it ----

def test_dig_asks_a_dns_server(udp, tmp_path):
    server = shutil.which("dnsmasq", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert server and shutil.which("dig"), "dnsmasq-base and bind9-dnsutils are needed"
    port = ports.free(1, socket.SOCK_DGRAM)
    with open(tmp_path / "dnsmasq.log", "wb") as log:
        process = subprocess.Popen(
            [server, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=", "--group=",
             "--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}",
             "--address=/service.test/192.0.2.53", "--txt-record=long.test," + ",".join(["x" * 200] * 5),
             "--edns-packet-max=4096"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_bound(("127.0.0.1", port)), "dnsmasq listens")
        client = publish(udp, port)

        def dig(*question):
            done = subprocess.run(["dig", "@127.0.0.1", "-p", str(client.address[1]), "+short", "+notcp", "+ignore",
                                   "+bufsize=4096", *question], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout.strip()
        assert dig("A", "service.test") == "192.0.2.53"
        assert dig("TXT", "long.test").count("x" * 200) == 5
        for _ in range(20):
            assert dig("A", "service.test") == "192.0.2.53"
    finally:
        process.terminate()
        process.wait()
