"""Several uplinks to an entry, from one client and from several: they come, go and come back, and no request is lost."""
import re
import signal
import time

import pytest

import tcp
from fake_entry import FakeEntry
from h2_hostile import RstStreamFrame, head
from hyperframe.frame import DataFrame, GoAwayFrame, SettingsFrame
from load import Load
from origin import Origin
from programs import Site, wait_until
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
    assert not [event for event in last.events if event["event"] in ("lost", "retrying")]
    assert ask(site.public, "GET", site.path("/echo")).status == 200


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
    assert time.monotonic() - begun < 4  # what is left of half a second, and six handshakes at once on a busy machine
    delays = [event["delay_ms"] for client in clients for event in client.events
              if event["event"] == "retrying" and event["error"] == "REFUSED"]
    assert len(delays) >= 30 and max(delays) <= 800
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_connections_of_a_tcp_session_come_by_all_its_uplinks(site):
    held = tcp.TcpOrigin(tcp.echo)
    tcp.tcp_site(site)
    client = tcp.publish(site, held.target, "--uplinks", "3")
    wait_until(lambda: len(ups(client)) == 3, "three uplinks")
    connections = [tcp.connect(client) for _ in range(30)]
    for connection in connections:
        connection.sendall(b"hello")
    assert all(tcp.exactly(connection, 5) == b"hello" for connection in connections)
    for connection in connections:
        connection.close()
    held.close()


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


# ---- With an entry that is the test's ----

STREAMS = SettingsFrame.MAX_CONCURRENT_STREAMS
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def get(stream, path):
    return head(stream, [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x")], end=True)


@pytest.fixture
def faked(tmp_path):
    site = Site(tmp_path, own=True)
    site.tunneld()
    site.fake = FakeEntry(site)
    try:
        yield site
    finally:
        site.fake.close()
        site.close()


def test_the_entry_hears_whose_the_uplink_is_and_what_it_weighs(faked, origin):
    faked.tunnelc(origin.target, "--uplinks", "2", "--weight", "7", session="main", ready=False)
    heads = [faked.fake.accept().request for _ in range(2)]
    instances = {re.search(f"(?im)^tunnel2-instance: ({UUID})\r$", request).group(1) for request in heads}
    assert len(instances) == 1  # of one process
    assert all(re.search(r"(?im)^tunnel2-weight: 7\r$", request) for request in heads)


def test_an_uplink_that_the_entry_lets_go_is_dialled_again_at_once(faked, origin):
    """While an answer is under way on the old one."""
    client = faked.tunnelc(origin.target, session="main", ready=False)
    old = faked.fake.accept()
    client.event("connected")
    time.sleep(1)  # it was up for more than a moment
    old.send(get(1, "/gate/old"))
    assert old.until(DataFrame).data == b"before;"
    mark = client.mark()
    begun = time.monotonic()
    old.send(GoAwayFrame(0, last_stream_id=0))
    new = faked.fake.accept()
    client.event("connected", after=mark)
    assert time.monotonic() - begun < 4
    client.event("lost", after=mark, entry="fake")
    new.send(get(1, "/bytes/5"))
    assert new.until(DataFrame)
    assert not old.ended
    origin.gate("old").set()
    assert old.until(DataFrame, lambda frame: frame.data == b"after")
    wait_until(lambda: old.ended, "the old one to end with its last answer")
    new.send(get(3, "/bytes/5"))
    assert new.until(DataFrame, lambda frame: frame.stream_id == 3)
    assert not [event for event in client.events if event["event"] == "retrying"]


def test_an_entry_that_lets_go_again_and_again_is_not_dialled_without_pause(faked, origin):
    faked.tunnelc(origin.target, session="main", ready=False)
    faked.fake.accept().send(GoAwayFrame(0, last_stream_id=0))
    for _ in range(2):
        begun = time.monotonic()
        peer = faked.fake.accept()
        assert 0.8 < time.monotonic() - begun < 4
        peer.send(GoAwayFrame(0, last_stream_id=0))


def test_requests_that_come_while_the_client_is_out_are_refused_before_the_origin_sees_them(faked, origin):
    """So that an entry can give them to another: REFUSED_STREAM says that nothing was done."""
    origin._do_health = lambda wire, sock, request, rest: origin._send(sock, origin.status, b"")
    origin.status = 200
    client = faked.tunnelc(origin.target, "--health", "/health", "--health-interval", "1", session="main", ready=False)
    entry = faked.fake.accept()
    entry.until(SettingsFrame, lambda frame: frame.settings.get(STREAMS) == 1000)
    client.event("connected")
    entry.send(get(1, "/gate/first"))
    assert entry.until(DataFrame)
    origin.status = 500
    assert entry.until(SettingsFrame, lambda frame: frame.settings.get(STREAMS) == 0)
    for stream in (3, 5):  # they crossed it: it is not acknowledged
        entry.send(get(stream, "/echo/late"))
        reset = entry.until(RstStreamFrame, lambda frame, stream=stream: frame.stream_id == stream)
        assert reset.error_code == 7
    assert not origin.requests_for("/late")
    entry.send(SettingsFrame(0, flags=["ACK"]))
    origin.gate("first").set()
    assert entry.until(DataFrame, lambda frame: frame.data == b"after")  # what was under way is finished
    origin.status = 200
    client.event("healthy")
    mark = len(entry.frames)
    wait_until(lambda: any(isinstance(f, SettingsFrame) and f.settings.get(STREAMS) == 1000 for f in entry.frames[2:]),
               "the client to take requests again")
    entry.send(SettingsFrame(0, flags=["ACK"]), get(7, "/bytes/5"))
    assert entry.until(DataFrame, lambda frame: frame.stream_id == 7), entry.frames[mark:]
    assert not entry.ended
