"""SIGTERM lets what is under way finish, for as long as --drain-timeout allows; a second one ends at once."""
import signal
import time

import pytest

from load import Load
from programs import wait_until
from wire import Client, Closed, ask


def start(site, origin, *drain):
    site.tunneld(*drain)
    site.entry = site.proxyentry(*drain)
    site.client = site.tunnelc(origin.target, *drain, "--admin", "127.0.0.1:0", session="main")
    site.session = "main"
    return site


def begin(site, origin, name, *lines):
    """A request whose answer has begun and waits for its gate."""
    client = Client(site.public)
    client.request("GET", site.path(f"/gate/{name}"), *lines)
    response = client.final_head()
    pieces = client.pieces(response)
    assert next(pieces) == b"before;"
    return client, pieces


@pytest.mark.parametrize("which", ["client", "entry"])
def test_exchange_under_way_finishes(site, origin, which):
    start(site, origin)
    client, pieces = begin(site, origin, "finish")
    program = getattr(site, which)
    program.signal()
    program.event("draining")
    assert program.process.poll() is None
    origin.gate("finish").set()
    assert b"".join(pieces) == b"after"
    assert program.wait() == 0
    client.close()


@pytest.mark.parametrize("which", ["client", "entry"])
def test_upload_under_way_finishes(site, origin, which):
    start(site, origin)
    with Client(site.public) as client:
        client.request("POST", site.path("/echo"), "Content-Length: 8")
        client.send(b"half")
        origin.wait_request("/echo")
        program = getattr(site, which)
        program.signal()
        program.event("draining")
        client.send(b"half")
        assert client.response().body == b"halfhalf"
        assert program.wait() == 0


def test_draining_client_takes_no_new_requests(site, origin):
    """They get 503, or go to another uplink of the session, while the old exchange goes on."""
    start(site, origin)
    client, pieces = begin(site, origin, "old")
    site.client.signal()
    site.client.event("draining")
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 503, "new requests to be refused")
    second = site.tunnelc(origin.target, session="main")
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    origin.gate("old").set()
    assert b"".join(pieces) == b"after"
    assert site.client.wait() == 0
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    assert second.process.poll() is None
    client.close()


def test_rolling_restart_of_the_client_fails_no_request(site, origin):
    start(site, origin)
    with Load(site.public, site.path("/bytes/50"), threads=3) as load:
        wait_until(lambda: load.done > 20, "a load")
        old = site.client
        for _ in range(2):
            new = site.tunnelc(origin.target, session="main")
            assert old.stop() == 0
            old = new
        done = load.done
        wait_until(lambda: load.done > done + 20, "more load")
    assert not load.failures, load.failures[:5]


def test_draining_entry_closes_idle_connections_and_accepts_no_more(site, origin):
    start(site, origin)
    client, pieces = begin(site, origin, "last")
    with Client(site.public) as idle:
        assert idle.ask("GET", site.path("/echo")).status == 200
        site.entry.signal()
        site.entry.event("draining")
        assert idle.closed()
    with pytest.raises((OSError, Closed)):
        ask(site.public, "GET", site.path("/echo"))
    origin.gate("last").set()
    assert b"".join(pieces) == b"after"
    assert site.entry.wait() == 0
    client.close()


@pytest.mark.parametrize("which", ["client", "entry"])
def test_drain_timeout_bounds_it(site, origin, which):
    start(site, origin, "--drain-timeout", "1")
    client, pieces = begin(site, origin, "bounded")
    program = getattr(site, which)
    begun = time.monotonic()
    program.signal()
    program.wait()
    assert 0.9 < time.monotonic() - begun < 6
    with pytest.raises((Closed, ValueError, OSError)):  # and the answer is cut visibly
        for _ in pieces:
            pass
    client.close()


@pytest.mark.parametrize("which", ["client", "entry"])
def test_second_signal_ends_at_once(site, origin, which):
    start(site, origin)
    client, pieces = begin(site, origin, "impatient")
    program = getattr(site, which)
    program.signal()
    program.event("draining")
    begun = time.monotonic()
    program.signal(signal.SIGINT)
    program.expected_end = program.wait()
    assert time.monotonic() - begun < 5
    assert program.expected_end in (0, 1)
    client.close()


def test_half_a_head_does_not_hold_up_an_entry(site, origin):
    start(site, origin)
    with Client(site.public) as idle, Client(site.public) as half:
        assert idle.ask("GET", site.path("/echo")).status == 200
        half.send("GET / HTTP/1.1\r\nHost:")
        assert ask(site.public, "GET", site.path("/echo")).status == 200  # and it has been read by now
        begun = time.monotonic()
        site.entry.signal()
        assert site.entry.wait() == 0
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_programs_end_quickly(site, origin, number):
    start(site, origin)
    for program in reversed(site.programs):
        begun = time.monotonic()
        program.signal(number)
        assert program.wait() == 0
        assert time.monotonic() - begun < 6, program.label  # leak checking at exit included


def test_health_while_running_and_draining(site, origin):
    start(site, origin)
    for program in site.programs:
        assert ask(program.admin, "GET", "/health/live").status == 200
        wait_until(lambda: ask(program.admin, "GET", "/health/ready").status == 200, f"{program.label} to be ready")
        assert ask(program.admin, "GET", "/elsewhere").status == 404
    client, pieces = begin(site, origin, "health")
    site.entry.signal()
    site.entry.event("draining")
    assert ask(site.entry.admin, "GET", "/health/ready").status == 503
    assert ask(site.entry.admin, "GET", "/health/live").status == 200
    origin.gate("health").set()
    assert b"".join(pieces) == b"after"
    client.close()


def test_client_is_not_ready_without_an_uplink(site, origin):
    start(site, origin)
    admin = site.client.admin
    wait_until(lambda: ask(admin, "GET", "/health/ready").status == 200, "readiness")
    site.entry.kill()
    wait_until(lambda: ask(admin, "GET", "/health/ready").status == 503, "unreadiness")
    assert ask(admin, "GET", "/health/live").status == 200
