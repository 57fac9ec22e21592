"""A client whose origin fails takes itself out, and comes back with it."""
import time

import pytest

import tcp
from load import Load
from origin import Origin
from programs import wait_until
from wire import ask

QUICK = ["--health-interval", "1", "--health-failures", "2"]


class Sick(Origin):
    """Its /health answers what `status` says."""

    status = 200

    def _do_health(self, wire, sock, request, _):
        self._send(sock, self.status, b"")


@pytest.fixture
def sick():
    origin = Sick()
    yield origin
    origin.close()


def ready(program):
    return ask(program.admin, "GET", "/health/ready").status


def test_client_is_out_while_its_checks_fail(site, sick):
    site.all(sick, "--health", "/health", *QUICK, "--admin", "127.0.0.1:0")
    sick.wait_request("/health", count=2)
    assert ask(site.public, "GET", site.path("/echo")).status == 200 and ready(site.client) == 200
    sick.status = 500
    said = site.client.event("unhealthy")
    assert "GET /health was answered with 500" in said["reason"]
    assert ready(site.client) == 503
    wait_until(lambda: ask(site.public, "GET", site.path("/echo/out")).status == 503, "requests to be refused")
    before = len(sick.requests_for("/out"))
    response = ask(site.public, "GET", site.path("/echo/out"))
    assert response.status == 503 and response.fields.get("retry-after")
    assert len(sick.requests_for("/out")) == before
    sick.status = 302
    site.client.event("healthy")
    assert ready(site.client) == 200
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 200, "requests to be answered")
    assert sick.requests_for("/health")[0].fields.get("user-agent") == "tunnel2-health"


def test_other_clients_of_the_session_answer_meanwhile(site, sick, origin):
    site.all(sick, "--health", "/health", *QUICK)
    site.tunnelc(origin.target, session="main")
    with Load(site.public, site.path("/bytes/50"), threads=4) as load:
        wait_until(lambda: sick.requests_for("/50") and origin.requests_for("/50"), "both to be asked")
        sick.status = 404
        site.client.event("unhealthy")
        mark = load.done
        wait_until(lambda: load.done > mark + 20, "what was under way to end")
        before, elsewhere = len(sick.requests_for("/50")), len(origin.requests_for("/50"))
        wait_until(lambda: len(origin.requests_for("/50")) > elsewhere + 50, "the other to be asked")
        assert len(sick.requests_for("/50")) == before
        sick.status = 204
        site.client.event("healthy")
        wait_until(lambda: len(sick.requests_for("/50")) > before, "it to be asked again")
    assert not load.failures, (len(load.failures), load.done, load.failures[:5])


def test_a_check_that_is_not_answered_in_time_fails(site, sick):
    sick._do_health = sick._do_never
    site.all(sick, "--health", "/health", "--health-timeout", "1", *QUICK)
    assert "GET /health" in site.client.event("unhealthy")["reason"]


def test_client_is_out_when_connections_fail_in_a_row_and_back_when_one_is_made(site):
    origin = Origin()
    site.all(origin)
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    origin.close()
    wait_until(lambda: not origin.open, "the origin to be gone")
    statuses = []
    wait_until(lambda: statuses.append(ask(site.public, "GET", site.path("/echo")).status) or statuses[-1] == 503,
               "requests to be refused")
    assert "5 connections in a row failed" in site.client.event("unhealthy")["reason"]
    assert statuses.count(502) >= 5
    again = Origin(port=origin.port)
    begun = time.monotonic()
    site.client.event("healthy")
    assert time.monotonic() - begun < 3
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 200, "requests to be answered")
    again.close()


def test_connections_need_not_count(site):
    origin = Origin()
    site.all(origin, "--connect-failures", "0")
    origin.close()
    assert {ask(site.public, "GET", site.path("/echo")).status for _ in range(20)} == {502}
    assert not [event for event in site.client.events if event["event"] == "unhealthy"]


def test_of_several_targets_none_speaks_for_the_others_unasked(site, origin):
    gone = Origin()
    gone.close()
    site.all(origin, "--route", f"/gone={gone.target}")
    assert {ask(site.public, "GET", site.path("/gone/x")).status for _ in range(20)} == {502}
    assert ask(site.public, "GET", site.path("/echo")).status == 200


@pytest.mark.parametrize("command", ["tcp", "http"])
def test_a_connection_is_a_check(site, command):
    origin = tcp.TcpOrigin(tcp.echo)
    tcp.tcp_site(site)
    client = site.tunnelc(origin.target, "--health", "connect", *QUICK, command=command)
    origin.close()
    client.event("unhealthy")
    again = tcp.TcpOrigin(tcp.echo, port=origin.port)
    client.event("healthy")
    again.close()


@pytest.mark.parametrize("command, target, health", [
    ("files", ".", "/x"), ("udp", "9", "connect"), ("tcp", "9", "/x"), ("http", "9", "x"), ("http", "9", "/a b")])
def test_what_can_not_be_checked_is_refused(site, command, target, health):
    site.tunneld()
    client = site.tunnelc(target, "--health", health, command=command, ready=False)
    client.expected_end = client.wait()
    assert client.expected_end == 2 and "health" in client.log()
