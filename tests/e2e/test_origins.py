"""Origins of every kind: HTTP/2 in the clear and over TLS, HTTP/1.1 over TLS and a unix socket, and several by path."""
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

import pytest

import certificates
import pattern
from h2_origin import H2Origin
from origin import Origin
from programs import Site, run, wait_until
from test_errors import closed_port, problem
from wire import Client, ask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CA, and certificates of it for 127.0.0.1 and for another name."""
    folder = tmp_path_factory.mktemp("certificates")
    certificates.make_ca(folder, "ca")
    certificates.make_ca(folder, "other")
    certificates.issue(folder, "ca", "good")
    certificates.issue(folder, "ca", "elsewhere", alternatives="DNS:elsewhere.example")
    return folder


@pytest.fixture
def pair(folder):
    return folder / "good.pem", folder / "good-key.pem"


@pytest.fixture
def make():
    """Makes H2Origins that are closed behind the test."""
    made = []

    def make(*arguments, **options):
        made.append(H2Origin(*arguments, **options))
        return made[-1]

    yield make
    for origin in made:
        origin.close()


def serve(site, target, *arguments, **options):
    """A tunnelc for the target; a callable that asks it."""
    program = site.tunnelc(target, *arguments, **options)
    prefix = f"/session/{program.session}"

    def asker(method, path, *lines, **more):
        return ask(site.public, method, prefix + path, *lines, **more)

    asker.prefix, asker.program = prefix, program
    return asker


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory):
    """tunneld and proxyentry."""
    site = Site(tmp_path_factory.mktemp("origins"))
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


def seen(response):
    assert response.status == 200, response
    return json.loads(response.body)


# ---- HTTP/2 ----

@pytest.fixture(params=["h2c", "https"])
def h2(request, plain_site, make, folder, pair):
    """An HTTP/2 origin, and who asks it."""
    origin = make(pair if request.param == "https" else None)
    asker = serve(plain_site, origin.target, *(["--origin-ca", folder / "ca.pem"] if request.param == "https" else []))
    asker.origin, asker.scheme, asker.site = origin, "https" if request.param == "https" else "http", plain_site
    return asker


def test_http2_request_and_answer(h2):
    lines = dict(seen(h2("GET", "/inspect?q=1", "X-Mixed: Case", "TE: trailers", "Priority: u=1, i"))["lines"])
    assert lines[":method"] == "GET" and lines[":path"] == "/inspect?q=1" and lines[":authority"] == "test.example"
    assert lines[":scheme"] == h2.scheme and lines["x-mixed"] == "Case" and lines["priority"] == "u=1, i"
    assert "connection" not in lines and "host" not in lines
    assert "for=127.0.0.1" in lines["forwarded"] and lines["x-request-id"]


def test_http2_content_and_trailers_up(h2):
    assert seen(h2("POST", "/inspect", body=b"some content"))["content"] == "some content"
    with Client(h2.site.public) as client:
        client.request("POST", h2.prefix + "/inspect", "Transfer-Encoding: chunked", "Trailer: X-Sum")
        client.send(b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n")
        answer = seen(client.response())
        assert answer["content"] == "firstsecond" and answer["trailers"] == {"x-sum": "11"}


def test_http2_trailers_down(h2):
    response = h2("GET", "/trailers")
    assert response.body == b"content" and sorted(response.trailers) == [("x-one", "1"), ("x-two", "2")]


def test_http2_head(h2):
    with Client(h2.site.public) as client:
        client.request("HEAD", h2.prefix + "/inspect")
        response = client.response("HEAD")
        assert response.status == 200 and int(response.fields.get("content-length")) > 0


def test_http2_early_hints(h2):
    response = h2("GET", "/early")
    assert [(status, fields.get("link")) for status, fields in response.interim] == [(103, "</style.css>; rel=preload")]
    assert response.body == b"early"


def test_http2_interim_without_end_is_an_error(h2):
    response = h2("GET", "/interim")
    problem(response, 502, "http_protocol_error")
    assert len(response.interim) <= 32


def test_http2_big_content_both_ways(h2):
    size = 3_000_000
    response = h2("GET", f"/bytes/{size}")
    assert len(response.body) == size and response.body == b"".join(pattern.pieces(size))
    assert json.loads(h2("POST", "/upload", body=b"".join(pattern.pieces(size))).body) == {"bytes": size, "exact": True}


def test_http2_bytes_come_when_they_are_there(h2):
    with Client(h2.site.public) as client:
        client.request("GET", h2.prefix + "/gate/open")
        response = client.final_head()
        pieces = client.pieces(response)
        assert next(pieces) == b"first,"
        h2.origin.gate("open").set()
        assert b"".join(pieces) == b"second"


def test_http2_one_connection_serves_all(h2):
    clients = [Client(h2.site.public) for _ in range(20)]
    for client in clients:
        client.request("GET", h2.prefix + "/wait/all")
    h2.origin.wait_request("/wait/all", count=20)
    h2.origin.gate("all").set()
    for client in clients:
        assert client.response().body == b"waited"
        client.close()
    assert len(h2.origin.connections) == 1


def test_http2_cancellation_reaches_the_origin(h2):
    with Client(h2.site.public) as client:
        client.request("GET", h2.prefix + "/never/cancelled")
        stream = h2.origin.wait_request("/never/cancelled")
    assert stream.ended.wait(5) and stream.ended_by == 8  # CANCEL
    with Client(h2.site.public) as client:
        client.request("GET", h2.prefix + "/drip/cancelled")
        client.final_head()
        stream = h2.origin.wait_request("/drip/cancelled")
    assert stream.ended.wait(5)
    assert len(h2.origin.connections) == 1


def test_http2_answer_cut_by_a_reset_is_visibly_cut(h2):
    response = h2("GET", "/reset")
    assert response.status in (200, 502) and (response.status == 502 or not response.whole)


def test_http2_request_that_was_not_acted_on_is_asked_again(h2):
    h2.origin.refusals = 1
    assert seen(h2("POST", "/refuse", body=b"kept"))["content"] == "kept"
    assert len(h2.origin.requests_for("/refuse")) == 2
    h2.origin.goaways = 1
    assert seen(h2("POST", "/goaway", body=b"kept too"))["content"] == "kept too"
    assert len(h2.origin.connections) == 2 and len(h2.origin.requests_for("/goaway")) == 2


def test_http2_request_is_asked_again_only_once(h2):
    h2.origin.refusals = 5
    problem(h2("GET", "/refuse"), 503)
    assert len(h2.origin.requests_for("/refuse")) == 2


def test_http2_request_with_more_content_than_is_kept_is_not_asked_again(h2):
    h2.origin.refusals = 1
    problem(h2("POST", "/refuse", body=bytes(200_000)), 503)
    assert len(h2.origin.requests_for("/refuse")) == 1


def test_http2_safe_request_on_a_lost_connection_is_asked_again(h2):
    assert h2("GET", "/inspect").status == 200
    h2.origin.vanishings = 1
    assert h2("GET", "/vanish").status == 200
    assert h2("GET", "/inspect").status == 200
    h2.origin.vanishings = 1
    problem(h2("POST", "/vanish", body=b"x"), 502, "connection_terminated")
    assert len(h2.origin.requests_for("/vanish")) == 3


def test_http2_upgrade_to_an_origin_that_has_none(plain_site, make):
    asker = serve(plain_site, make().target)
    assert asker("GET", "/inspect").status == 200  # the uplink's SETTINGS have come
    problem(asker("GET", "/inspect", "Connection: upgrade", "Upgrade: websocket"), 501)


@pytest.mark.parametrize("tls", [False, True])
def test_http2_upgrade_is_an_extended_connect(plain_site, make, pair, tls):
    """By RFC 8441, of whatever protocol."""
    origin = make(pair if tls else None, extended_connect=True)
    asker = serve(plain_site, origin.target, *(["--origin-insecure"] if tls else []))
    assert asker("GET", "/inspect").status == 200  # the uplink's SETTINGS have come
    with Client(plain_site.public) as client:
        client.request("GET", asker.prefix + "/tunnel", "Connection: upgrade", "Upgrade: anything/2")
        response = client.final_head()
        assert response.status == 101 and response.fields.get("upgrade") == "anything/2"
        for word in (b"one", b"another"):
            client.send(word)
            assert client.wire.exactly(len(word)) == word
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
        assert origin.requests_for("/tunnel")[0].fields[":protocol"] == "anything/2"


def test_http2_alone_without_extended_connect_takes_no_upgrade(plain_site, make, pair):
    """Over TLS it is asked by HTTP/1.1, which this one does not speak."""
    asker = serve(plain_site, make(pair).target, "--origin-insecure")
    assert asker("GET", "/inspect").status == 200
    assert asker("GET", "/tunnel", "Connection: upgrade", "Upgrade: anything").status == 502
    asker = serve(plain_site, make().target)
    assert asker("GET", "/inspect").status == 200
    assert asker("GET", "/tunnel", "Connection: upgrade", "Upgrade: anything").status == 501


def test_http2_origin_that_goes_and_comes_back(plain_site, make):
    origin = make()
    asker = serve(plain_site, origin.target)
    assert asker("GET", "/inspect").status == 200
    for connection in origin.connections:
        connection.close()
    wait_until(lambda: asker("GET", "/inspect").status == 200, "a new connection")


# ---- the bounds of an HTTP/2 origin ----

@pytest.mark.parametrize("most, clients, connections", [(1, 3, 3), (10, 25, 3)])
def test_streams_the_origin_allows_are_not_exceeded(plain_site, make, most, clients, connections):
    origin = make(concurrent_max=most)
    asker = serve(plain_site, origin.target)
    opened = [Client(plain_site.public) for _ in range(clients)]
    for client in opened:
        client.request("GET", asker.prefix + "/wait/bounded")
    origin.wait_request("/wait/bounded", count=clients)
    assert len(origin.connections) == connections and origin.active_most <= most
    origin.gate("bounded").set()
    for client in opened:
        assert client.response().body == b"waited"
        client.close()


def test_requests_wait_where_no_more_connections_are_opened(plain_site, make):
    """16 connections with a stream each; the others wait for their turn."""
    origin = make(concurrent_max=1)
    asker = serve(plain_site, origin.target)
    opened = [Client(plain_site.public) for _ in range(40)]
    for client in opened:
        client.request("GET", asker.prefix + "/wait/queue")
    origin.wait_request("/wait/queue", count=16)
    time.sleep(0.3)
    assert len(origin.requests_for("/wait/queue")) == 16 and len(origin.connections) == 16
    origin.gate("queue").set()
    for client in opened:
        assert client.response().body == b"waited"
        client.close()
    assert len(origin.connections) == 16


def test_requests_wait_for_a_slow_start(plain_site, make):
    origin = make(settings_delay=0.5)
    asker = serve(plain_site, origin.target)
    opened = [Client(plain_site.public) for _ in range(10)]
    for number, client in enumerate(opened):
        client.request("POST", asker.prefix + "/inspect", body=b"%d" % number)
    for number, client in enumerate(opened):
        assert seen(client.response())["content"] == str(number)
        client.close()
    assert len(origin.connections) == 1


def test_http1_server_called_h2c_is_an_error(plain_site, shared_origin):
    asker = serve(plain_site, f"h2c://{shared_origin.target}")
    problem(asker("GET", "/echo"), 502)


def test_silent_server_called_h2c_times_out(plain_site):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asker = serve(plain_site, f"h2c://127.0.0.1:{silent.getsockname()[1]}", "--connect-timeout", "1")
        problem(asker("GET", "/"), 504)


@pytest.mark.parametrize("scheme", ["h2c", "https"])
def test_refused_http2_origin(plain_site, scheme):
    asker = serve(plain_site, f"{scheme}://127.0.0.1:{closed_port()}")
    problem(asker("GET", "/"), 502, "connection_refused")
    problem(asker("POST", "/", body=b"x" * 100000), 502, "connection_refused")


# ---- TLS ----

class TlsOrigin(Origin):
    """The HTTP/1.1 origin over TLS."""

    def __init__(self, pair, alpn=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair)
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        super().__init__()
        self.target = f"https://127.0.0.1:{self.port}"

    def _serve(self, connection, number):
        try:
            connection = self.context.wrap_socket(connection, server_side=True)
        except OSError:
            return
        super()._serve(connection, number)


@pytest.mark.parametrize("alpn", [None, ["http/1.1"]])
def test_https_origin_of_http1(plain_site, folder, pair, alpn):
    origin = TlsOrigin(pair, alpn)
    asker = serve(plain_site, origin.target, "--origin-ca", folder / "ca.pem")
    clients = [Client(plain_site.public) for _ in range(4)]
    for client in clients:
        client.request("POST", asker.prefix + "/echo", body=b"over TLS")
    for client in clients:
        assert client.response().body == b"over TLS"
        client.close()
    made = origin.connections
    for _ in range(5):
        assert asker("POST", "/echo", body=b"again").body == b"again"
    assert origin.connections == made  # kept alive
    size = 1_000_000
    assert asker("GET", f"/bytes/{size}").body == b"".join(pattern.pieces(size))
    origin.close()


def test_https_origin_that_changes_its_protocol_is_learnt_again(plain_site, folder, pair, make):
    first = TlsOrigin(pair)
    port = first.port
    asker = serve(plain_site, first.target, "--origin-ca", folder / "ca.pem")
    assert asker("POST", "/echo", body=b"one").body == b"one"
    first.close()
    origin = make(pair)
    # The same port cannot be had for sure: a relay stands in for it.
    relay = socket.socket()
    relay.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    wait_until(lambda: not bind_error(relay, port), "the port to be free")
    relay.listen()
    threading.Thread(target=relay_all, args=(relay, origin.port), daemon=True).start()
    wait_until(lambda: asker("POST", "/inspect", body=b"two").status == 200, "HTTP/2 to be found")
    relay.close()


def bind_error(sock, port):
    try:
        sock.bind(("127.0.0.1", port))
        return None
    except OSError as error:
        return error


def relay_all(relay, port):
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    while True:
        try:
            near, _ = relay.accept()
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", port))
        for ends in ((near, far), (far, near)):
            threading.Thread(target=copy, args=ends, daemon=True).start()


def test_certificate_that_nobody_trusts_is_502(plain_site, folder, make, pair):
    origin = make(pair)
    asker = serve(plain_site, origin.target, "--origin-ca", folder / "other.pem")
    problem(asker("GET", "/inspect"), 502, "tls_certificate_error")
    assert "not signed by a trusted authority" in asker.program.log()
    problem(serve(plain_site, origin.target)("GET", "/inspect"), 502, "tls_certificate_error")  # the system's authorities
    assert not origin.streams


def test_certificate_of_another_name_is_502(plain_site, folder, make):
    origin = make((folder / "elsewhere.pem", folder / "elsewhere-key.pem"))
    asker = serve(plain_site, origin.target, "--origin-ca", folder / "ca.pem")
    problem(asker("GET", "/inspect"), 502, "tls_certificate_error")


def test_insecure_takes_any_certificate_and_says_so(plain_site, folder, make):
    origin = make((folder / "elsewhere.pem", folder / "elsewhere-key.pem"))
    asker = serve(plain_site, origin.target, "--origin-insecure")
    for _ in range(3):
        assert asker("GET", "/inspect").status == 200
    assert "not verified" in asker.program.log()


def test_clear_server_called_https_is_502(plain_site):
    with socket.create_server(("127.0.0.1", 0)) as clear:
        def serve_one():
            sock, _ = clear.accept()
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            sock.close()

        threading.Thread(target=serve_one, daemon=True).start()
        asker = serve(plain_site, f"https://127.0.0.1:{clear.getsockname()[1]}", "--origin-insecure")
        problem(asker("GET", "/echo"), 502, "tls_protocol_error")


def test_missing_origin_ca_ends_the_start(plain_site):
    status, _, said = run("tunnelc", "http", "https://127.0.0.1:1", *plain_site.common(
        "--server", f"https://{plain_site.control}", "--origin-ca", "/no/such/file.pem"))
    assert status == 1 and "/no/such/file.pem" in said


# ---- a unix socket ----

def test_unix_socket(plain_site, tmp_path):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

        def address_string(self):
            return "unix"

    path = tmp_path / "app.sock"
    asker = serve(plain_site, f"unix:{path}")
    problem(asker("POST", "/", body=b"x"), 502, "connection_refused")
    with ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for size in (1, 1000, 500_000):
            assert asker("POST", "/", body=bytes(size)).body == bytes(size)
        server.shutdown()


# ---- several origins ----

@pytest.fixture(scope="module")
def routed(plain_site, shared_origin):
    """/ and /api/v2 to one origin, /api to an HTTP/2 one, and nothing at all for another client."""
    other = H2Origin()
    asker = serve(plain_site, shared_origin.target, "--route", f"/api={other.target}", "--route",
                  f"/api/v2/={shared_origin.target}")
    yield asker
    other.close()


@pytest.mark.parametrize("path, http2", [
    ("/inspect", False), ("/", False), ("/api", True), ("/api/", True), ("/api/x", True), ("/api?q", True),
    ("/apix/inspect", False), ("/API/x", False), ("/api/v2", False), ("/api/v2/x", False), ("/api/v22", True),
    ("/x/api/", False)])
def test_longest_prefix_at_a_segment_counts(routed, path, http2):
    response = routed("GET", path)
    assert (response.status == 200 and b":authority" in response.body) == http2, response


def test_routes_keep_the_path(routed):
    assert dict(seen(routed("GET", "/api/a/b?c"))["lines"])[":path"] == "/api/a/b?c"


def test_path_without_an_origin_is_404(plain_site, shared_origin):
    asker = serve(plain_site, None, "--route", f"/only={shared_origin.target}")
    assert asker("GET", "/only/inspect").status == 404  # the origin's
    document = problem(asker("GET", "/elsewhere"), 404)
    assert "no origin for this path" in document["detail"]


@pytest.mark.parametrize("arguments, words", [
    (["--route", "3000"], "PREFIX=ORIGIN"), (["--route", "api=3000"], "begins with /"), (["--route", "/a=nonsense"], "port"),
    (["--route", "/a=1", "--route", "/a/=2"], "two origins"), (["--route", "/=3000"], "two origins"),
    (["--route", "/a?b=3000"], "begins with /"), (["--route", "/a=ftp://x"], "scheme"),
    (["--add-header", "nonsense"], "Name: value"), (["--add-header", "Content-Length: 5"], "cannot be"),
    (["--add-header", "A b: c"], "no name"), (["--add-header", "A: b\r\nC: d"], "value"),
    (["--remove-header", "Connection"], "cannot be"), (["--remove-header", "a:b"], "no name"),
    (["--add-header", "Host: x"], "cannot be"), (["--add-header", "Transfer-Encoding: chunked"], "cannot be")])
def test_bad_routes_and_fields_are_usage_errors(plain_site, arguments, words):
    status, _, said = run("tunnelc", "http", "8080", *plain_site.common("--server", f"https://{plain_site.control}",
                                                                     *arguments))
    assert status == 2 and words in said, said


def test_no_target_is_a_usage_error():
    status, _, said = run("tunnelc", "http", "--dev")
    assert status == 2 and "TARGET" in said
    status, _, said = run("tunnelc", "files", "--dev")
    assert status == 2 and "DIR" in said


# ---- fields ----

def test_fields_are_added_and_removed(plain_site, shared_origin):
    asker = serve(plain_site, shared_origin.target, "--add-header", "X-Auth: secret", "--add-header", "X-Twice: 1",
                  "--add-header", "X-Twice:2", "--add-header", "X-Empty:", "--remove-header", "Cookie", "--remove-header",
                  "x-forwarded-for")
    response = asker("GET", "/inspect", "x-auth: forged", "X-AUTH: again", "Cookie: a=b", "X-Kept: yes")
    fields = [(name.lower(), value) for name, value in seen(response)["fields"]]
    assert [value for name, value in fields if name == "x-auth"] == ["secret"]
    assert [value for name, value in fields if name == "x-twice"] == ["1", "2"]
    assert ("x-empty", "") in fields and ("x-kept", "yes") in fields
    assert not [name for name, _ in fields if name in ("cookie", "x-forwarded-for")]
    assert "secret" not in asker.program.log()


def test_host_header_is_rewritten_for_http2_too(plain_site, make):
    asker = serve(plain_site, make().target, "--host-header", "inner.example:81")
    assert dict(seen(asker("GET", "/inspect"))["lines"])[":authority"] == "inner.example:81"


# ---- below a prefix ----

@pytest.fixture(scope="module")
def redirecting():
    """Answers with the fields that the test asks for by X-Say."""
    origin = Origin()

    def say(wire, sock, request, _):
        lines = json.loads(request.fields.get("x-say"))
        origin._send(sock, 302, b"", *lines)

    origin._do_say = say
    yield origin
    origin.close()


def said(asker, *lines, **options):
    response = asker("GET", "/say", f"X-Say: {json.dumps(lines)}", **options)
    assert response.status == 302, response
    return response.fields


@pytest.fixture(scope="module")
def mended(plain_site, redirecting):
    return serve(plain_site, redirecting.target, "--rewrite-prefix", session="mended")


def test_paths_of_answers_are_left_alone_by_default(plain_site, redirecting):
    asker = serve(plain_site, redirecting.target)
    fields = said(asker, "Location: /login", "Set-Cookie: a=b; Path=/")
    assert fields.get("location") == "/login" and fields.get("set-cookie") == "a=b; Path=/"


def test_location_is_mended(mended, redirecting):
    p = "/session/mended"
    for given, expected in [("/login?a#b", p + "/login?a#b"), ("/", p + "/"), ("login", "login"), ("?q", "?q"),
                            (p + "/x", p + "/x"), (p, p), ("/session/mended2", p + "/session/mended2"),
                            ("//other/x", "//other/x"), ("http://test.example/x", "http://test.example" + p + "/x"),
                            ("https://TEST.example", "https://TEST.example" + p + "/"),
                            ("http://test.example?q", "http://test.example" + p + "/?q"),
                            (f"http://{redirecting.target}/x", p + "/x"), ("https://other.example/x", "https://other.example/x")]:
        assert said(mended, f"Location: {given}").get("location") == expected


def test_cookie_paths_are_mended(mended):
    fields = said(mended, "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d; path=/app; HttpOnly", "Set-Cookie: e=/f",
                  "Set-Cookie: g=h; Secure; PATH = /x ; Max-Age=1", "Set-Cookie: i=j; Path=/session/mended/y")
    assert fields.all("set-cookie") == ["a=b; Path=/session/mended", "c=d; Path=/session/mended/app; HttpOnly", "e=/f",
                                        "g=h; Secure; Path=/session/mended/x; Max-Age=1", "i=j; Path=/session/mended/y"]


def test_answers_by_name_are_not_mended(plain_site, mended):
    response = ask(plain_site.public, "GET", "/say", 'X-Say: ["Location: /login"]', host="mended.localhost")
    assert response.fields.get("location") == "/login"
