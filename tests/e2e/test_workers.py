"""--workers: a loop a thread. What one does several do alike, and end alike."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tcp
from load import Load
from metrics import Metrics
from programs import wait_until
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
