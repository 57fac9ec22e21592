"""--workers: a loop a thread. What one does several do alike, and end alike."""
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import connect

import api
import pattern
import ports
import tcp
from load import Load
from metrics import Metrics
from programs import wait_until
from websocket_origin import WebSocketOrigin
from wire import Client, ask

WORKERS = 3


def ups(program, after=0):
    return [event for event in program.events[after:] if event["event"] == "connected"]


def threads(program):
    """Names of its threads."""
    return sorted((task / "comm").read_text().strip() for task in Path(f"/proc/{program.pid}/task").iterdir())


@pytest.fixture
def entry(site):
    site.tunneld()
    site.session = "main"
    return site.proxyentry()


# ---- tunnelc ----


def test_a_client_of_several_workers_has_an_uplink_for_each(site, entry, origin):
    client = site.tunnelc(origin.target, "--workers", WORKERS, "--admin", "127.0.0.1:0", session="main")
    wait_until(lambda: len(ups(client)) == WORKERS, "an uplink for each worker")
    assert [name for name in threads(client) if name.startswith("tunnelc-")] == ["tunnelc-1", "tunnelc-2"]
    with ThreadPoolExecutor(12) as pool:
        sizes = [n * 997 for n in range(1, 61)]
        answers = list(pool.map(lambda n: ask(site.public, "POST", site.path("/echo"), body=b"x" * n), sizes))
    assert all(answer.status == 200 for answer in answers)
    metrics = Metrics(client)
    wait_until(lambda: metrics("tunnel2_client_requests_total") == len(sizes), "every worker's requests to be counted")
    assert metrics("tunnel2_client_uplinks") == WORKERS
    wait_until(lambda: metrics("tunnel2_client_requests_active") == 0, "none to be under way")
    assert client.stop() == 0
    assert [event["event"] for event in client.events][-2:] == ["draining", "ended"]


@pytest.mark.parametrize("uplinks, wanted", [("1", 3), ("3", 3), ("5", 5)])
def test_uplinks_are_counted_for_the_client(site, entry, origin, uplinks, wanted):
    client = site.tunnelc(origin.target, "--workers", WORKERS, "--uplinks", uplinks, session="main")
    wait_until(lambda: len(ups(client)) == wanted, f"{wanted} uplinks")
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    assert entry.log().count("uplink of session main is up") == wanted


@pytest.mark.parametrize("given", ["0", "65", "some", "-1"])
def test_numbers_of_workers_that_are_none(site, given):
    client = site.start("tunnelc", "http", "8000", "--dev", "--state-dir", site.state, f"--workers={given}")
    assert client.wait() == 2
    client.expected_end = 2
    assert f"--workers {given}" in client.log()


def test_a_client_of_several_workers_drains_without_loss(site, entry, origin):
    """Requests on each of its uplinks are finished, and the other client has the next."""
    first = site.tunnelc(origin.target, "--workers", WORKERS, session="main")
    wait_until(lambda: len(ups(first)) == WORKERS, "its uplinks")
    waiting = [Client(site.public) for _ in range(12)]
    for public in waiting:
        public.request("GET", site.path("/wait/held"))
    origin.wait_request("/wait/held", len(waiting))
    second = site.tunnelc(origin.target, "--workers", 2, session="main")
    wait_until(lambda: len(ups(second)) == 2, "those of the second")
    with Load(site.public, site.path("/bytes/50"), threads=3) as load:
        wait_until(lambda: load.done > 20, "a load")
        first.signal()
        first.event("draining")
        wait_until(lambda: load.done > 60, "more of it")
        assert first.process.poll() is None
        origin.gate("held").set()
        assert first.wait() == 0
        wait_until(lambda: load.done > 90, "and more")
    assert not load.failures, load.failures[:5]
    assert all(public.response().body == b"waited" for public in waiting)
    for public in waiting:
        public.close()


def test_a_second_signal_ends_all_workers_at_once(site, entry, origin):
    client = site.tunnelc(origin.target, "--workers", WORKERS, session="main")
    wait_until(lambda: len(ups(client)) == WORKERS, "its uplinks")
    public = Client(site.public)
    public.request("GET", site.path("/wait/ever"))
    origin.wait_request("/wait/ever")
    client.signal()
    client.event("draining")
    client.signal()
    client.wait()
    client.expected_end = client.process.returncode
    assert client.process.returncode in (0, 1)
    public.close()


def test_the_entry_comes_back_and_so_do_all_workers(site, entry, origin):
    client = site.tunnelc(origin.target, "--workers", WORKERS, session="main")
    wait_until(lambda: len(ups(client)) == WORKERS, "its uplinks")
    mark = client.mark()
    addresses = {"public": "%s:%d" % entry.public, "uplink": "%s:%d" % entry.uplink}
    entry.kill()
    wait_until(lambda: len([e for e in client.events[mark:] if e["event"] == "lost"]) == WORKERS, "to be lost")
    site.proxyentry(**addresses, registered=False)
    wait_until(lambda: len(ups(client, mark)) == WORKERS, "all of them again")
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_an_origin_that_fails_takes_all_workers_out(site, origin):
    site.tunneld()
    site.session = "main"
    site.proxyentry("--queue-max", "0")
    client = site.tunnelc(origin.target, "--workers", WORKERS, "--health", "/status/200", "--health-interval", "1",
                          "--admin", "127.0.0.1:0", session="main")
    wait_until(lambda: len(ups(client)) == WORKERS, "its uplinks")
    origin.close()
    client.event("unhealthy")
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 503, "to be refused")
    answers = [ask(site.public, "GET", site.path("/echo")) for _ in range(2 * WORKERS)]
    assert [answer.status for answer in answers] == [503] * len(answers)


def test_a_tcp_session_of_several_workers(site):
    held = tcp.TcpOrigin(tcp.echo)
    tcp.tcp_site(site)
    client = tcp.publish(site, held.target, "--workers", WORKERS)
    wait_until(lambda: len(ups(client)) == WORKERS, "its uplinks")
    assert {event.get("url") for event in ups(client)} == set(client.ready["urls"])
    connections = [tcp.connect(client) for _ in range(24)]
    for n, connection in enumerate(connections):
        connection.sendall(b"%06d" % n)
    assert [tcp.exactly(connection, 6) for connection in connections] == [b"%06d" % n for n in range(24)]
    for connection in connections:
        connection.close()


# ---- proxyentry ----


@pytest.fixture
def wide(site):
    """An entry of several workers."""
    site.tunneld()
    site.session = "main"
    return site.proxyentry("--workers", WORKERS, "--tcp-ports", "{0}-{0}".format(ports.free(1)))


def test_requests_find_the_one_uplink_from_every_worker(site, wide, origin):
    client = site.tunnelc(origin.target, session="main")
    assert [name for name in threads(wide) if name.startswith("entry-")] == ["entry-1", "entry-2"]
    clients = [Client(site.public) for _ in range(4 * WORKERS)]
    for number, public in enumerate(clients):
        for size in (0, 5, 70000 + number):
            answer = public.ask("POST", site.path("/echo"), body=b"x" * size)
            assert (answer.status, answer.body) == (200, b"x" * size)
    metrics = Metrics(wide)
    wait_until(lambda: metrics("tunnel2_entry_requests_total") == 12 * WORKERS, "all workers' requests to be counted")
    assert metrics("tunnel2_entry_uplinks") == 1
    assert metrics("tunnel2_entry_sessions") == 1
    assert metrics("tunnel2_entry_connections") == len(clients)
    for public in clients:
        public.close()
    assert client.stop() == 0


def test_uplinks_of_a_client_are_spread_over_the_workers(site, wide, origin):
    client = site.tunnelc(origin.target, "--workers", WORKERS, "--uplinks", 2 * WORKERS, session="main")
    wait_until(lambda: len(ups(client)) == 2 * WORKERS, "its uplinks")
    with Load(site.public, site.path("/bytes/5000"), threads=9) as load:
        wait_until(lambda: load.done > 200, "a load")
    assert not load.failures, load.failures[:5]
    assert wide.stop() == 0


def test_much_content_crosses_both_ways_at_once(site, wide, origin):
    site.tunnelc(origin.target, session="main")
    size = 1_500_000
    content = b"".join(pattern.pieces(size))

    def both(number):
        path, body = (("/upload", content) if number % 2 else (f"/bytes/{size}", b""))
        return number, ask(site.public, "POST" if body else "GET", site.path(path), body=body)

    with ThreadPoolExecutor(8) as pool:
        for number, answer in pool.map(both, range(16)):
            assert answer.status == 200 and answer.whole
            if number % 2:
                assert json.loads(answer.body) == {"bytes": size, "exact": True}
            else:
                assert answer.body == content


def test_websockets_cross(site, wide):
    sockets = WebSocketOrigin()
    site.tunnelc(sockets.port, session="sockets")
    url = f"ws://{site.public[0]}:{site.public[1]}/session/sockets/"
    held = [connect(url) for _ in range(3 * WORKERS)]
    for turn in range(3):
        for number, ws in enumerate(held):
            ws.send(f"{turn} {number}" * 1000)
        assert [ws.recv(timeout=30) for ws in held] == [f"{turn} {number}" * 1000 for number in range(len(held))]
    for ws in held:
        ws.close()
    sockets.close()


def test_public_clients_that_go_away_cancel_what_crosses(site, wide, origin):
    site.tunnelc(origin.target, session="main")
    for _ in range(WORKERS):
        public = Client(site.public)
        public.request("GET", site.path("/never"))
        request = origin.wait_request("/never", len(origin.requests_for("/never")) or 1)
        public.close()
        origin.wait_aborted(request)
        origin.requests.clear()


def test_a_tcp_session_has_its_port_from_every_worker(site, wide):
    held = tcp.TcpOrigin(tcp.echo)
    clients = [tcp.publish(site, held.target, session="port") for _ in range(2 * WORKERS)]
    assert len({client.address for client in clients}) == 1
    connections = [tcp.connect(clients[0]) for _ in range(12)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%06d" % number)
    assert [tcp.exactly(connection, 6) for connection in connections] == [b"%06d" % n for n in range(12)]
    other = tcp.publish(site, held.target, session="other", ready=False)
    refused = other.event("retrying")
    assert "no port" in refused["reason"]
    for connection in connections:
        connection.close()


def test_a_client_is_killed_and_another_goes_on(site, wide, origin):
    first, second = (site.tunnelc(origin.target, session="main") for _ in range(2))
    wait_until(lambda: wide.log().count("uplink of session main is up") == 2, "both uplinks")
    with Load(site.public, site.path("/bytes/50"), threads=6) as load:
        wait_until(lambda: load.done > 60, "a load")
        first.kill()
        wait_until(lambda: load.done > 300, "more of it")
    assert not load.failures, load.failures[:5]
    assert second.process.poll() is None


def test_an_entry_drains_without_loss(site, wide, origin):
    """What has come in at any worker is answered, wherever its uplink is."""
    client = site.tunnelc(origin.target, "--workers", "2", session="main")
    wait_until(lambda: len(ups(client)) == 2, "its uplinks")
    waiting = [Client(site.public) for _ in range(4 * WORKERS)]
    for public in waiting:
        public.request("GET", site.path("/wait/held"))
    origin.wait_request("/wait/held", len(waiting))
    wide.signal()
    wide.event("draining")
    origin.gate("held").set()
    assert [public.response().body for public in waiting] == [b"waited"] * len(waiting)
    assert wide.wait() == 0


def test_the_end_of_a_session_reaches_all_workers(site, wide, origin):
    client = site.tunnelc(origin.target, "--workers", WORKERS, session="main")
    wait_until(lambda: len(ups(client)) == WORKERS, "its uplinks")
    assert api.call(site, "DELETE", "/v1/sessions/main", token=site.token).status == 204
    client.event("ended")
    client.wait()
    client.expected_end = client.process.returncode
    wait_until(lambda: {ask(site.public, "GET", site.path("/echo")).status for _ in range(2 * WORKERS)} == {404},
               "the session to be unknown")


@pytest.mark.parametrize("given", ["0", "65", "some"])
def test_numbers_of_an_entrys_workers_that_are_none(site, given):
    site.tunneld()
    entry = site.start("proxyentry", "--dev", "--state-dir", site.state, f"--workers={given}")
    assert entry.wait() == 2
    entry.expected_end = 2
    assert f"--workers {given}" in entry.log()


def test_many_sessions_are_spread(site, wide, origin):
    clients = [site.tunnelc(origin.target, session=f"site-{number}") for number in range(2 * WORKERS)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ask(site.public, "GET", site.path("/echo", session=f"site-{n % len(clients)}")),
                                range(60)))
    assert [answer.status for answer in answers] == [200] * 60
    metrics = Metrics(wide)
    assert metrics("tunnel2_entry_sessions") == len(clients)
    assert metrics("tunnel2_entry_uplinks") == len(clients)
