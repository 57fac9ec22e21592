"""Many sessions, few channels: the quiet ones are parked, and nobody of the public sees it."""
import json
import time

import pytest
from api import call, register
from channel_client import LEASE, LEASE_SECONDS, PARK, RETURN_SECONDS, REVOKE, TICKET, Channel, number
from load import Load
from metrics import Metrics
from programs import wait_until
from wire import ask

NAMES = ["one", "two", "three"]
SHORT = 12  # seconds a ticket is good for: who is parked comes back within a quarter of that


def sessions(site):
    answer = call(site, "GET", "/v1/sessions", token=site.token)
    return {s["session"]: s for s in answer.json["sessions"]}


def is_parked(site, name):
    session = sessions(site).get(name)
    return session and session["parked"] == 1 and session["channels"] == 0


def parked(site):
    """Some session's name that is parked now."""
    return next((name for name, s in sessions(site).items() if s["parked"] and not s["channels"]), None)


def start(site, origin, *options, above=1):
    """tunneld with little room for channels, an entry, and a client for each of NAMES: all but one are parked."""
    site.tunneld("--park-above", above, *options)
    site.metrics = Metrics(site.programs[-1])
    entry = site.proxyentry()
    site.clients = {name: site.tunnelc(origin.target, session=name) for name in NAMES}
    wait_until(lambda: site.metrics("tunnel2_control_parkings_total") >= len(NAMES) - above, "the others to be parked")
    return entry


def registrations(site, name):
    return sum(program.log().count(f"session {name} is registered by") for program in site.programs)


def assert_calm(client, after=0):
    kinds = {event["event"] for event in client.events[after:]}
    assert not kinds & {"lost", "retrying", "ended"}, client.events


def test_quiet_sessions_are_parked_and_go_on_serving(site, origin):
    start(site, origin)
    wait_until(lambda: site.metrics("tunnel2_control_channels", 'of="sessions"') == 1, "one channel to be left")
    assert site.metrics("tunnel2_control_parked") == 2 and site.metrics("tunnel2_control_sessions") == 3
    assert sorted(sessions(site)) == sorted(NAMES)
    with Load(site.public, "/session/one/bytes/100", threads=1) as load:
        for name in NAMES * 5:
            assert ask(site.public, "GET", site.path("/echo", name)).status == 200
        wait_until(lambda: load.done > 50, "a load")
    assert not load.failures, load.failures[:5]
    for client in site.clients.values():
        assert_calm(client)


def test_no_session_is_parked_while_there_is_room_or_where_it_is_off(site, origin):
    site.tunneld("--park-above", 0)
    metrics = Metrics(site.programs[-1])
    site.proxyentry()
    for name in NAMES:
        site.tunnelc(origin.target, session=name)
    channels = [Channel(site, name) for name in NAMES]
    for channel in channels:
        channel.beat(parks=1)
        channel.wait(LEASE)
    wait_until(lambda: metrics("tunnel2_control_channels", 'of="sessions"') == 6, "all channels")
    channels[0].sock.settimeout(3)  # thrice what is quiet
    with pytest.raises(TimeoutError):
        channels[0].wait(PARK)
    assert metrics("tunnel2_control_parkings_total") == 0
    for channel in channels:
        channel.close()


def test_tickets_of_the_parked_are_renewed(site, origin):
    start(site, origin, "--ticket-seconds", SHORT)

    def issued(name):
        kept = json.loads((site.state / "sessions.json").read_text())["sessions"]
        session = next(s for s in kept if s["id"] == name)
        return session["last_issued"] - session["created_at"]

    wait_until(lambda: min(map(issued, NAMES)) > 2 * SHORT, "tickets of a third generation", timeout=120, every=0.5)
    for name, client in site.clients.items():
        assert_calm(client)
        assert registrations(site, name) == 1  # the channel brought them
        assert ask(site.public, "GET", site.path("/echo", name)).status == 200


def test_revocation_of_a_parked_session_closes_its_uplinks_and_ends_its_client(site, origin):
    start(site, origin)
    name = wait_until(lambda: parked(site), "one that is parked")
    client = site.clients[name]
    assert call(site, "DELETE", f"/v1/sessions/{name}", token=site.token).status == 204
    assert "ended the session" in client.event("ended")["reason"]  # by what its entry refused, it came and was told
    client.expected_end = 1
    assert client.wait() == 1
    assert name not in sessions(site) and registrations(site, name) == 1
    assert ask(site.public, "GET", site.path("/echo", name)).status != 200


def test_killed_control_plane_finds_the_parked_again(site, origin):
    """Those that had a channel register anew; those that were parked come back when they were told to."""
    start(site, origin, "--ticket-seconds", "40")
    wait_until(lambda: site.metrics("tunnel2_control_parked") == 2, "two to be parked")
    away = [name for name, s in sessions(site).items() if not s["channels"]]
    marks = {name: client.mark() for name, client in site.clients.items()}
    site.programs[0].kill()
    tunneld = site.tunneld("--park-above", "1", "--ticket-seconds", "40", listen=site.control)
    assert set(away) <= set(sessions(site))
    wait_until(lambda: Metrics(tunneld)("tunnel2_control_parkings_total") >= 2, "them to be parked again", timeout=60)
    for name in away:
        assert_calm(site.clients[name], marks[name])
        assert "registered" not in {event["event"] for event in site.clients[name].events[marks[name]:]}
    assert sorted(sessions(site)) == sorted(NAMES)
    for name in NAMES:
        assert ask(site.public, "GET", site.path("/echo", name)).status == 200


def test_drained_control_plane_hands_the_parked_to_the_next(site, origin):
    start(site, origin)
    name = wait_until(lambda: parked(site), "one that is parked")
    mark = site.clients[name].mark()
    site.programs[0].stop()
    site.tunneld("--park-above", "1", listen=site.control)
    assert name in sessions(site)
    assert ask(site.public, "GET", site.path("/echo", name)).status == 200
    assert_calm(site.clients[name], mark)


def test_entry_that_came_meanwhile_is_learnt_on_return(site, origin):
    start(site, origin, "--ticket-seconds", SHORT)
    east = site.public
    west = site.proxyentry(entry="west")
    for name, client in site.clients.items():
        client.event("connected", entry="west")
        assert_calm(client)
        assert ask(west.public, "GET", site.path("/echo", name)).status == 200
        assert ask(east, "GET", site.path("/echo", name)).status == 200


def test_lost_uplink_brings_the_parked_back_for_the_entries_there_are(site, origin):
    entry = start(site, origin)
    marks = {name: client.mark() for name, client in site.clients.items()}
    entry.kill()
    site.proxyentry()  # of the same name, at other ports: to be learnt from tunneld alone
    for name, client in site.clients.items():
        client.event("connected", after=marks[name])
        wait_until(lambda: ask(site.public, "GET", site.path("/echo", name)).status == 200, "it to serve")  # noqa: B023


@pytest.mark.parametrize("named", [True, False])
def test_client_that_ends_while_parked_takes_its_leave(site, origin, named):
    site.tunneld("--park-above", "1")
    site.proxyentry()
    client = site.tunnelc(origin.target, session="leaver" if named else None)
    site.tunnelc(origin.target, session="another")  # it has its channel, and so room for one is taken
    wait_until(lambda: is_parked(site, client.session), "it to be parked")
    assert client.stop() == 0
    assert client.session not in sessions(site)  # its lease is three minutes


# ---- What a client of another make may do ----

def test_one_that_comes_back_keeps_its_numbers_and_its_session(site):
    site.tunneld("--park-above", "1")
    metrics = Metrics(site.programs[-1])
    for name in NAMES[:2]:
        register(site, name)
    first, second = (Channel(site, name) for name in NAMES[:2])
    first.beat(parks=1)
    second.beat()
    park = first.wait(PARK)
    assert number(park[RETURN_SECONDS]) == 60 and number(park[LEASE_SECONDS]) == 180
    assert sessions(site)["one"]["parked"] == 1
    first.close()
    wait_until(lambda: is_parked(site, "one"), "it to be gone, and listed")
    again = Channel(site, "one")
    again.beat(parks=2)
    assert number(again.wait(LEASE)[LEASE_SECONDS]) == 30
    session = sessions(site)["one"]
    assert session["parked"] == 0 and session["channels"] == 1 and metrics("tunnel2_control_parked") == 0
    again.close()
    second.close()


def test_one_that_does_not_know_of_it_keeps_its_channel(site):
    site.tunneld("--park-above", "1")
    channels = []
    for name in NAMES:
        register(site, name)
        channels.append(Channel(site, name))
        channels[-1].beat(parks=1 if name == "three" else 0)
    channels[2].wait(PARK)
    assert [s["channels"] for name, s in sorted(sessions(site).items()) if name != "three"] == [1, 1]
    for channel in channels:
        channel.close()


def test_one_that_does_not_go_is_cut(site):
    site.tunneld("--park-above", "1")
    channels = []
    for name in NAMES[:2]:
        register(site, name)
        channels.append(Channel(site, name))
    channels[0].beat(parks=1)
    channels[0].wait(PARK)
    channels[0].beat(parks=1)  # it is answered, and no more
    channels[0].wait(LEASE)
    assert channels[0].wait_end() == "StreamEnded"
    session = sessions(site)["one"]
    assert session["channels"] == 0 and session["parked"] == 0
    for channel in channels:
        channel.close()


def test_one_that_was_deleted_meanwhile_is_told_on_return_and_a_stranger_is_not(site):
    site.tunneld()
    register(site, "gone")
    assert call(site, "DELETE", "/v1/sessions/gone", token=site.token).status == 204
    channel = Channel(site, "gone")
    assert channel.status == 200
    assert channel.wait(REVOKE)[12] == b"gone"
    channel.wait_end()
    channel.close()
    assert Channel(site, "never-was").status == 404
    assert "gone" not in sessions(site)


def test_ticket_that_is_due_comes_on_return(site):
    site.tunneld("--park-above", "1", "--ticket-seconds", str(SHORT))
    register(site, "due")
    kept = json.loads((site.state / "sessions.json").read_text())["sessions"][0]["last_issued"]
    wait_until(lambda: time.time() > kept + SHORT / 2 + 1, "half the life of a ticket")
    channel = Channel(site, "due")
    channel.beat(parks=2)
    assert channel.wait(TICKET)
    channel.close()
