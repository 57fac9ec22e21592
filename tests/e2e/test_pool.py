"""Connections to the origin are kept and used again, and one that has gone stale is noticed without harm."""
import pytest

from programs import wait_until
from wire import Client, ask


@pytest.fixture
def served(site, origin):
    site.all(origin)
    return site


def test_connections_are_used_again(served, origin):
    with Client(served.public) as client:
        for _ in range(30):
            assert client.ask("GET", served.path("/echo")).status == 200
    assert origin.connections == 1


def test_public_connections_share_the_pool(served, origin):
    for _ in range(10):
        assert ask(served.public, "GET", served.path("/echo")).status == 200
    assert origin.connections == 1


def test_concurrent_requests_get_connections_of_their_own(served, origin):
    clients = [Client(served.public) for _ in range(5)]
    for client in clients:
        client.request("GET", served.path("/wait/together"))
    origin.wait_request("/wait/together", count=5)
    origin.gate("together").set()
    for client in clients:
        assert client.response().body == b"waited"
        client.close()
    assert origin.connections == 5
    for _ in range(5):
        assert ask(served.public, "GET", served.path("/echo")).status == 200
    assert origin.connections == 5


@pytest.mark.parametrize("path", ["/http10", "/cut/chunked", "/reject"])
def test_connection_that_cannot_be_kept_is_not(served, origin, path):
    ask(served.public, "GET", served.path(path))
    assert ask(served.public, "GET", served.path("/echo")).status == 200
    assert origin.connections == 2


def test_cancelled_exchange_does_not_return_its_connection(served, origin):
    with Client(served.public) as client:
        client.request("GET", served.path("/drip/cancelled"))
        client.final_head()
        request = origin.wait_request("/drip/cancelled")
    origin.wait_aborted(request)
    assert ask(served.public, "GET", served.path("/echo")).status == 200
    assert origin.connections == 2


def test_connection_closed_while_idle_is_not_used(served, origin):
    """The end of an idle connection is seen and the next request opens another: even a POST."""
    assert ask(served.public, "GET", served.path("/echo")).status == 200
    origin.drop()
    wait_until(lambda: not origin.open, "the origin to have closed")
    for method, body in (("GET", b""), ("POST", b"x")):
        response = ask(served.public, method, served.path("/echo"), body=body)
        if response.status == 502 and method == "POST":
            continue  # the end had not arrived yet, and a POST is not repeated
        assert response.status == 200


def stale(served, origin, method, body=b""):
    """A request on a pooled connection that the origin ends on reading it: the answer, and how often it arrived."""
    assert ask(served.public, "GET", served.path("/echo")).status == 200  # now one is pooled
    response = ask(served.public, method, served.path("/close"), body=body)
    return response, len(origin.requests_for("/close"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_request_on_a_stale_connection_is_retried_once(served, origin, method):
    response, arrived = stale(served, origin, method)
    assert (response.status, arrived) == (502, 2)  # the second time on a new connection, and then it is an error


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_unsafe_request_is_never_repeated(served, origin, method):
    response, arrived = stale(served, origin, method, b"once")
    assert (response.status, arrived) == (502, 1)


def test_safe_request_on_a_new_connection_is_not_repeated(served, origin):
    response = ask(served.public, "GET", served.path("/close"))
    assert (response.status, len(origin.requests_for("/close"))) == (502, 1)


def test_retry_succeeds_where_the_new_connection_is_good(served, origin):
    """The origin ends the kept connection under the request; on a new one it answers."""
    ends = [True]
    answer = origin._do_echo

    def echo(wire, sock, request, rest):
        if rest == "flaky" and ends and request.connection == 1:
            ends.pop()
            return "close"
        return answer(wire, sock, request, rest)

    origin._do_echo = echo
    assert ask(served.public, "GET", served.path("/echo")).status == 200
    assert ask(served.public, "GET", served.path("/echo/flaky")).status == 200
    assert not ends


def test_nothing_is_repeated_once_something_was_answered(served, origin):
    assert ask(served.public, "GET", served.path("/echo")).status == 200
    response = ask(served.public, "GET", served.path("/cut/length"))
    assert not response.whole and len(origin.requests_for("/cut/length")) == 1


def test_unasked_bytes_spoil_a_connection(served, origin):
    """An origin that sends more than it announced: the next request must not get that as its answer."""
    def extra(wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                     b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    origin._do_extra = extra
    assert ask(served.public, "GET", served.path("/extra")).body == b"ok"
    for _ in range(3):
        assert b"poison" not in ask(served.public, "GET", served.path("/echo")).body
