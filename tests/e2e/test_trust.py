"""Time and trust: clocks that jump and clocks that differ, tickets that are revoked in use, tickets that come back."""
import json
import ssl
import threading
import time

import pytest

import ptth_client
from api import call, register
from clocks import ClockSite, build_shim, cpu_seconds
from load import Load
from programs import wait_until
from wire import ask

HOURS = 5 * 3600
TICKET = 4  # seconds: it is renewed after two


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def clocked(tmp_path, shim):
    """clocked(tunneld=60): a site whose tunneld is a minute ahead."""
    sites = []

    def make(own=False, **ahead):
        sites.append(ClockSite(tmp_path, shim, own, **ahead))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


def go_on(seconds):
    """Nothing is waited for: what must not happen meanwhile is looked at afterwards."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time to pass", timeout=seconds + 5)


def last_issued(site, session):
    """When the newest ticket of a session says that it was issued, by what tunneld keeps; 0: it keeps nothing yet."""
    kept = json.loads((site.state / "sessions.json").read_text())
    return max((one["last_issued"] for one in kept["sessions"] if one["id"] == session), default=0)


def restart_entry(site):
    """kill -9 and again on its addresses: whoever had an uplink needs a good ticket for the next."""
    entry = next(program for program in site.programs if program.label.startswith("proxyentry"))
    entry.kill()
    ahead = dict(site.ahead)
    site.ahead["proxyentry"] = 0
    again = site.proxyentry(public="%s:%d" % entry.public, uplink="%s:%d" % entry.uplink)
    site.ahead = ahead
    return again


# ---- clocks that jump ----

@pytest.mark.parametrize("jump", [HOURS, -HOURS], ids=["forward", "back"])
@pytest.mark.parametrize("which", ["tunneld", "proxyentry", "tunnelc"])
def test_jump_of_one_clock_disturbs_nothing(clocked, origin, which, jump):
    """Hours there and back: no request fails, no uplink or lease ends, nothing spins, and tickets are renewed."""
    site = clocked()
    site.tunneld("--ticket-seconds", TICKET)
    site.proxyentry()
    client = site.client = site.tunnelc(origin.target, session="main")
    site.session = "main"
    mark = client.mark()
    jumping = next(program for program in site.programs if program.label.startswith(which))
    with Load(site.public, site.path("/bytes/50"), threads=2) as load:
        wait_until(lambda: load.done > 20, "a load")
        jumping.clock.set(jump)
        go_on(TICKET)
        if which != "tunneld" or jump > 0:
            issued = last_issued(site, "main")
            wait_until(lambda: last_issued(site, "main") > issued, "a renewal after the jump")
        jumping.clock.set(0)
        go_on(TICKET)
    assert not load.failures
    events = [event["event"] for event in client.events[mark:]]
    assert not {"lost", "retrying", "ended"} & set(events), events
    used = {program.label: cpu_seconds(program) for program in site.programs}
    go_on(2)
    for program in site.programs:
        assert cpu_seconds(program) - used[program.label] < 1, f"{program.label} spins"
    restart_entry(site)
    client.event("connected", after=mark)
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_session_of_a_future_that_was_taken_back_gets_in(clocked, origin):
    """tunneld's clock was hours ahead: what it dated then neither dates nor revokes what it signs now."""
    site = clocked()
    tunneld = site.tunneld("--ticket-seconds", TICKET)
    site.proxyentry()
    first = site.tunnelc(origin.target, session="main")
    site.session = "main"
    tunneld.clock.set(HOURS)
    wait_until(lambda: last_issued(site, "main") > time.time() + HOURS - 60, "a ticket of the future")
    tunneld.clock.set(0)
    assert first.stop() == 0  # its session ends: its tickets are void
    site.tunnelc(origin.target, session="main")
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_jump_ahead_brings_no_void_ticket_back(clocked):
    """tunneld looks after itself every ten seconds: what a jump makes look outlived is not forgotten."""
    site = clocked()
    tunneld = site.tunneld("--ticket-seconds", "600")
    site.proxyentry()
    given = register(site, "ended")
    assert call(site, "DELETE", "/v1/sessions/ended", token=site.token).status == 204
    tunneld.clock.set(HOURS)
    go_on(11)
    tunneld.clock.set(0)
    restart_entry(site)
    wait_until(lambda: "401" in refusal_of(site, given), "the revocation to arrive")


# ---- clocks that differ ----

@pytest.mark.parametrize("ahead", [{name: seconds} for name in ("tunneld", "proxyentry", "tunnelc")
                                   for seconds in (60, -60)], ids=str)
def test_clocks_may_differ_by_a_minute(clocked, origin, ahead):
    """Sessions register, uplinks open, tickets are renewed, and open uplinks again."""
    site = clocked(**ahead)
    site.tunneld("--ticket-seconds", TICKET)
    site.proxyentry()
    client = site.tunnelc(origin.target, session="main")
    site.session = "main"
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    issued = last_issued(site, "main")
    wait_until(lambda: last_issued(site, "main") > issued, "a renewal")
    mark = client.mark()
    entry = next(program for program in site.programs if program.label.startswith("proxyentry"))
    entry.kill()
    site.proxyentry(public="%s:%d" % entry.public, uplink="%s:%d" % entry.uplink)
    client.event("connected", after=mark)
    assert ask(site.public, "GET", site.path("/echo")).status == 200


@pytest.mark.parametrize("ahead, said", [(1800, "expired, by the clock here"), (-1800, "one of the clocks is wrong")])
def test_entry_whose_clock_is_wrong_is_told_apart(clocked, origin, ahead, said):
    """Its log names the clock, the client hears why, and is in when the clock is right."""
    site = clocked(proxyentry=ahead)
    site.tunneld("--ticket-seconds", "600")
    entry = site.proxyentry()
    direction = "ahead of" if ahead > 0 else "behind"
    wait_until(lambda: f"s {direction} that of the control plane" in entry.log(), "a warning of the clock")
    client = site.tunnelc(origin.target, session="main", ready=False)
    assert said in client.event("retrying")["reason"]
    entry.clock.set(0)
    client.event("ready")
    site.session = "main"
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_certificate_that_a_clock_makes_look_expired_is_blamed_on_the_clock_too(clocked, origin):
    site = clocked(own=True)  # with --dev a program makes certificates that suit its clock
    site.tunneld()
    site.proxyentry()
    site.ahead["tunnelc"] = 30 * 365 * 86400
    client = site.tunnelc(origin.target, session="main", ready=False)
    assert "clock" in client.event("retrying")["reason"]
    client.clock.set(0)
    client.event("ready")


# ---- tickets that are revoked, and that come back ----

def context(site):
    return ssl.create_default_context(cafile=str(site.ca))


def refusal_of(site, given):
    """What the entry says to a ticket; empty: it is let in."""
    try:
        sock, _ = ptth_client.attach("https://%s:%d" % site.uplink, context(site), given["ticket"])
    except (ConnectionError, OSError) as refusal:
        return str(refusal)
    sock.close()
    return ""


def test_uplink_in_use_is_closed_when_its_session_is_revoked(site):
    """By the entry, within two seconds, with a request under way, whatever its client does."""
    site.tunneld()
    site.proxyentry()
    given = register(site, "revoked")
    sock, rest = ptth_client.attach(given["entries"][0]["uplink"], context(site), given["ticket"])
    begun, ended, answered = threading.Event(), [], []

    def never(headers, content):
        begun.set()
        released.wait(60)
        return 200, [], b""

    released = threading.Event()

    def serve():
        try:
            ptth_client.serve(sock, rest, never)
        except (OSError, ValueError):
            pass
        ended.append(time.monotonic())

    def public():
        answered.append(ask(site.public, "POST", "/session/revoked/held", body=b"once").status)

    threads = [threading.Thread(target=run, daemon=True) for run in (serve, public)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    at = time.monotonic()
    assert call(site, "DELETE", "/v1/sessions/revoked", token=site.token).status == 204
    threads[1].join(30)
    took = time.monotonic() - at
    released.set()
    threads[0].join(30)
    sock.close()
    assert answered == [502] and ended
    assert took < 2


def test_ticket_of_an_ended_session_stays_void(site, origin):
    """Also when its name is registered again, and when tunneld and the entry have been restarted."""
    tunneld = site.tunneld()
    entry = site.proxyentry()
    old = register(site, "replayed")
    assert call(site, "DELETE", "/v1/sessions/replayed", token=site.token).status == 204
    wait_until(lambda: "401" in refusal_of(site, old), "the revocation")
    site.session = "replayed"
    client = site.tunnelc(origin.target, session="replayed")
    assert "401" in refusal_of(site, old)
    control = site.control
    tunneld.kill()
    site.tunneld(listen=control)
    assert "401" in refusal_of(site, old)
    entry.event("registered", after=entry.mark() - 1)
    mark = client.mark()
    entry.kill()
    site.proxyentry(public="%s:%d" % entry.public, uplink="%s:%d" % entry.uplink)
    wait_until(lambda: "401" in refusal_of(site, old), "the revocation to arrive")
    client.event("connected", after=mark)
    assert ask(site.public, "GET", site.path("/echo")).status == 200
