"""A public HTTP/1.1 request reaches the origin and its answer comes back, whatever form either has."""
import json
import re
import subprocess

import pytest

import pattern
from programs import wait_until
from wire import Client, ask


def inspect(response):
    assert response.status == 200, response
    seen = json.loads(response.body)
    fields = {}
    for name, value in seen["fields"]:
        fields.setdefault(name.lower(), []).append(value)
    seen["fields"] = fields
    return seen


@pytest.fixture
def client(shared):
    with Client(shared.public) as client:
        yield client


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- addresses ----

def test_ready_names_the_session_and_both_addresses(shared):
    host, port = shared.public
    ready = shared.client.event("ready")
    assert ready["session"] == "main"
    assert ready["urls"] == [f"http://{host}:{port}/session/main/", f"http://main.localhost:{port}/"]


def test_session_without_a_name_gets_a_uuid(shared, shared_origin):
    client = shared.tunnelc(shared_origin.target)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", client.session)
    assert ask(shared.public, "GET", f"/session/{client.session}/echo").status == 200
    assert ask(shared.public, "GET", "/echo", host=f"{client.session}.localhost").status == 200


def test_path_address_strips_its_prefix(shared, client):
    seen = inspect(client.ask("GET", shared.path("/inspect/deep?x=1")))
    assert seen["target"] == "/inspect/deep?x=1"
    assert seen["fields"]["x-forwarded-prefix"] == ["/session/main"]


def test_path_address_without_a_slash_is_the_root(shared, shared_origin, client):
    assert client.ask("GET", "/session/main").status in (200, 301, 302, 307, 308, 404)
    client.ask("GET", "/session/main?q=1")
    assert client.ask("GET", shared.path("/echo")).status == 200
    assert shared_origin.requests_for("/echo")


def test_host_address(shared, client):
    seen = inspect(client.ask("GET", "/inspect?y", host=f"main.localhost:{shared.public[1]}"))
    assert seen["target"] == "/inspect?y"
    assert "x-forwarded-prefix" not in seen["fields"]


def test_host_address_in_capitals(client):
    assert inspect(client.ask("GET", "/inspect", host="MAIN.LocalHost"))["target"] == "/inspect"


def test_host_address_by_curl(shared):
    port = shared.public[1]
    out = curl("--resolve", f"main.localhost:{port}:127.0.0.1", f"http://main.localhost:{port}/echo", "-d", "by name")
    assert out == b"by name"


# ---- methods and content ----

def test_get(shared):
    assert curl(shared.url("/bytes/5000")) == bytes(pattern.piece(0, 5000))


def test_post_echo(shared):
    assert curl(shared.url("/echo"), "--data-binary", "@" + __file__) == open(__file__, "rb").read()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_method_passes(shared, client, method):
    assert inspect(client.ask(method, shared.path("/inspect"), body=b"x"))["method"] == method


def test_head_has_the_length_and_no_content(shared, client):
    client.request("HEAD", shared.path("/bytes/4321"))
    response = client.response("HEAD")
    assert (response.status, response.fields.get("content-length")) == (200, "4321")
    assert client.ask("GET", shared.path("/echo")).status == 200  # and the connection is in step


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_content(shared, client, status):
    response = client.ask("GET", shared.path(f"/status/{status}"))
    assert response.status == status
    assert "transfer-encoding" not in response.fields
    assert client.ask("GET", shared.path("/echo")).status == 200


@pytest.mark.parametrize("status", [200, 201, 301, 404, 418, 500, 503, 599])
def test_status_passes_with_its_content(shared, client, status):
    response = client.ask("GET", shared.path(f"/status/{status}"))
    assert (response.status, response.body) == (status, b"word")


def test_empty_post(shared, client):
    client.send(f"POST {shared.path('/echo')} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    response = client.response()
    assert (response.status, response.body) == (200, b"")


def test_chunked_request_arrives_whole(shared, client):
    client.request("POST", shared.path("/echo"), "Transfer-Encoding: chunked")
    for piece in (b"a", b"bc" * 5000, b"d"):
        client.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    response = client.response()
    assert response.body == b"a" + b"bc" * 5000 + b"d"


def test_chunked_response_arrives_whole(shared, client):
    response = client.ask("GET", shared.path("/chunked/300000"))
    assert response.fields.get("transfer-encoding") == "chunked"
    assert response.whole and response.body == bytes(pattern.piece(0, 300000))


def test_response_is_streamed(shared, shared_origin, client):
    client.request("GET", shared.path("/gate/streamed"))
    response = client.head()
    pieces = client.pieces(response)
    assert next(pieces) == b"before;"  # while the origin still holds the rest
    shared_origin.gate("streamed").set()
    assert b"".join(pieces) == b"after"


def test_request_is_streamed(shared, shared_origin, client):
    shared_origin.received = 0
    client.request("POST", shared.path("/upload"), "Transfer-Encoding: chunked")
    client.send(b"%x\r\n%b\r\n" % (1000, bytes(pattern.piece(0, 1000))))
    wait_until(lambda: shared_origin.received == 1000, "the first chunk at the origin")
    client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (500, bytes(pattern.piece(1000, 500))))
    assert json.loads(client.response().body) == {"bytes": 1500, "exact": True}


def test_length_response_keeps_its_length(shared, client):
    response = client.ask("GET", shared.path("/bytes/70000"))
    assert response.fields.all("content-length") == ["70000"]
    assert "transfer-encoding" not in response.fields


def test_http10_origin_that_ends_with_the_connection(shared, client):
    response = client.ask("GET", shared.path("/http10"))
    assert response.whole and response.body == b"until the end"
    assert client.ask("GET", shared.path("/echo")).status == 200


def test_upload_of_two_mebibytes(shared):
    size = 2 << 20
    body = b"".join(pattern.pieces(size))
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "--data-binary", "@-", shared.url("/upload")], input=body,
                          capture_output=True, check=True)
    assert json.loads(done.stdout) == {"bytes": size, "exact": True}


# ---- 1xx ----

def test_expect_100_continue_is_asked_of_the_origin(shared, client):
    client.request("POST", shared.path("/upload"), "Expect: 100-continue", "Content-Length: 10")
    assert client.head().status == 100
    client.send(bytes(pattern.piece(0, 10)))
    assert json.loads(client.response().body)["exact"]


def test_expect_100_continue_refused_by_the_origin(shared, client):
    client.request("POST", shared.path("/reject"), "Expect: 100-continue", "Content-Length: 10")
    response = client.response()
    assert (response.status, response.body) == (417, b"no thanks")
    assert response.interim == []


def test_expect_100_continue_by_curl(shared):
    out = curl(shared.url("/upload"), "-H", "Expect: 100-continue", "--expect100-timeout", "20", "--data-binary",
               bytes(pattern.piece(0, 50)).hex())
    assert json.loads(out)["bytes"] == 100


def test_early_hints_pass(shared, client):
    response = client.ask("GET", shared.path("/early"))
    assert [(status, fields.get("link")) for status, fields in response.interim] == [
        (103, "</style.css>; rel=preload")]
    assert (response.status, response.body) == (200, b"after the hints")


def test_several_interim_responses_pass_in_order(shared, client):
    response = client.ask("GET", shared.path("/processing"))
    assert [status for status, _ in response.interim] == [102, 103, 103]
    assert [fields.get("link") for _, fields in response.interim[1:]] == ["</a>", "</b>"]


# ---- versions, forms, connections ----

def test_http10_request(shared, client):
    client.request("GET", shared.path("/chunked/5000"), version="HTTP/1.0")
    response = client.response()
    assert response.version == "HTTP/1.1" and "transfer-encoding" not in response.fields
    assert response.body == bytes(pattern.piece(0, 5000)) and client.closed()


def test_http10_request_without_host_by_path(shared, client):
    client.send(f"GET {shared.path('/echo')} HTTP/1.0\r\n\r\n")
    assert client.response().status == 200
    assert client.closed()


def test_http10_keep_alive(shared, client):
    for _ in range(2):
        client.request("GET", shared.path("/bytes/100"), "Connection: keep-alive", version="HTTP/1.0")
        response = client.response()
        assert len(response.body) == 100 and response.fields.get("connection", "").lower() == "keep-alive"


def test_http10_gets_no_interim_response(shared, client):
    client.request("GET", shared.path("/early"), version="HTTP/1.0")
    response = client.response()
    assert response.interim == [] and response.status == 200


def test_absolute_form(shared, client):
    seen = inspect(client.ask("GET", "http://main.localhost/inspect?z=1", host="main.localhost"))
    assert seen["target"] == "/inspect?z=1"


def test_absolute_form_overrides_host(shared, client):
    """RFC 9112, 3.2.2: the target's authority counts, a Host that differs does not."""
    seen = inspect(client.ask("GET", "http://main.localhost/inspect", host="elsewhere.example"))
    assert seen["fields"]["host"] == ["main.localhost"]


def test_pipelined_requests_are_answered_in_order(shared, client):
    paths = ["/bytes/3000", "/echo", "/chunked/2000", "/status/404", "/bytes/1"]
    client.send("".join(f"GET {shared.path(path)} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths))
    found = [client.response() for _ in paths]
    assert [(r.status, len(r.body)) for r in found] == [(200, 3000), (200, 0), (200, 2000), (404, 4), (200, 1)]


def test_pipelined_post_and_get(shared, client):
    client.send(f"POST {shared.path('/echo')} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                f"GET {shared.path('/bytes/7')} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.response().body == b"hello"
    assert len(client.response().body) == 7


def test_slow_answer_holds_back_pipelined_ones(shared, shared_origin, client):
    client.send(f"GET {shared.path('/wait/order')} HTTP/1.1\r\nHost: a\r\n\r\n"
                f"GET {shared.path('/bytes/9')} HTTP/1.1\r\nHost: a\r\n\r\n")
    shared_origin.wait_request("/wait/order")
    shared_origin.gate("order").set()
    assert client.response().body == b"waited"
    assert len(client.response().body) == 9


def test_connection_is_kept(shared, client):
    for _ in range(20):
        assert client.ask("GET", shared.path("/echo")).status == 200


def test_connection_close_is_honoured(shared, client):
    response = client.ask("GET", shared.path("/bytes/10"), "Connection: close")
    assert response.fields.get("connection").lower() == "close"
    assert client.closed()


def test_request_in_single_bytes(shared, client):
    for byte in f"POST {shared.path('/echo')} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".encode():
        client.send(bytes([byte]))
    assert client.response().body == b"abc"


def test_leading_empty_line_is_skipped(shared, client):
    client.send(f"\r\nGET {shared.path('/echo')} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.response().status == 200


def test_concurrent_requests(shared):
    clients = [Client(shared.public) for _ in range(24)]
    for number, client in enumerate(clients):
        client.request("GET", shared.path(f"/bytes/{1000 + number}"))
    for number, client in enumerate(clients):
        response = client.response()
        assert response.whole and response.body == bytes(pattern.piece(0, 1000 + number))
        client.close()


# ---- trailers ----

def test_response_trailers_pass(shared, client):
    response = client.ask("GET", shared.path("/trailers"), "TE: trailers")
    assert response.body == b"content"
    assert [(k.lower(), v) for k, v in response.trailers] == [("x-sum", "42"), ("x-count", "7")]


def test_request_trailers_pass(shared, shared_origin, client):
    client.request("POST", shared.path("/echo/with-trailers"), "Transfer-Encoding: chunked", "Trailer: X-Check")
    client.send(b"4\r\nwith\r\n0\r\nX-Check: yes\r\n\r\n")
    response = client.response()
    assert response.body == b"with"
    request = shared_origin.requests_for("/echo/with-trailers")[-1]
    assert [(k.lower(), v) for k, v in request.trailers] == [("x-check", "yes")]


def test_trailers_that_frame_or_route_do_not_pass(shared, shared_origin, client):
    client.request("POST", shared.path("/echo/bad-trailers"), "Transfer-Encoding: chunked")
    client.send(b"1\r\nx\r\n0\r\nContent-Length: 5\r\nHost: evil\r\nX-Fine: 1\r\n\r\n")
    response = client.response()
    if response.status == 200:
        names = {k.lower() for k, _ in shared_origin.requests_for("/echo/bad-trailers")[-1].trailers}
        assert names <= {"x-fine"}
    else:
        assert response.status == 400


# ---- fields ----

def test_hop_by_hop_request_fields_do_not_pass(shared, client):
    seen = inspect(client.ask(
        "GET", shared.path("/inspect"), "Connection: keep-alive, X-Secret-Hop", "X-Secret-Hop: 1", "Keep-Alive: 300",
        "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: gzip", "Upgrade: h2c", "X-End: kept"))
    fields = seen["fields"]
    for name in ("x-secret-hop", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"):
        assert name not in fields, name
    assert fields["x-end"] == ["kept"]
    assert all("x-secret-hop" not in value.lower() for value in fields.get("connection", []))


def test_hop_by_hop_response_fields_do_not_pass(shared, client):
    response = client.ask("GET", shared.path("/hop"))
    for name in ("keep-alive", "x-named", "proxy-connection", "proxy-authenticate"):
        assert name not in response.fields, name
    assert response.fields.get("x-kept") == "yes"
    assert response.fields.all("set-cookie") == ["a=1", "b=2"]


def test_forwarding_fields_are_set(shared, client):
    port = shared.public[1]
    fields = inspect(client.ask("GET", "/inspect", host=f"main.localhost:{port}"))["fields"]
    assert fields["x-forwarded-for"] == ["127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert fields["x-forwarded-host"] == [f"main.localhost:{port}"]
    assert "for=127.0.0.1" in fields["forwarded"][0].replace('"', "")
    assert "proto=http" in fields["forwarded"][0]
    assert fields["via"] == ["1.1 east"]
    assert len(fields["x-request-id"][0]) >= 16


def test_forged_forwarding_fields_are_dropped(shared, client):
    fields = inspect(client.ask("GET", shared.path("/inspect"), "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
                                "Forwarded: for=6.6.6.6", "X-Forwarded-Host: evil"))["fields"]
    assert "6.6.6.6" not in json.dumps(fields) and "evil" not in json.dumps(fields)
    assert fields["x-forwarded-proto"] == ["http"]


def test_request_id_is_kept_when_given(shared, client):
    fields = inspect(client.ask("GET", shared.path("/inspect"), "X-Request-Id: abc-123"))["fields"]
    assert fields["x-request-id"] == ["abc-123"]


def test_request_ids_differ(shared, client):
    ids = {inspect(client.ask("GET", shared.path("/inspect")))["fields"]["x-request-id"][0] for _ in range(5)}
    assert len(ids) == 5


def test_traceparent_passes(shared, client):
    value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = inspect(client.ask("GET", shared.path("/inspect"), f"traceparent: {value}"))["fields"]
    assert fields["traceparent"] == [value]


def test_via_is_added_to_the_response(shared, client):
    assert client.ask("GET", shared.path("/echo")).fields.get("via") == "2 east"  # from the uplink


def test_repeated_fields_stay_in_order(shared, client):
    seen = inspect(client.ask("GET", shared.path("/inspect"), "X-Many: 1", "Accept: a", "X-Many: 2", "x-many: 3"))
    assert ", ".join(seen["fields"]["x-many"]) == "1, 2, 3"


def test_cookie_fields_arrive_as_one(shared, client):
    """RFC 9113, 8.2.3: what HTTP/2 may have split is one Cookie line again in HTTP/1.1."""
    seen = inspect(client.ask("GET", shared.path("/inspect"), "Cookie: a=1; b=2; c=3"))
    assert seen["fields"]["cookie"] == ["a=1; b=2; c=3"]


def test_field_values_keep_their_bytes(shared, client):
    value = "caf\xe9 \xff;\t\"q\" ,=()<>@"
    seen = inspect(client.ask("GET", shared.path("/inspect"), f"X-Raw: {value}"))
    assert seen["fields"]["x-raw"] == [value]


def test_authorization_passes(shared, client):
    seen = inspect(client.ask("GET", shared.path("/inspect"), "Authorization: Basic dTpw"))
    assert seen["fields"]["authorization"] == ["Basic dTpw"]


def test_host_is_kept_as_the_public_sent_it(shared, client):
    seen = inspect(client.ask("GET", shared.path("/inspect"), host="www.shop.example:8443"))
    assert seen["fields"]["host"] == ["www.shop.example:8443"]


def test_host_header_option_rewrites_host(shared, shared_origin):
    client = shared.tunnelc(shared_origin.target, "--host-header", "inner.example:99", session="rewritten")
    seen = inspect(ask(shared.public, "GET", f"/session/{client.session}/inspect", host="outer.example"))
    assert seen["fields"]["host"] == ["inner.example:99"]
    assert seen["fields"]["x-forwarded-host"] == ["outer.example"]


@pytest.mark.parametrize("target", [
    "/inspect?", "/inspect?a=b&c=d&e", "/inspect?q=%20%2F%c3%A9+x", "/inspect/%2e%2e/%2F/a%20b", "/inspect//double//",
    "/inspect/a;b=c,d:e@f!$'()*~_-.", "/inspect/../up/./here", "/inspect?q=/?:@!$",
])
def test_target_reaches_the_origin_untouched(shared, client, target):
    assert inspect(client.ask("GET", shared.path(target)))["target"] == target


def test_long_target_passes(shared, client):
    target = "/inspect?" + "q" * 7000
    assert inspect(client.ask("GET", shared.path(target)))["target"] == target


def test_origin_by_url(shared, shared_origin):
    client = shared.tunnelc(f"http://localhost:{shared_origin.port}", session="by-url")
    assert ask(shared.public, "GET", f"/session/{client.session}/echo").status == 200


def test_origin_by_port(shared, shared_origin):
    client = shared.tunnelc(shared_origin.port, session="by-port")
    assert ask(shared.public, "GET", f"/session/{client.session}/echo").status == 200
