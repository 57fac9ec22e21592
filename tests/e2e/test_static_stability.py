"""The data plane does not need the control plane to go on, and everything heals by itself."""
import ssl
import time

import ptth_client
from api import call, register
from load import Load
from programs import wait_until
from wire import ask

HEAL = 10  # seconds


def listed(site, kind):
    answer = call(site, "GET", f"/v1/{kind}", token=site.token)
    return answer.json[kind] if answer.status == 200 else []


def pair(text_or_pair):
    return "%s:%d" % text_or_pair


def test_killed_control_plane_fails_no_request_and_comes_back(site, origin):
    tunneld = site.tunneld("--lease-seconds", "3")
    entry = site.proxyentry()
    client = site.tunnelc(origin.target, session="steady")
    with Load(site.public, "/session/steady/bytes/100") as load:
        wait_until(lambda: load.done > 50, "a load")
        tunneld.kill()
        before = load.done
        # Well past the lease: tickets and uplinks do not depend on it.
        time.sleep(5)
        assert load.done > before + 50
        assert entry.event("lost")["reason"]
        assert 0 <= entry.event("retrying")["delay_ms"] <= 5000
        entry_mark, client_mark = entry.mark(), client.mark()
        begun = time.monotonic()
        site.tunneld("--lease-seconds", "3", listen=site.control)
        entry.event("registered", after=entry_mark, timeout=HEAL)
        client.event("registered", after=client_mark, timeout=HEAL)
        wait_until(lambda: [e["id"] for e in listed(site, "entries")] == ["east"], "the entry to be known again", HEAL)
        sessions = wait_until(lambda: listed(site, "sessions"), "the session to be known again", HEAL)
        assert time.monotonic() - begun < HEAL + 2
        assert [s.get("session", s.get("id")) for s in sessions] == ["steady"]
        time.sleep(4)  # longer than a lease: it is being renewed again
        assert listed(site, "sessions")
    assert not load.failures, load.failures[:5]
    assert ask(site.public, "GET", "/session/steady/echo").status == 200


def test_sessions_and_owners_outlive_a_killed_control_plane(site):
    tunneld = site.tunneld()
    ticket = register(site, "kept")["ticket"]
    keys = call(site, "GET", "/v1/keys").json
    tunneld.kill()
    site.tunneld(listen=site.control)
    assert call(site, "GET", "/v1/keys").json == keys
    assert [s.get("session", s.get("id")) for s in listed(site, "sessions")] == ["kept"]
    assert ticket


def test_killed_entry_is_back_with_the_control_plane_still_down(site, origin):
    tunneld = site.tunneld()
    entry = site.proxyentry()
    client = site.tunnelc(origin.target, session="resilient")
    tunneld.kill()
    entry.kill()
    mark = client.mark()
    begun = time.monotonic()
    entry = site.proxyentry(public=pair(entry.public), uplink=pair(entry.uplink), registered=False)
    client.event("connected", after=mark, timeout=HEAL)
    response = ask(site.public, "GET", "/session/resilient/echo")
    assert response.status == 200 and time.monotonic() - begun < HEAL
    # And once the control plane is back, all three know one another again.
    mark, entry_mark = client.mark(), entry.mark()
    site.tunneld(listen=site.control)
    entry.event("registered", after=entry_mark, timeout=HEAL)
    wait_until(lambda: listed(site, "sessions") and listed(site, "entries"), "sessions and entries", HEAL)
    assert ask(site.public, "GET", "/session/resilient/echo").status == 200


def test_entry_that_never_knew_a_key_is_not_ready(site, tmp_path):
    """Nothing to check tickets with: /health/ready says so, and turns when the control plane is there."""
    tunneld = site.tunneld()
    tunneld.stop()
    entry = site.proxyentry(entry="blank", registered=False)
    assert ask(entry.admin, "GET", "/health/live").status == 200
    assert ask(entry.admin, "GET", "/health/ready").status == 503
    site.tunneld(listen=site.control)
    entry.event("registered")
    wait_until(lambda: ask(entry.admin, "GET", "/health/ready").status == 200, "readiness")


def test_killed_client_is_replaced_at_once(site, origin):
    site.all(origin)
    site.client.kill()
    again = site.tunnelc(origin.target, session="main")
    assert again.session == "main"
    wait_until(lambda: ask(site.public, "GET", site.path("/echo")).status == 200, "the new client's uplink")


def test_revocation_while_the_entry_was_away_is_learnt(site, origin):
    """An ended session's ticket does not come back to life by restarting an entry."""
    site.tunneld()
    entry = site.proxyentry()
    given = register(site, "revoked")
    entry.kill()
    assert call(site, "DELETE", "/v1/sessions/revoked", token=site.token).status == 204
    site.proxyentry(public=pair(entry.public), uplink=pair(entry.uplink))
    context = ssl.create_default_context(cafile=str(site.ca))

    def is_refused():
        try:
            sock, _ = ptth_client.attach(given["entries"][0]["uplink"], context, given["ticket"])
            sock.close()
            return False
        except ConnectionError as refusal:
            return str(refusal)

    assert wait_until(is_refused, "the revocation to arrive").split(" ")[1] in ("401", "403")
