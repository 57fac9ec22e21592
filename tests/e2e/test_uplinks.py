"""Several uplinks to an entry, from one client and from several: they come, go and come back, and no request is lost."""
import signal
import time

import pytest

from load import Load
from origin import Origin
from programs import wait_until
from wire import Client, ask

ROLLING_SECONDS = 15


def ups(program, after=0):
    return [event for event in program.events[after:] if event["event"] == "connected"]


def uplinks_at(entry, session="main"):
    """How many the entry has taken for it, by its log."""
    return entry.log().count(f"uplink of session {session} is up")


@pytest.fixture
def entry(site):
    site.tunneld()
    return site.proxyentry()


def test_as_many_uplinks_as_asked_for(site, entry, origin):
    site.session = "main"
    client = site.tunnelc(origin.target, "--uplinks", "4", session="main")
    wait_until(lambda: len(ups(client)) == 4, "four uplinks")
    assert uplinks_at(entry) == 4
    with Load(site.public, site.path("/bytes/50"), threads=3) as load:
        wait_until(lambda: load.done > 30, "a load")
    assert not load.failures, load.failures[:5]
    client.signal()
    assert client.wait() == 0


@pytest.mark.parametrize("given", ["0", "17", "many", "-1"])
def test_numbers_of_uplinks_that_are_none(site, entry, given):
    client = site.tunnelc("8000", f"--uplinks={given}", ready=False)
    assert client.wait() == 2
    client.expected_end = 2
    assert f"--uplinks {given}" in client.log()


def test_auto_adds_an_uplink_when_they_are_busy_and_lets_it_go_when_they_are_not(site, entry, origin):
    site.session = "main"
    client = site.tunnelc(origin.target, "--uplinks", "auto", session="main")
    clients = [Client(site.public) for _ in range(70)]
    for public in clients:
        public.request("GET", site.path("/wait/busy"))
    wait_until(lambda: len(ups(client)) == 2, "a second uplink")
    origin.gate("busy").set()
    assert all(public.response().body == b"waited" for public in clients)
    for public in clients:
        public.close()
    with Load(site.public, site.path("/bytes/50"), threads=2) as load:
        wait_until(lambda: entry.log().count("uplink of session main is gone") == 1, "one to go")
    assert not load.failures, load.failures[:5]
    assert len(ups(client)) == 2 and not [e for e in client.events if e["event"] in ("lost", "retrying")]


def test_an_entry_that_takes_no_more_leaves_those_there_are(site, entry, origin):
    """The ticket allows 64 at an entry: what is beyond is not asked for again and again."""
    site.session = "main"
    for _ in range(3):
        one = site.tunnelc(origin.target, "--uplinks", "16", session="main")
        wait_until(lambda one=one: len(ups(one)) == 16, "sixteen uplinks")
    one = site.tunnelc(origin.target, "--uplinks", "13", session="main")
    wait_until(lambda: len(ups(one)) == 13, "thirteen uplinks")
    last = site.tunnelc(origin.target, "--uplinks", "8", session="main")
    wait_until(lambda: len(ups(last)) == 3, "the three that are left")
    wait_until(lambda: "takes no more than 3" in last.log(), "the client to say so")
    assert uplinks_at(entry) == 64
    assert entry.log().count("(409)") <= 5
    assert not [event for event in last.events if event["event"] in ("lost", "retrying")]
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_an_uplink_that_the_entry_lets_go_is_dialled_again_at_once(site, entry, origin):
    """The entry drains, and another takes its place, while an answer is under way on the old one."""
    site.session = "main"
    client = site.tunnelc(origin.target, "--uplinks", "2", session="main")
    wait_until(lambda: len(ups(client)) == 2, "two uplinks")
    with Client(site.public) as public:
        public.request("GET", site.path("/gate/old"))
        pieces = public.pieces(public.final_head())
        assert next(pieces) == b"before;"
        mark = client.mark()
        addresses = {"public": "%s:%d" % entry.public, "uplink": "%s:%d" % entry.uplink}
        entry.signal()
        entry.event("draining")
        client.event("lost", after=mark)
        site.proxyentry(**addresses)
        begun = time.monotonic()
        wait_until(lambda: len(ups(client, mark)) == 2, "two new uplinks")
        assert time.monotonic() - begun < 2
        assert ask(site.public, "GET", site.path("/echo")).status == 200
        assert entry.process.poll() is None
        origin.gate("old").set()
        assert b"".join(pieces) == b"after"
    assert entry.wait() == 0


def test_uplinks_are_back_within_a_second_of_the_entrys_return(site, entry, origin):
    """However long it was away."""
    site.session = "main"
    clients = [site.tunnelc(origin.target, "--uplinks", "2", session="main") for _ in range(3)]
    for client in clients:
        wait_until(lambda client=client: len(ups(client)) == 2, "two uplinks")
    marks = [client.mark() for client in clients]
    addresses = {"public": "%s:%d" % entry.public, "uplink": "%s:%d" % entry.uplink}
    entry.kill()
    for client, mark in zip(clients, marks):  # by now the delays would be seconds
        wait_until(lambda client=client, mark=mark: len([e for e in client.events[mark:] if e["event"] == "retrying"])
                   >= 14, "many attempts")
    site.proxyentry(**addresses, registered=False)
    begun = time.monotonic()
    for client, mark in zip(clients, marks):
        wait_until(lambda client=client, mark=mark: len(ups(client, mark)) == 2, "two uplinks again")
    took = time.monotonic() - begun
    assert took < 1.5, took  # 0.8 s, and the handshakes with sanitizers
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_two_clients_restarted_in_turn_fail_no_request(site, entry, origin):
    site.session = "main"
    other = Origin()
    clients = [site.tunnelc(o.target, "--uplinks", "2", session="main") for o in (origin, other)]
    for client in clients:
        wait_until(lambda client=client: len(ups(client)) == 2, "two uplinks")
    restarts = 0
    with Load(site.public, site.path("/bytes/2000"), threads=8, pause=0.001) as load:
        end = time.monotonic() + ROLLING_SECONDS
        while time.monotonic() < end:
            which = restarts % 2
            assert clients[which].stop() == 0
            clients[which] = site.tunnelc((origin, other)[which].target, "--uplinks", "2", session="main")
            restarts += 1
            done = load.done
            wait_until(lambda done=done: load.done > done + 50, "more load")
    other.close()
    assert not load.failures, (len(load.failures), load.done, load.failures[:5])
    assert restarts >= 4 and load.done > 500, (restarts, load.done)


def test_a_second_signal_while_uplinks_drain_ends_at_once(site, entry, origin):
    site.session = "main"
    client = site.tunnelc(origin.target, "--uplinks", "3", session="main")
    wait_until(lambda: len(ups(client)) == 3, "three uplinks")
    with Client(site.public) as public:
        public.request("GET", site.path("/gate/never"))
        public.final_head()
        client.signal()
        client.event("draining")
        client.signal(signal.SIGINT)
        client.expected_end = client.wait(10)
        assert client.expected_end in (0, 1)
