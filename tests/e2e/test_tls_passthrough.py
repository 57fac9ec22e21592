"""TLS sessions: passed on by the server name that is asked for, decrypted by the origin alone (ssl, openssl, curl)."""
import hashlib
import os
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest

import api
import certificates
import pattern
import ports
import tickets
from h2wire import H2
from programs import Site, address, run, wait_until
from tcp import TcpOrigin, echo, exactly, is_cut, rest
from wire import ask

MIB = 1 << 20
ACCESS_DENIED, INTERNAL_ERROR, UNRECOGNIZED_NAME = 49, 80, 112
V2_PEER = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 6, 192, 0, 2, 2, 1, 2, 0, 80])


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA that the programs know nothing of, and certificates by it."""
    folder = tmp_path_factory.mktemp("pki")
    certificates.make_ca(folder, "ca")
    for name in ("a", "b", "public"):
        certificates.issue(folder, "ca", name, f"DNS:{name}.example.test")
    return folder


class TlsOrigin(TcpOrigin):
    """A TLS server with the certificate of that name; `handle` has the connection behind the handshake."""

    def __init__(self, pki, name, handle=echo):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(pki / f"{name}.pem", pki / f"{name}-key.pem")
        self.context.set_alpn_protocols(["acme-tls/1", "http/1.1"])
        self.alpn = []
        self.inner = handle
        super().__init__(self._serve)

    def _serve(self, plain):
        with self.context.wrap_socket(plain, server_side=True) as conn:
            self.alpn.append(conn.selected_alpn_protocol())
            self.inner(conn)


def tls_echo(conn):
    """Everything back until the peer's close_notify, and one's own."""
    while data := conn.recv(65536):
        conn.sendall(data)
    conn.unwrap()


@pytest.fixture(scope="module")
def origins(pki):
    made = {name: TlsOrigin(pki, name, tls_echo) for name in ("a", "b")}
    yield made
    for origin in made.values():
        origin.close()


@pytest.fixture
def held():
    """An origin whose connections the test takes by accept(), with what the public sent as it came."""
    origin = TcpOrigin()
    yield origin
    origin.close()


class Slow(threading.Thread):
    """Begins a hello and never ends it: how long until it is cut off."""

    def __init__(self, where):
        super().__init__(daemon=True)
        self.sock = socket.create_connection(where, timeout=60)
        self.sock.sendall(hello("a.example.test")[:40])
        self.start()

    def run(self):
        began = time.monotonic()
        self.left = self.sock.recv(100)
        self.seconds = time.monotonic() - began
        self.sock.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, origins):
    """An entry with a port for TLS, and sessions a and b for a.example.test and b.example.test."""
    site = Site(tmp_path_factory.mktemp("tls"))
    try:
        site.tunneld()
        site.entry = site.proxyentry("--tls", "127.0.0.1:0")
        site.tls = address(site.entry.ready["tls"])
        site.slow = Slow(site.tls)
        site.clients = {name: publish(site, origin.target, f"{name}.example.test", session=f"session-{name}")
                        for name, origin in origins.items()}
        yield site
    finally:
        site.close()


@pytest.fixture
def own(tmp_path):
    """A deployment of the test's own."""
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()


def publish(site, target, *names, more=(), **options):
    hostnames = [argument for name in names for argument in ("--hostname", name)]
    return site.tunnelc(target, *hostnames, *more, command="tls", **options)


def trusting(pki, *alpn):
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def connect(where, pki, name, *alpn, before=b""):
    """A verified TLS connection for that name."""
    plain = socket.create_connection(where, timeout=30)
    plain.sendall(before)
    return trusting(pki, *alpn).wrap_socket(plain, server_hostname=name)


def hello(name, version=None):
    """What a client sends first."""
    context = ssl.create_default_context()
    if version:
        context.maximum_version = version
    taken, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(taken, sent, server_hostname=name).do_handshake()
    return sent.read()


def padded(name, size):
    """A hello of that many bytes in all, by an extension that nobody knows."""
    message = hello(name)[9:]
    at = 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    padding = size - 9 - len(message) - 4
    extensions = message[at + 2:] + b"\x55\x55" + padding.to_bytes(2, "big") + bytes(padding)
    message = message[:at] + len(extensions).to_bytes(2, "big") + extensions
    body = b"\1" + len(message).to_bytes(3, "big") + message
    return b"\x16\3\1" + len(body).to_bytes(2, "big") + body


def said(where, data):
    """All that is said to these bytes until the end."""
    with socket.create_connection(where, timeout=30) as sock:
        sock.sendall(data)
        return rest(sock)


def alert(description):
    return bytes([21, 3, 3, 0, 2, 2, description])


# ---- End to end ----

def test_the_origins_own_certificate_is_verified_through_the_tunnel(site, pki):
    for name in ("a", "b"):
        with connect(site.tls, pki, f"{name}.example.test") as sock:
            assert ("DNS", f"{name}.example.test") in sock.getpeercert()["subjectAltName"]
            data = os.urandom(100_000)
            sock.sendall(data)
            assert exactly(sock, len(data)) == data


def test_ready_says_where(site):
    for name, client in site.clients.items():
        expected = f"tls://{name}.example.test:{site.tls[1]}"
        assert client.ready["urls"] == [expected]
        assert client.event("connected", entry="east")["url"] == expected


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_either_version_of_tls(site, pki, version):
    context = trusting(pki)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(site.tls, timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname="A.Example.test") as sock:
            sock.sendall(b"x")
            assert exactly(sock, 1) == b"x"


def test_any_alpn_passes(site, origins, pki):
    with connect(site.tls, pki, "a.example.test", "acme-tls/1") as sock:
        assert sock.selected_alpn_protocol() == "acme-tls/1"


def test_64_mib_both_ways(site, pki):
    """The echo's hash is that of what was sent, with both directions full at once."""
    size, sent, got = 64 * MIB, hashlib.sha256(), hashlib.sha256()
    with connect(site.tls, pki, "a.example.test") as sock:
        sock.setblocking(False)  # one thread: two may not use one TLS connection at once
        pieces, held, left = pattern.pieces(size, 65536), b"", size
        while left:
            held = held or next(pieces, b"")
            readable, writable, _ = select.select([sock], [sock] if held else [], [], 30)
            assert readable or writable
            try:
                if writable:
                    count = sock.send(held)
                    sent.update(held[:count])
                    held = held[count:]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            try:
                while piece := sock.recv(65536):
                    got.update(piece)
                    left -= len(piece)
                assert not left, "the end came early"
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
        assert got.hexdigest() == sent.hexdigest()
        sock.setblocking(True)
        sock.settimeout(30)
        sock.unwrap()  # both close_notify pass


def test_openssl_s_client_and_s_server(own, pki):
    port = ports.free(1)
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pki / "b.pem", "-key",
                               pki / "b-key.pem", "-www"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        own.tunneld()
        tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
        publish(own, str(port), "b.example.test")

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, "s_server listens")
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls[1]}", "-servername",
                               "b.example.test", "-CAfile", pki / "ca.pem", "-verify_return_error", "-quiet"],
                              input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=30)
        assert b"HTTP/1.0 200 ok" in done.stdout, done.stderr
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", pki / "ca.pem", "--resolve",
                               f"b.example.test:{tls[1]}:127.0.0.1", f"https://b.example.test:{tls[1]}/"],
                              capture_output=True, text=True)
        assert done.returncode == 0 and "s_server" in done.stdout, done.stderr
    finally:
        server.terminate()
        server.wait()


# ---- Bytes ----

@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_the_origin_gets_the_hello_as_it_came(own, held, piece):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, held.target, "a.example.test", "other.example.test")
    begin = hello("Other.example.test") + b"\x17\3\3\0\4data"
    with socket.create_connection(tls, timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(begin), piece):
            sock.sendall(begin[at:at + piece])
        with held.accept() as conn:
            assert exactly(conn, len(begin)) == begin
            conn.sendall(b"an answer")
            assert exactly(sock, 9) == b"an answer"


def test_each_direction_ends_on_its_own(own, held):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, held.target, "a.example.test")
    begin = hello("a.example.test")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(begin)
        sock.shutdown(socket.SHUT_WR)
        with held.accept() as conn:
            assert rest(conn) == begin
            conn.sendall(b"late answer")
            assert exactly(sock, 11) == b"late answer"
            conn.shutdown(socket.SHUT_WR)
            assert rest(sock) == b""
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(begin)
        with held.accept() as conn:
            conn.shutdown(socket.SHUT_WR)
            assert rest(sock) == b""
            sock.sendall(b"still here")
            sock.shutdown(socket.SHUT_WR)
            assert rest(conn) == begin + b"still here"


def test_a_stalled_reader_holds_up_its_origin_and_nobody_else(own, held, origins, pki):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, held.target, "stalled.example.test", session="stalled")
    publish(own, origins["a"].target, "a.example.test", session="lively")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(hello("stalled.example.test"))
        with held.accept() as conn:
            conn.settimeout(2)
            sent = 0
            with pytest.raises(socket.timeout):
                while sent < 256 * MIB:
                    sent += conn.send(bytes(MIB))
            with connect(tls, pki, "a.example.test") as other:
                other.sendall(b"x" * MIB)
                assert exactly(other, MIB) == b"x" * MIB
            assert len(exactly(sock, sent)) == sent


def test_the_origin_is_told_who_connected(own, held):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, held.target, "a.example.test", more=["--proxy-protocol"])
    begin = hello("a.example.test")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(begin)
        with held.accept() as conn:
            header = exactly(conn, 28)
            assert header[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
            assert socket.inet_ntoa(header[16:20]) == "127.0.0.1"
            assert int.from_bytes(header[24:26], "big") == sock.getsockname()[1]
            assert exactly(conn, len(begin)) == begin


def test_a_proxy_in_front_says_who_connected(own, held):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0", "--accept-proxy-protocol").ready["tls"])
    publish(own, held.target, "a.example.test", more=["--proxy-protocol"])
    begin = hello("a.example.test")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(V2_PEER + begin)
        with held.accept() as conn:
            assert socket.inet_ntoa(exactly(conn, 28)[16:20]) == "203.0.113.6"
            assert exactly(conn, len(begin)) == begin
    assert said(tls, begin) == b""


# ---- Turned away ----

@pytest.mark.parametrize("name", ["unknown.example.test", "example.test", "x.a.example.test", None, "localhost"])
def test_a_name_that_nobody_has_gets_unrecognized_name(site, name):
    assert said(site.tls, hello(name)) == alert(UNRECOGNIZED_NAME)
    assert said(site.tls, hello(name, ssl.TLSVersion.TLSv1_2)) == alert(UNRECOGNIZED_NAME)


def test_a_client_is_told_so(site, pki):
    with pytest.raises(ssl.SSLError) as told:
        connect(site.tls, pki, "unknown.example.test")
    assert "UNRECOGNIZED_NAME" in str(told.value)


def test_what_is_no_tls_is_closed_in_order(site):
    assert said(site.tls, b"GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n") == b""
    assert said(site.tls, b"\x16\3\1\0\5\2\0\0\1\0") == b""
    with socket.create_connection(site.tls, timeout=30) as sock:
        sock.sendall(b"SSH-2.0-x\r\n")
        assert not is_cut(sock)


def test_a_hello_is_taken_up_to_16_kib(site):
    """The origin answers one of just that size; a longer one is closed before it has all come."""
    with socket.create_connection(site.tls, timeout=30) as sock:
        sock.sendall(padded("a.example.test", 16384))
        assert exactly(sock, 1) == b"\x16"
    too_long = padded("a.example.test", 16385)
    assert said(site.tls, too_long[:9]) == b""


def test_nobody_serves_the_session_now(own, origins):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    client = publish(own, origins["a"].target, "a.example.test", session="main")
    client.kill()
    wait_until(lambda: said(tls, hello("a.example.test")) == alert(INTERNAL_ERROR), "the uplink is gone")


def test_an_origin_that_is_not_there(own):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, str(ports.free(1)), "a.example.test")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(hello("a.example.test"))
        assert is_cut(sock)


def test_an_address_that_may_not_ask(own, origins):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    publish(own, origins["a"].target, "a.example.test", more=["--allow-ip", "192.0.2.0/24"])
    assert said(tls, hello("a.example.test")) == alert(ACCESS_DENIED)


def test_the_end_of_a_session_frees_its_name(own, origins, pki):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0").ready["tls"])
    first = publish(own, origins["a"].target, "a.example.test")
    assert first.stop() == 0
    wait_until(lambda: said(tls, hello("a.example.test")) == alert(UNRECOGNIZED_NAME), "the session is forgotten")
    publish(own, origins["a"].target, "a.example.test")
    connect(tls, pki, "a.example.test").close()


# ---- Names ----

def test_a_session_may_be_named_below_the_domain(own, held):
    own.tunneld()
    tls = address(own.proxyentry("--tls", "127.0.0.1:0", "--domain", "tun.example").ready["tls"])
    publish(own, held.target, "shop.tun.example", "thief.tun.example", session="shop")
    for name in ("shop.tun.example", "shop-east.tun.example"):
        with socket.create_connection(tls, timeout=30) as sock:
            sock.sendall(hello(name))
            held.accept().close()
    assert said(tls, hello("thief.tun.example")) == alert(UNRECOGNIZED_NAME)


def test_a_name_of_another_owners_session_is_refused(tmp_path, origins):
    site = Site(tmp_path / "own", own=True)
    try:
        site.tunneld()
        site.proxyentry("--tls", "127.0.0.1:0")
        publish(site, origins["a"].target, "a.example.test", session="first", owner="alice")
        other = publish(site, origins["b"].target, "a.example.test", session="other", owner="bob", ready=False)
        assert other.event("ended")["error"] == "CONFLICT"
        other.expected_end = other.wait()
        assert other.expected_end
    finally:
        site.close()


def test_http_requests_to_a_tls_session_are_404(site):
    assert ask(site.public, "GET", "/session/session-a/").status == 404
    assert ask(site.public, "GET", "/", host="a.example.test").status == 404


def test_an_entry_without_the_port_refuses(own, origins):
    own.tunneld()
    own.proxyentry()
    client = publish(own, origins["a"].target, "a.example.test", session="main", ready=False)
    assert "no port for TLS sessions" in client.event("retrying")["reason"]


# ---- One port with public TLS ----

@pytest.fixture(scope="module", params=["public", "uplink", "proxy"])
def shared_port(request, tmp_path_factory, shared_origin, origins, pki):
    """--tls where --public-tls is: on a port of its own, on that of uplinks, and behind a proxy."""
    site = Site(tmp_path_factory.mktemp("one"))
    one = f"127.0.0.1:{ports.free(1)}"
    site.before = V2_PEER if request.param == "proxy" else b""
    more = ["--accept-proxy-protocol"] if request.param == "proxy" else []
    try:
        site.tunneld()
        site.entry = site.proxyentry("--tls", one, "--public-tls", one, "--advertise-public",
                                     "http://gate.example.test", "--public-cert",
                                     f"{pki / 'public.pem'},{pki / 'public-key.pem'}", *more,
                                     uplink=one if request.param == "uplink" else "127.0.0.1:0")
        assert site.entry.ready["tls"] == site.entry.ready["public_tls"] == one
        site.tls = address(one)
        site.http = site.tunnelc(shared_origin.target, "--hostname", "public.example.test", session="public")
        site.client = publish(site, origins["a"].target, "a.example.test", "gate.example.test", session="passed")
        yield site
    finally:
        site.close()


def test_names_of_tls_sessions_pass_and_all_others_are_terminated(shared_port, pki):
    for _ in range(3):
        with connect(shared_port.tls, pki, "a.example.test", before=shared_port.before) as sock:
            sock.sendall(b"x" * 100_000)
            assert exactly(sock, 100_000) == b"x" * 100_000
        with connect(shared_port.tls, pki, "public.example.test", before=shared_port.before) as sock:
            sock.sendall(b"GET /inspect HTTP/1.1\r\nHost: public.example.test\r\nConnection: close\r\n\r\n")
            answer = rest(sock)
            assert answer.startswith(b"HTTP/1.1 200") and b"https" in answer
            assert (b"203.0.113.6" in answer) == bool(shared_port.before)


def test_an_http_sessions_names_are_told_with_both_ports(shared_port):
    assert shared_port.http.ready["urls"] == [
        "http://gate.example.test/session/public/", "http://public.localhost/", "http://public.example.test/",
        f"https://public.example.test:{shared_port.tls[1]}/"]
    assert shared_port.client.ready["urls"] == [f"tls://{name}.example.test:{shared_port.tls[1]}"
                                                for name in ("a", "gate")]


def test_http2_is_terminated_there_as_well(shared_port, pki):
    if shared_port.before:
        pytest.skip("the header is in front")
    with H2(shared_port.tls, tls=trusting(pki, "h2"), name="public.example.test") as client:
        status, _, _ = client.ask("/inspect", authority="public.example.test")
        assert status == 200


def test_without_a_name_it_is_terminated(shared_port):
    with socket.create_connection(shared_port.tls, timeout=30) as sock:
        sock.sendall(shared_port.before + hello(None))
        assert exactly(sock, 2) == b"\x16\3"  # its ServerHello


def test_the_entrys_own_names_are_not_to_be_had(shared_port, pki):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(shared_port.tls, timeout=30) as plain:
        plain.sendall(shared_port.before)
        with context.wrap_socket(plain, server_hostname="gate.example.test") as sock:
            sock.sendall(b"GET /session/public/inspect HTTP/1.1\r\nHost: gate.example.test\r\n\r\n")
            assert exactly(sock, 12) == b"HTTP/1.1 200"


def test_what_is_no_tls_ends_as_without_pass_through(shared_port):
    with socket.create_connection(shared_port.tls, timeout=30) as sock:
        sock.sendall(shared_port.before + b"GET / HTTP/1.1\r\n\r\n")
        rest(sock)


# ---- Life ----

def test_a_draining_entry_waits_for_tunnels(own, held):
    own.tunneld()
    entry = own.proxyentry("--tls", "127.0.0.1:0")
    tls = address(entry.ready["tls"])
    publish(own, held.target, "a.example.test")
    with socket.create_connection(tls, timeout=30) as sock:
        sock.sendall(hello("a.example.test"))
        with held.accept() as conn:
            entry.signal()
            entry.event("draining")
            with pytest.raises(ConnectionRefusedError):
                wait_until(lambda: socket.create_connection(tls, timeout=5).close(), "the port is closed", timeout=10)
            conn.sendall(b"late")
            assert exactly(sock, 4) == b"late"
            assert entry.process.poll() is None
            sock.shutdown(socket.SHUT_WR)
            conn.shutdown(socket.SHUT_WR)
            assert rest(sock) == b""
    assert entry.wait() == 0


def test_tunneld_with_an_entry_inside(own, origins, pki):
    program = own.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0", "--tls", "127.0.0.1:0")
    publish(own, origins["a"].target, "a.example.test")
    connect(address(program.ready["tls"]), pki, "a.example.test").close()


def test_the_ticket_says_what_it_is_of(site):
    registered = api.register(site, "ticketed", kind="tls", hostnames=["t.example.test"])
    claims = tickets.claims(registered["ticket"])
    assert (claims["t2_kind"], claims["t2_hostnames"]) == ("tls", ["t.example.test"])
    assert registered["urls"] == []


@pytest.mark.parametrize("members", [
    {"kind": "tls"}, {"kind": "tls", "hostnames": []}, {"kind": "tls", "hostnames": ["localhost"]},
    {"kind": "tls", "hostnames": ["a.b"], "remote_port": 22}, {"kind": "ssl", "hostnames": ["a.b"]},
    {"kind": "tls", "hostnames": ["a.b"], "basic_auth": "1000." + 32 * "0" + "." + 64 * "0"}])
def test_registrations_are_read_strictly(site, members):
    assert api.call(site, "POST", "/v1/sessions", {"session": "x-1", **members}, token=site.token).is_problem(400)


@pytest.mark.parametrize("arguments, why", [
    (["tls"], "needs tls TARGET"), (["tls", "443"], "needs a host name"),
    (["tls", "443", "--hostname", "a.b", "--remote-port", "443"], "share a port"),
    (["tls", "http://h:1", "--hostname", "a.b"], "is no TLS target"),
    (["tls", "443", "--hostname", "localhost"], "localhost"),
    (["tls", "443", "--hostname", "a.b", "--route", "/=80"], "routes, header fields"),
    (["tls", "443", "--hostname", "a.b", "--basic-auth", "u:p"], "for HTTP sessions alone")])
def test_what_is_no_use_of_it_is_a_usage_error(site, arguments, why):
    status, _, err = run("tunnelc", *arguments, "--dev", "--state-dir", site.state)
    assert status == 2 and why in err


def test_an_address_in_use_is_named(site, tmp_path):
    where = site.entry.ready["tls"]
    status, _, err = run("proxyentry", "--dev", "--state-dir", site.state, "--control", f"https://{site.control}",
                         "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0", "--tls", where)
    assert status == 1 and where in err


def test_a_hello_that_does_not_end_is_cut_off(site):
    """Begun with this file's first test."""
    site.slow.join(60)
    assert not site.slow.is_alive()
    assert site.slow.left == b"" and 25 < site.slow.seconds < 50
