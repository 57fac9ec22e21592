"""Uplinks: which tickets open one and which do not, a client that is not ours, key rotation, coming back."""
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import certificates
import ptth_client
import tickets
from api import call, register
from programs import Site, wait_until
from wire import Client, Closed, Wire, ask

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """tunneld and proxyentry without a client."""
    site = Site(tmp_path_factory.mktemp("uplink"))
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


def context(site):
    return ssl.create_default_context(cafile=str(site.ca))


def open_tls(site, alpn=None):
    client = Client(site.uplink)
    settings = context(site)
    if alpn:
        settings.set_alpn_protocols(alpn)
    client.sock = settings.wrap_socket(client.sock, server_hostname="127.0.0.1")
    client.wire = Wire(client.sock)
    return client


def upgrade(site, ticket, path="/.well-known/tunnel2/uplink", method="GET",
            lines=("Connection: upgrade", "Upgrade: ptth", "ALPN: h2")):
    """Asks for an uplink: the response's head, and its content unless it is a 101."""
    with open_tls(site, ["http/1.1"]) as client:
        authorization = [f"Authorization: Bearer {ticket}"] if ticket is not None else []
        client.request(method, path, *lines, *authorization, host="127.0.0.1")
        response = client.final_head()
        if response.status != 101:
            response.body = b"".join(client.pieces(response))
        return response


def refused(response, *statuses):
    assert response.status in statuses, response
    assert response.fields.get("content-type") == "application/problem+json"
    document = json.loads(response.body)
    assert document["status"] == response.status and document["title"]
    if response.status == 401:
        assert "bearer" in response.fields.get("www-authenticate", "").lower()


# ---- tickets ----

def test_good_ticket_opens_an_uplink(control):
    response = upgrade(control, register(control, "good")["ticket"])
    assert response.status == 101
    assert response.fields.get("upgrade") == "ptth" and response.fields.get("alpn") == "h2"
    assert "upgrade" in response.fields.get("connection").lower()


def test_ticket_made_by_hand_with_the_right_key_opens_one(control):
    """Shows that the tests below are refused for what they change and for nothing else."""
    base = tickets.claims(register(control, "by-hand")["ticket"])
    assert upgrade(control, tickets.make(tickets.signing_key(control), base)).status == 101


def test_no_ticket(control):
    refused(upgrade(control, None), 401)


@pytest.mark.parametrize("ticket", [
    "", "x", "a.b.c", "..", "eyJhbGciOiJFUzI1NiJ9", "x" * 5000, "a" * 100 + "." + "b" * 100, "\xe9.\xe9.\xe9"])
def test_garbage_for_a_ticket(control, ticket):
    refused(upgrade(control, ticket), 400, 401)


def change(key, name):
    """The bad tickets: name to (key, header, claims)."""
    now = tickets.now()
    return {
        "foreign key": (tickets.new_key(), {}, {}),
        "foreign key under the right kid": (tickets.new_key(), {"kid": tickets.kid(key)}, {}),
        "no kid": (key, {"kid": None}, {}),
        "unknown kid": (key, {"kid": "a" * 43}, {}),
        "alg none": (key, {"alg": "none"}, {}),
        "alg HS256": (key, {"alg": "HS256"}, {}),
        "alg ES384": (key, {"alg": "ES384"}, {}),
        "alg in small letters": (key, {"alg": "es256"}, {}),
        "no alg": (key, {"alg": None}, {}),
        "critical extension": (key, {"crit": ["exp"]}, {}),
        "other typ": (key, {"typ": "at+jwt"}, {}),
        "expired": (key, {}, {"exp": now - 120, "iat": now - 4000, "nbf": now - 4000}),
        "no exp": (key, {}, {"exp": None}),
        "exp no number": (key, {}, {"exp": "tomorrow"}),
        "not yet valid": (key, {}, {"nbf": now + 600}),
        "another entry": (key, {}, {"aud": ["elsewhere"]}),
        "another entry as a string": (key, {}, {"aud": "elsewhere"}),
        "no aud": (key, {}, {"aud": None}),
        "empty aud": (key, {}, {"aud": []}),
        "another issuer": (key, {}, {"iss": "somebody"}),
        "no issuer": (key, {}, {"iss": None}),
        "no session": (key, {}, {"sub": None}),
        "session that is no id": (key, {}, {"sub": "../etc"}),
        "empty session": (key, {}, {"sub": ""}),
    }[name]


@pytest.mark.parametrize("name", [
    "foreign key", "foreign key under the right kid", "no kid", "unknown kid", "alg none", "alg HS256", "alg ES384",
    "alg in small letters", "no alg", "critical extension", "other typ", "expired", "no exp", "exp no number",
    "not yet valid", "another entry", "another entry as a string", "no aud", "empty aud",
    "another issuer", "no issuer", "no session", "session that is no id", "empty session"])
def test_bad_ticket_is_refused(control, name):
    base = tickets.claims(register(control, "bad-ticket")["ticket"])
    key, header, changes = change(tickets.signing_key(control), name)
    refused(upgrade(control, tickets.make(key, base, header, **changes)), 401, 403)


def test_unsigned_ticket_is_refused(control):
    base = tickets.claims(register(control, "unsigned")["ticket"])
    unsigned = f"{tickets.compact({'alg': 'none'})}.{tickets.compact(base)}."
    refused(upgrade(control, unsigned), 401)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_ticket_with_one_byte_changed_is_refused(control, part):
    parts = register(control, "flipped")["ticket"].split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1:]
    refused(upgrade(control, ".".join(parts)), 400, 401, 403)


def test_ticket_of_an_ended_session_is_refused(control):
    """Revoked: the entry hears of it on its control channel."""
    ticket = register(control, "ended")["ticket"]
    assert upgrade(control, ticket).status == 101
    assert call(control, "DELETE", "/v1/sessions/ended", token=control.token).status == 204

    def refusal():
        try:
            response = upgrade(control, ticket)
        except Closed:  # opened, and revoked before the 101 went out
            return None
        return response if response.status != 101 else None

    refused(wait_until(refusal, "the revocation"), 401, 403)


# ---- the upgrade itself ----

def test_upgrade_to_something_else_is_refused(control):
    ticket = register(control, "upgrade")["ticket"]
    for lines in (("Connection: upgrade", "Upgrade: websocket"), (), ("Upgrade: ptth", "ALPN: h2"),
                  ("Connection: upgrade", "Upgrade: ptth", "ALPN: h3")):
        response = upgrade(control, ticket, lines=lines)
        assert 400 <= response.status < 500, (lines, response)


def test_other_method_or_path_is_refused(control):
    ticket = register(control, "upgrade")["ticket"]
    refused(upgrade(control, ticket, path="/elsewhere"), 404)
    refused(upgrade(control, ticket, method="POST"), 405, 400)


def test_uplink_is_tls_only(control):
    with Client(control.uplink) as client:
        client.send("GET /.well-known/tunnel2/uplink HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            assert not client.sock.recv(100).startswith(b"HTTP/")
        except ConnectionError:
            pass


def test_public_listener_is_no_uplink(control):
    ticket = register(control, "upgrade")["ticket"]
    response = ask(control.public, "GET", "/.well-known/tunnel2/uplink", "Connection: upgrade", "Upgrade: ptth",
                   "ALPN: h2", f"Authorization: Bearer {ticket}")
    assert response.status == 404


# ---- a client that is not ours ----

def test_python_client_serves_requests(control):
    """The program of ptth_client.py, as its docstring says."""
    client = subprocess.Popen(
        [sys.executable, HERE / "ptth_client.py", "--server", f"https://{control.control}", "--ca", control.ca,
         "--token", control.token, "--session", "python"], stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(client.stdout.readline())
        assert ready["session"] == "python"
        response = ask(control.public, "GET", "/session/python/hello?x=1")
        assert (response.status, response.body) == (200, b"GET /hello?x=1 by Python: ")
        response = ask(control.public, "POST", "/session/python/p", body=b"content")
        assert response.body == b"POST /p by Python: content"
        with Client(control.public) as public:
            for _ in range(10):
                assert public.ask("GET", "/session/python/again").status == 200
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


class PythonUplink:
    """An uplink that a thread serves."""

    def __init__(self, site, session, text):
        given = register(site, session)
        self.sock, rest = ptth_client.attach(given["entries"][0]["uplink"], context(site), given["ticket"])
        self.thread = threading.Thread(target=self._serve, args=(rest, text), daemon=True)
        self.thread.start()

    def _serve(self, rest, text):
        try:
            ptth_client.serve(self.sock, rest, lambda headers, content: (200, [], text))
        except (OSError, ValueError):
            pass

    def close(self):
        """The thread first: the number of a closed socket is soon another's."""
        socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()


def test_two_uplinks_of_a_session_share_and_survive_one_another(control):
    first = PythonUplink(control, "both", b"one")
    second = PythonUplink(control, "both", b"two")
    assert ask(control.public, "GET", "/session/both/").status == 200
    first.close()

    def only_second():
        response = ask(control.public, "GET", "/session/both/")
        return response.status == 200 and response.body == b"two"

    wait_until(only_second, "requests to go to the uplink that is left")
    second.close()


# ---- keys ----

def test_rotation_keeps_old_tickets_valid(control):
    old = register(control, "rotated")["ticket"]
    before = {key["kid"] for key in call(control, "GET", "/v1/keys").json["keys"]}
    answer = call(control, "POST", "/v1/keys", {}, token=control.token)
    assert answer.status == 201, answer
    after = {key["kid"] for key in call(control, "GET", "/v1/keys").json["keys"]}
    assert len(after - before) == 1 and after & before
    new = register(control, "rotated")["ticket"]
    assert new.split(".")[0] != old.split(".")[0]
    wait_until(lambda: upgrade(control, new).status == 101, "the entry to know the new key")
    assert upgrade(control, old).status == 101


def test_rotation_does_not_disturb_a_client(site, origin):
    site.all(origin)
    assert call(site, "POST", "/v1/keys", {}, token=site.token).status == 201
    assert ask(site.public, "GET", site.path("/echo")).status == 200
    late = site.tunnelc(origin.target, session="late")
    assert ask(site.public, "GET", site.path("/echo", session=late.session)).status == 200


# ---- coming back ----

def test_client_comes_back_when_its_entry_does(site, origin):
    site.all(origin)
    entry = site.programs[1]
    mark = site.client.mark()
    entry.kill()
    site.client.event("lost", after=mark)
    site.client.event("retrying", after=mark)
    host, port = entry.public
    site.proxyentry(public=f"{host}:{port}", uplink=f"{entry.uplink[0]}:{entry.uplink[1]}")
    site.client.event("connected", after=mark)
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_retries_back_off(site, origin):
    site.all(origin)
    mark = site.client.mark()
    site.programs[1].kill()
    wait_until(lambda: len([e for e in site.client.events[mark:] if e["event"] == "retrying"]) >= 5, "five attempts")
    delays = [e["delay_ms"] for e in site.client.events[mark:] if e["event"] == "retrying"]
    assert all(0 <= delay <= 5000 for delay in delays)
    assert len(set(delays)) > 1  # jitter


def test_client_may_start_before_everything_else(site, origin):
    site.tunneld()
    address = site.control
    site.programs[0].stop()
    client = site.tunnelc(origin.target, session="early-bird", ready=False)
    client.event("retrying")
    site.tunneld(listen=address)
    site.proxyentry()
    client.event("ready")
    assert ask(site.public, "GET", "/session/early-bird/echo").status == 200


def test_new_entry_is_dialled_by_clients_that_run(site, origin):
    site.all(origin)
    mark = site.client.mark()
    site.proxyentry(entry="west")
    site.client.event("connected", after=mark, entry="west")
    assert ask(site.public, "GET", site.path("/echo")).status == 200


def test_ticket_is_renewed_before_it_expires(site, origin):
    """A ticket of three seconds: an entry that restarts after ten still gets a good one."""
    site.tunneld("--ticket-seconds", "3")
    entry = site.proxyentry()
    client = site.tunnelc(origin.target, session="renewed")
    mark = client.mark()
    time.sleep(5)  # past the first ticket's end; there is nothing to wait for but time
    entry.kill()
    site.proxyentry(public="%s:%d" % entry.public, uplink="%s:%d" % entry.uplink)
    client.event("connected", after=mark)
    assert ask(site.public, "GET", "/session/renewed/echo").status == 200


# ---- TLS ----

def test_client_refuses_a_control_plane_of_another_ca(site, tmp_path, origin):
    site.tunneld()
    certificates.make_ca(tmp_path, "other")
    client = site.tunnelc(origin.target, "--ca", tmp_path / "other.pem", ready=False)
    told = client.event("retrying")
    assert "certificate" in json.dumps(told).lower() or "certificate" in client.log().lower()


def test_client_refuses_an_entry_of_another_ca(tmp_path, origin):
    """The uplink's certificate is checked like the control plane's, and the log says what is wrong."""
    site = Site(tmp_path, own=True)
    try:
        site.tunneld()
        certificates.make_ca(tmp_path, "other")
        certificates.issue(tmp_path, "other", "impostor")
        site.proxyentry(certificate="impostor")
        client = site.tunnelc(origin.target, ready=False)
        client.event("registered")
        told = client.event("retrying")
        assert "certificate" in (json.dumps(told) + client.log()).lower()
        assert not [e for e in client.events if e["event"] == "connected"]
    finally:
        site.close()


def test_client_refuses_a_certificate_for_another_name(tmp_path, origin):
    site = Site(tmp_path, own=True)
    try:
        site.tunneld()
        certificates.issue(tmp_path, "ca", "elsewhere", "DNS:elsewhere.example")
        site.proxyentry(certificate="elsewhere")
        client = site.tunnelc(origin.target, ready=False)
        told = client.event("retrying")
        assert "certificate" in (json.dumps(told) + client.log()).lower()
    finally:
        site.close()
