"""What the public sees when something is missing or breaks: a problem document with Proxy-Status, or a visible cut."""
import email.utils
import json
import re
import socket
import time

import pytest

from api import call
from programs import wait_until
from wire import Client, ask


def problem(response, status, error=None):
    """It is a problem document of that status, and Proxy-Status (RFC 9209) names the error."""
    assert response.status == status, response
    assert response.fields.get("content-type") == "application/problem+json", response
    document = json.loads(response.body)
    assert document["status"] == status and document["title"] and document["type"]
    assert response.fields.get("cache-control") == "no-store"
    assert response.fields.get("x-request-id")
    assert abs(email.utils.parsedate_to_datetime(response.fields.get("date")).timestamp() - time.time()) < 5
    if error:
        status_field = response.fields.get("proxy-status", "")
        assert re.search(rf"(^|;)\s*error={error}\b", status_field), status_field
    return document


def serve(site, target, *arguments, **options):
    """A tunnelc for a target; returns the session's path prefix."""
    client = site.tunnelc(target, *arguments, **options)
    return f"/session/{client.session}"


def closed_port():
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


# ---- no way to an origin ----

@pytest.mark.parametrize("path", [
    "/session/nobody/", "/session/nobody", "/session/00000000-0000-4000-8000-000000000000/x"])
def test_unknown_session_is_404(shared, path):
    problem(ask(shared.public, "GET", path), 404, "destination_not_found")


@pytest.mark.parametrize("host, path", [
    ("nobody.localhost", "/"), ("a.b.main.localhost", "/"), ("elsewhere.example", "/"), ("localhost", "/"),
    ("127.0.0.1", "/"), ("127.0.0.1", "/session/"), ("127.0.0.1", "/session"), ("127.0.0.1", "/session/NOT!valid/"),
    ("127.0.0.1", "/sessions/main/"), ("127.0.0.1", "/Session/main/"), ("127.0.0.1", "/session/../session/main/")])
def test_address_of_no_session_is_404(shared, host, path):
    problem(ask(shared.public, "GET", path, host=host), 404)


def test_head_of_an_unknown_session_has_no_content(shared):
    with Client(shared.public) as client:
        client.request("HEAD", "/session/nobody/")
        response = client.response("HEAD")
        assert response.status == 404 and not response.body
        assert client.ask("GET", shared.path("/echo")).status == 200


def test_no_uplink_is_503_with_retry_after(site, origin):
    """The session is known (its uplink was there) but nobody serves it now."""
    site.all(origin)
    site.client.kill()
    response = wait_until(lambda: (r := ask(site.public, "GET", site.path("/echo"))).status != 200 and r, "the loss")
    problem(response, 503, "destination_unavailable")
    assert int(response.fields.get("retry-after")) >= 1


def test_problem_keeps_the_connection(shared):
    with Client(shared.public) as client:
        for _ in range(3):
            assert client.ask("GET", "/session/nobody/").status == 404
        assert client.ask("POST", "/session/nobody/", body=b"content that nobody wants").status == 404
        assert client.ask("GET", shared.path("/echo")).status == 200


def test_problem_carries_the_request_id(shared):
    response = ask(shared.public, "GET", "/session/nobody/", "X-Request-Id: the-one")
    assert response.fields.get("x-request-id") == "the-one"
    assert json.loads(response.body).get("instance") == "urn:request:the-one"


# ---- the origin cannot be reached ----

def test_refused_origin_is_502(shared):
    prefix = serve(shared, closed_port())
    problem(ask(shared.public, "GET", f"{prefix}/"), 502, "connection_refused")
    problem(ask(shared.public, "POST", f"{prefix}/", body=b"x" * 100000), 502, "connection_refused")


def test_unresolvable_origin_is_502(shared):
    client = shared.start("tunnelc", "http", "no-such-host.invalid:80", *shared.common(
        "--server", f"https://{shared.control}"), environment={"RES_OPTIONS": "attempts:1 timeout:1"})
    session = client.event("ready")["session"]
    problem(ask(shared.public, "GET", f"/session/{session}/"), 502, "dns_error")


def test_origin_that_does_not_accept_is_504(shared):
    """A listener whose backlog is full: SYNs are dropped."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            waiting.append(filler)
        prefix = serve(shared, full.getsockname()[1], "--connect-timeout", "1")
        begun = time.monotonic()
        problem(ask(shared.public, "GET", f"{prefix}/"), 504, "connection_timeout")
        assert 0.9 < time.monotonic() - begun < 5
        for filler in waiting:
            filler.close()


def test_origin_that_does_not_answer_is_504(shared, shared_origin):
    prefix = serve(shared, shared_origin.target, "--response-timeout", "1")
    begun = time.monotonic()
    problem(ask(shared.public, "GET", f"{prefix}/never/timeout"), 504, "http_response_timeout")
    assert 0.9 < time.monotonic() - begun < 5
    shared_origin.wait_aborted(shared_origin.wait_request("/never/timeout"))


def test_response_timeout_counts_from_the_end_of_a_slow_upload(shared, shared_origin):
    prefix = serve(shared, shared_origin.target, "--response-timeout", "1")
    with Client(shared.public) as client:
        client.request("POST", f"{prefix}/echo", "Content-Length: 4")
        for piece in (b"s", b"l", b"o", b"w"):
            time.sleep(0.5)
            client.send(piece)
        response = client.response()
        assert (response.status, response.body) == (200, b"slow")


# ---- the origin misbehaves ----

def test_origin_that_closes_before_answering_is_502(shared):
    problem(ask(shared.public, "POST", shared.path("/close"), body=b"x"), 502, "connection_terminated")


def test_origin_that_cuts_its_head_is_502(shared):
    problem(ask(shared.public, "POST", shared.path("/cut/head"), body=b"x"), 502)


def test_origin_that_speaks_no_http_is_502(shared):
    problem(ask(shared.public, "GET", shared.path("/garbage")), 502, "http_protocol_error")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_cut_answer_is_cut_visibly(shared, framing):
    with Client(shared.public) as client:
        response = client.ask("GET", shared.path(f"/cut/{framing}"))
        assert response.status == 200
        assert response.body in (b"only this", b"") and not response.whole
        assert client.closed()


def test_client_that_dies_cuts_its_answers_visibly(site, origin):
    site.all(origin)
    with Client(site.public) as client:
        client.request("GET", site.path("/gate/dies"))
        response = client.final_head()
        pieces = client.pieces(response)
        assert next(pieces) == b"before;"
        site.client.kill()
        with pytest.raises(Exception):
            for _ in pieces:
                pass
        assert client.closed()


def test_client_that_dies_before_answering_is_502_or_503(site, origin):
    site.all(origin)
    with Client(site.public) as client:
        client.request("GET", site.path("/never"))
        origin.wait_request("/never")
        site.client.kill()
        response = client.response()
        assert response.status in (502, 503)
        problem(response, response.status)


def test_failure_of_one_request_is_not_felt_by_others(shared, shared_origin):
    with Client(shared.public) as client:
        client.request("GET", shared.path("/gate/neighbour"))
        response = client.final_head()
        for path in ("/close", "/cut/chunked", "/garbage", "/cut/head"):
            ask(shared.public, "POST", shared.path(path), body=b"x")
        shared_origin.gate("neighbour").set()
        assert b"".join(client.pieces(response)) == b"before;after"


# ---- the asker goes away ----

def test_client_that_goes_away_cancels_the_origin_request(shared, shared_origin):
    with Client(shared.public) as client:
        client.request("GET", shared.path("/never/gone"))
        request = shared_origin.wait_request("/never/gone")
    left = time.monotonic()
    assert shared_origin.wait_aborted(request) - left < 1


def test_client_that_goes_away_mid_answer_cancels(shared, shared_origin):
    with Client(shared.public) as client:
        client.request("GET", shared.path("/drip/gone"))
        client.final_head()
        request = shared_origin.wait_request("/drip/gone")
    left = time.monotonic()
    assert shared_origin.wait_aborted(request) - left < 1


def test_client_that_goes_away_mid_upload_cancels(shared, shared_origin):
    with Client(shared.public) as client:
        client.request("POST", shared.path("/upload/gone"), "Content-Length: 1000000")
        client.send(b"x" * 1000)
        request = shared_origin.wait_request("/upload/gone")
    left = time.monotonic()
    assert shared_origin.wait_aborted(request) - left < 1


def test_answer_before_the_end_of_the_upload(shared, shared_origin):
    """The origin has decided already: its answer passes, the rest of the content is not waited for."""
    with Client(shared.public) as client:
        client.request("POST", shared.path("/reject/early"), "Content-Length: 1000000")
        client.send(b"x" * 1000)
        response = client.final_head()
        assert response.status == 417
        assert b"".join(client.pieces(response)) == b"no thanks"


def test_pause_in_an_upload_is_not_the_origins_fault(shared, shared_origin):
    """The time allowed to the origin runs while it is the origin's turn."""
    prefix = serve(shared, shared_origin.target, "--response-timeout", "1")
    with Client(shared.public) as client:
        client.request("POST", f"{prefix}/echo", "Content-Length: 8")
        client.send(b"half")
        time.sleep(2.5)  # longer than that: there is nothing to wait for but time
        client.send(b"half")
        response = client.response()
        assert (response.status, response.body) == (200, b"halfhalf")


def test_origin_that_stops_taking_an_upload_is_504(shared):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        prefix = serve(shared, deaf.getsockname()[1], "--response-timeout", "1")
        with Client(shared.public) as client:
            client.request("POST", f"{prefix}/", f"Content-Length: {1 << 30}")
            try:
                for _ in range(1000):
                    client.send(b"x" * 65536)
            except OSError:
                pass
            assert client.final_head().status == 504


def test_deleted_session_is_unknown(site, origin):
    site.all(origin)
    assert call(site, "DELETE", f"/v1/sessions/{site.session}", token=site.token).status == 204
    site.client.expected_end = 1
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 404, "the entry to forget the session")


def test_answer_that_breaks_at_once_is_not_a_lost_client(shared):
    """Head and breach come in one piece: the client is there, its answer is not."""
    def answer(sock):
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        prefix = serve(shared, server.getsockname()[1])
        with Client(shared.public) as client:
            client.request("GET", f"{prefix}/")
            sock, _ = server.accept()
            with sock:
                answer(sock)
                response = client.response()
        assert not response.whole or response.status == 502
        assert b"uplink-lost" not in response.body
