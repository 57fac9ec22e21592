"""TCP sessions: a port at the entry, every connection on it a tunnel to the target (raw sockets, ssh, redis)."""
import os
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import api
import pattern
import ports
import tickets
from programs import wait_until
from sshd import sshd_here
from tcp import TcpOrigin, connect, echo, exactly, is_cut, listens, publish, rest, tcp_site
from wire import ask

MIB = 1 << 20
# What may lie between an origin and a reader who stopped: kernel socket buffers of three hops, both sides, and ours.
AHEAD_MAX = 48 * MIB


@pytest.fixture(scope="module")
def echo_origin():
    origin = TcpOrigin(echo)
    yield origin
    origin.close()


@pytest.fixture
def held():
    """An origin whose connections the test takes by accept()."""
    origin = TcpOrigin()
    yield origin
    origin.close()


@pytest.fixture
def tcp(site):
    return tcp_site(site)


def refuses(where):
    """True when a connection is refused, or is cut without a byte; False when it stays open."""
    try:
        with socket.create_connection(where, timeout=1) as sock:
            return sock.recv(1) == b""
    except socket.timeout:
        return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True


# ---- Bytes ----

def test_bytes_go_both_ways(tcp, echo_origin):
    client = publish(tcp, echo_origin.target)
    assert tcp.first <= client.address[1] <= tcp.last
    with connect(client) as sock:
        for size in (1, 1000, 100_000):
            data = os.urandom(size)
            sock.sendall(data)
            assert exactly(sock, size) == data
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock) == b""


def test_the_origin_may_speak_first(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        conn.sendall(b"220 ready\r\n")
        assert exactly(sock, 11) == b"220 ready\r\n"


def test_the_publics_end_leaves_the_other_direction_open(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert rest(conn) == b"question"
        conn.sendall(b"late answer")
        assert exactly(sock, 11) == b"late answer"
        conn.shutdown(socket.SHUT_WR)
        assert rest(sock) == b""


def test_the_origins_end_leaves_the_other_direction_open(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        conn.sendall(b"all of it")
        conn.shutdown(socket.SHUT_WR)
        assert rest(sock) == b"all of it"
        sock.sendall(b"still here")
        assert exactly(conn, 10) == b"still here"
        sock.shutdown(socket.SHUT_WR)
        assert rest(conn) == b""


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def test_a_reset_is_passed_on_as_one(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock:
        conn = held.accept()
        sock.sendall(b"x")
        assert exactly(conn, 1) == b"x"
        reset(conn)
        assert is_cut(sock)
    sock = connect(client)
    with held.accept() as conn:
        sock.sendall(b"x")
        assert exactly(conn, 1) == b"x"
        reset(sock)
        assert is_cut(conn)


def test_64_mib_arrive_byte_for_byte_at_a_slow_reader(tcp, held):
    client = publish(tcp, held.target)
    sent = [0]

    def send(conn):
        for piece in pattern.pieces(64 * MIB):
            conn.sendall(piece)
            sent[0] += len(piece)
        conn.shutdown(socket.SHUT_WR)

    with connect(client) as sock, held.accept() as conn:
        thread = threading.Thread(target=send, args=(conn,), daemon=True)
        thread.start()
        checker = pattern.Checker()
        checker.update(exactly(sock, MIB))
        wait_until(lambda: sent[0] > MIB, "the origin begins")
        last = -1
        while last != sent[0]:  # until nothing moves any more
            last = sent[0]
            time.sleep(0.5)
        assert sent[0] < AHEAD_MAX
        while piece := sock.recv(MIB):
            checker.update(piece)
        assert checker.exact and checker.count == 64 * MIB
        thread.join(10)


def test_64_mib_arrive_byte_for_byte_at_a_slow_origin(tcp, held):
    client = publish(tcp, held.target)
    sent = [0]

    def send(sock):
        for piece in pattern.pieces(64 * MIB):
            sock.sendall(piece)
            sent[0] += len(piece)
        sock.shutdown(socket.SHUT_WR)

    with connect(client) as sock, held.accept() as conn:
        threading.Thread(target=send, args=(sock,), daemon=True).start()
        last = -1
        while last != sent[0] or not last:
            last = sent[0]
            time.sleep(0.5)
        assert sent[0] < AHEAD_MAX
        checker = pattern.Checker()
        while piece := conn.recv(MIB):
            checker.update(piece)
        assert checker.exact and checker.count == 64 * MIB


def send_all(conn, size):
    with conn:
        for piece in pattern.pieces(size):
            conn.sendall(piece)


def test_what_is_left_when_both_have_ended_waits_for_a_reader_who_pauses(tcp, held):
    """Of some of these sizes a part is with the entry alone then."""
    client = publish(tcp, held.target)
    sizes = [step * MIB // 2 for step in range(1, 13)]
    socks = []
    for size in sizes:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        sock.connect(client.address)
        sock.shutdown(socket.SHUT_WR)
        conn = held.accept()
        assert rest(conn) == b""
        threading.Thread(target=send_all, args=(conn, size), daemon=True).start()
        socks.append(sock)
    time.sleep(5)
    for sock, size in zip(socks, sizes):
        checker = pattern.Checker()
        checker.update(rest(sock))
        assert checker.exact and checker.count == size
        sock.close()


def test_many_connections_at_once(tcp, echo_origin):
    client = publish(tcp, echo_origin.target)
    socks = [connect(client) for _ in range(300)]
    for i, sock in enumerate(socks):
        sock.sendall(b"%08d" % i * 100)
    for i, sock in enumerate(socks):
        assert exactly(sock, 800) == b"%08d" % i * 100
        sock.close()


def test_a_stalled_connection_does_not_hold_up_the_others(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as stalled, held.accept() as first:
        first.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:  # fills everything up to the reader, who does not read
            try:
                first.send(b"x" * 65536)
            except BlockingIOError:
                time.sleep(0.01)
        with connect(client) as sock, held.accept() as conn:
            conn.sendall(b"y" * MIB)
            assert exactly(sock, MIB) == b"y" * MIB
        assert stalled.recv(1) == b"x"


def test_a_unix_socket_is_a_target(tcp, tmp_path):
    path = tmp_path / "origin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = publish(tcp, f"unix:{path}")
        with connect(client) as sock:
            conn, _ = listener.accept()
            with conn:
                sock.sendall(b"hello")
                assert exactly(conn, 5) == b"hello"


# ---- What can go wrong ----

def test_an_origin_that_is_not_there(tcp, held):
    held.close()
    client = publish(tcp, held.target)
    assert refuses(client.address)


def test_a_client_that_dies(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        sock.sendall(b"x")
        assert exactly(conn, 1) == b"x"
        client.kill()
        assert is_cut(sock)
    wait_until(lambda: refuses(client.address), "connections without a client are refused")
    assert listens(client.address)  # it is still the session's
    for content in (b"", b"content"):
        with pytest.raises(ConnectionError):
            with connect(client) as sock:
                sock.sendall(content)
                assert sock.recv(1) == b"?", "an end that looks like any other"


# ---- Ports ----

def test_the_port_asked_for_is_given(tcp, echo_origin):
    client = publish(tcp, echo_origin.target, "--remote-port", tcp.first + 7)
    assert client.address == ("127.0.0.1", tcp.first + 7)
    assert client.event("connected")["url"] == f"tcp://127.0.0.1:{tcp.first + 7}"
    claims = tickets.claims(api.register(tcp, "main", kind="tcp", remote_port=tcp.first + 7)["ticket"])
    assert (claims["t2_kind"], claims["t2_port"]) == ("tcp", tcp.first + 7)


def test_a_port_is_kept_over_a_clients_restart(tcp, echo_origin):
    client = publish(tcp, echo_origin.target)
    client.kill()
    assert publish(tcp, echo_origin.target).address == client.address


def test_a_client_may_come_back_for_another_port(tcp, echo_origin):
    client = publish(tcp, echo_origin.target, "--remote-port", tcp.first)
    client.stop()
    again = publish(tcp, echo_origin.target, "--remote-port", tcp.first + 1)
    assert again.address[1] == tcp.first + 1
    assert not listens(client.address)


def test_a_port_is_the_same_after_an_entrys_restart(tcp, echo_origin):
    client = publish(tcp, echo_origin.target)
    mark = client.mark()
    tcp.entry.kill()
    tcp.proxyentry("--tcp-ports", f"{tcp.first}-{tcp.last}", public="127.0.0.1:%d" % tcp.public[1],
                   uplink="127.0.0.1:%d" % tcp.uplink[1])
    again = client.event("connected", after=mark)
    assert again["url"] == "tcp://%s:%d" % client.address
    with connect(client) as sock:
        sock.sendall(b"back")
        assert exactly(sock, 4) == b"back"


def refusal(client):
    return client.event("retrying", entry="east")["reason"]


def test_a_port_out_of_the_range_is_refused(tcp, echo_origin):
    client = publish(tcp, echo_origin.target, "--remote-port", tcp.last + 1, ready=False)
    assert "(409)" in refusal(client) and f"{tcp.first} to {tcp.last}" in refusal(client)


def test_a_port_of_another_session_is_refused(tcp, echo_origin):
    one = publish(tcp, echo_origin.target, "--remote-port", tcp.first, session="one")
    two = publish(tcp, echo_origin.target, "--remote-port", tcp.first, session="two", ready=False)
    assert "is another session's" in refusal(two)
    with connect(one) as sock:
        sock.sendall(b"mine")
        assert exactly(sock, 4) == b"mine"


def test_a_port_that_another_program_has_is_refused_and_passed_over(tcp, echo_origin):
    others = []
    try:
        for port in range(tcp.first, tcp.last):
            others.append(socket.create_server(("127.0.0.1", port)))
        asked = publish(tcp, echo_origin.target, "--remote-port", tcp.first, session="one", ready=False)
        assert "not to be had" in refusal(asked)
        assert publish(tcp, echo_origin.target, session="two").address[1] == tcp.last
    finally:
        for sock in others:
            sock.close()
    asked.event("ready")  # it goes on asking


@pytest.mark.parametrize("more, told", [((), "127.0.0.2"), (("--advertise-public", "http://tunnels.example.com"),
                                                            "tunnels.example.com")])
def test_people_are_told_where_ports_are_bound_unless_something_else_is_said(site, echo_origin, more, told):
    tcp = tcp_site(site, 4, "--tcp-address", "127.0.0.2", *more)
    client = publish(tcp, echo_origin.target)
    host, port = client.address
    assert host == told
    with socket.create_connection(("127.0.0.2", port), timeout=30) as sock:
        sock.sendall(b"x")
        assert exactly(sock, 1) == b"x"


def test_no_port_is_free(site, echo_origin):
    tcp_site(site, 1)
    publish(site, echo_origin.target, session="one")
    two = publish(site, echo_origin.target, session="two", ready=False)
    assert "(503)" in refusal(two) and "no port" in refusal(two)


def test_an_entry_without_ports_refuses(site, echo_origin):
    site.tunneld()
    site.proxyentry()
    client = publish(site, echo_origin.target, ready=False)
    assert "no ports for TCP sessions" in refusal(client)


def test_an_entry_without_ports_among_others_is_asked_rarely_and_warned_of_once(site, echo_origin):
    """The session is served by the others; a new reason to refuse it would be said again."""
    tcp_site(site)
    site.proxyentry(entry="bare")
    client = publish(site, echo_origin.target)
    assert client.event("retrying", entry="bare")["delay_ms"] >= 60000
    retried = [event for event in client.events if event["event"] == "retrying"]
    assert len(retried) == 1
    assert sum("WARN" in line and "bare" in line for line in client.log().splitlines()) == 1
    with connect(client) as sock:
        sock.sendall(b"x")
        assert exactly(sock, 1) == b"x"


def test_a_refusal_that_is_repeated_is_logged_once(tcp, echo_origin):
    client = publish(tcp, echo_origin.target, "--remote-port", tcp.last + 1, ready=False)

    def repeated():
        lines = [line for line in client.log().splitlines() if "no connection to entry east" in line or "(409)" in line]
        return lines if len(lines) >= 3 else None

    lines = wait_until(repeated, "three refusals")
    assert " WARN " in lines[0] and all(" DEBUG " in line for line in lines[1:]), lines


def test_the_end_of_a_session_closes_its_port(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept():
        answer = api.call(tcp, "DELETE", "/v1/sessions/main", token=tcp.token)
        assert answer.status == 204
        assert is_cut(sock)
    client.expected_end = 1
    client.wait()
    wait_until(lambda: not listens(client.address), "the port is closed")


def test_a_client_that_leaves_in_order_gives_its_own_sessions_port_back(tcp, echo_origin):
    client = publish(tcp, echo_origin.target, session=None)
    client.stop()
    wait_until(lambda: not listens(client.address), "the port is closed")


# ---- The control plane, and HTTP beside it ----

def test_http_requests_to_a_tcp_session_are_404(tcp, echo_origin):
    publish(tcp, echo_origin.target)
    assert ask(tcp.public, "GET", "/session/main/").status == 404


def test_a_session_is_of_one_kind(tcp):
    registered = api.register(tcp, "main", kind="tcp")
    assert registered["urls"] == []
    assert api.call(tcp, "POST", "/v1/sessions", {"session": "main"}, token=tcp.token).is_problem(409)
    listed, = api.call(tcp, "GET", "/v1/sessions", token=tcp.token).json["sessions"]
    assert listed["kind"] == "tcp"


@pytest.mark.parametrize("members", [
    {"kind": "sctp"}, {"kind": 1}, {"kind": None}, {"kind": ""}, {"remote_port": 2222}, {"kind": "http", "remote_port": 1},
    {"kind": "tcp", "remote_port": 0}, {"kind": "tcp", "remote_port": 65536}, {"kind": "tcp", "remote_port": "22"},
    {"kind": "tcp", "remote_port": 22.5}, {"kind": "tcp", "remote_port": -1}])
def test_registrations_are_read_strictly(shared, members):
    api.call(shared, "POST", "/v1/sessions", {"session": "strict", **members}, token=shared.token).is_problem(400)


def test_a_session_is_of_its_kind_after_a_restart(tcp):
    api.register(tcp, "main", kind="tcp", remote_port=tcp.first)
    tcp.programs[0].stop()
    tcp.tunneld(listen=tcp.control)
    listed, = api.call(tcp, "GET", "/v1/sessions", token=tcp.token).json["sessions"]
    assert listed["kind"] == "tcp"


# ---- PROXY protocol ----

def test_the_origin_is_told_who_connected(tcp, held):
    client = publish(tcp, held.target, "--proxy-protocol")
    with connect(client) as sock, held.accept() as conn:
        sock.sendall(b"hello")
        header = exactly(conn, 28)
        assert header[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
        assert socket.inet_ntoa(header[16:20]) == "127.0.0.1"
        assert socket.inet_ntoa(header[20:24]) == "127.0.0.1"
        assert int.from_bytes(header[24:26], "big") == sock.getsockname()[1]
        assert int.from_bytes(header[26:28], "big") == client.address[1]
        assert exactly(conn, 5) == b"hello"


# ---- Drain ----

def test_a_draining_entry_waits_for_tunnels(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        sock.sendall(b"x")
        assert exactly(conn, 1) == b"x"
        tcp.entry.signal()
        tcp.entry.event("draining")
        wait_until(lambda: not listens(client.address), "the port is closed")
        conn.sendall(b"still")
        assert exactly(sock, 5) == b"still"
        assert tcp.entry.process.poll() is None
    tcp.entry.wait()


def test_a_draining_entry_cuts_what_does_not_end(site, held):
    tcp_site(site, 2, "--drain-timeout", "1")
    client = publish(site, held.target)
    with connect(client) as sock, held.accept():
        site.entry.signal()
        assert is_cut(sock)
    site.entry.wait()


def test_a_draining_client_waits_for_tunnels(tcp, held):
    client = publish(tcp, held.target)
    with connect(client) as sock, held.accept() as conn:
        sock.sendall(b"x")
        assert exactly(conn, 1) == b"x"
        client.signal()
        client.event("draining")
        wait_until(lambda: refuses(client.address), "no new connections are taken")
        conn.sendall(b"still")
        assert exactly(sock, 5) == b"still"
    client.wait()


def test_tunneld_with_an_entry_inside_has_ports_too(site, echo_origin):
    first = ports.free(2)
    site.tunneld("--entry", "--tcp-ports", f"{first}-{first + 1}", "--public", "127.0.0.1:0", "--uplink",
                 "127.0.0.1:0")
    client = publish(site, echo_origin.target)
    with connect(client) as sock:
        sock.sendall(b"hello")
        assert exactly(sock, 5) == b"hello"


# ---- What people run through it ----

@pytest.fixture
def sshd(tmp_path):
    with sshd_here(tmp_path / "ssh") as here:
        yield here


def test_ssh_runs_a_command_and_scp_copies_a_file_both_ways(tcp, sshd, tmp_path):
    port, options = sshd
    client = publish(tcp, port)
    host, public = client.address
    done = subprocess.run(["ssh", *options, "-p", str(public), host, "cat; echo $((6 * 7)); exit 3"], input=b"in\n",
                          capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (3, b"in\n42\n"), done.stderr
    data = b"".join(pattern.pieces(20 * MIB))
    (tmp_path / "there").write_bytes(data)
    for source, target in ((tmp_path / "there", f"{host}:{tmp_path}/copy"), (f"{host}:{tmp_path}/copy", tmp_path / "back")):
        done = subprocess.run(["scp", "-q", *options, "-P", str(public), source, target], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == data


@pytest.fixture
def redis(tmp_path):
    assert shutil.which("redis-server") and shutil.which("redis-cli"), "redis-server and redis-tools are needed"
    port = ports.free(1)
    process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                tmp_path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(("127.0.0.1", port)), "redis listens")
        yield port
    finally:
        process.terminate()
        process.wait()


def redis_cli(client, *arguments, data=None):
    done = subprocess.run(["redis-cli", "-h", client.address[0], "-p", str(client.address[1]), *arguments], input=data,
                          stdin=None if data else subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_redis_is_asked_by_redis_cli(tcp, redis):
    client = publish(tcp, redis)
    value = b"v" * MIB
    assert redis_cli(client, "-x", "set", "key", data=value) == b"OK\n"
    assert redis_cli(client, "strlen", "key") == b"%d\n" % MIB
    assert redis_cli(client, "get", "key") == value + b"\n"
    commands = b"".join(b"SET k%d %d\r\n" % (i, i) for i in range(10000))
    assert b"replies: 10000" in redis_cli(client, "--pipe", data=commands)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda i: redis_cli(client, "get", f"k{i}"), range(8))) == {b"%d\n" % i for i in range(8)}
