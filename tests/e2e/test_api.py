"""The control API over HTTPS, by HTTP/2 and HTTP/1.1 alike, with own certificates and four owners' tokens."""
import json
import re
import ssl
import time
import uuid
from contextlib import ExitStack

import pytest
from hyperframe.frame import DataFrame, HeadersFrame

import tickets
from api import call, register
from h2wire import H2
from programs import Site, address, wait_until
from wire import Client

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("api"), own=True)
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


@pytest.fixture(params=["1.1", "2"])
def version(request):
    return request.param


# ---- sessions ----

def test_session_is_made_with_a_uuid(api, version):
    answer = call(api, "POST", "/v1/sessions", {}, token=api.token, version=version)
    assert (answer.status, answer.version) == (201, version)
    assert answer.fields["content-type"] == "application/json"
    assert UUID.fullmatch(answer.json["session"])


def test_registration_says_all_a_client_needs(api):
    given = register(api, "told")
    assert given["session"] == "told"
    assert given["lease_seconds"] == 30
    assert given["urls"] == [f"http://{api.public[0]}:{api.public[1]}/session/told/",
                             f"http://told.localhost:{api.public[1]}/"]
    assert given["entries"] == [{"id": "east", "uplink": f"https://{api.uplink[0]}:{api.uplink[1]}"}]
    claims = tickets.claims(given["ticket"])
    assert claims["sub"] == "told" and claims["iss"]
    assert "east" in claims["aud"] or claims["aud"] == ["*"] or claims["aud"] == "*"
    assert claims["nbf"] <= claims["iat"] < claims["exp"] and claims["jti"]
    assert 0 < claims["exp"] - tickets.now() <= 3600


def test_ticket_is_signed_by_a_published_key(api):
    tickets.verify(register(api)["ticket"], call(api, "GET", "/v1/keys").json)


@pytest.mark.parametrize("name", ["abc", "a-b", "0-9", "x" * 63, str(uuid.uuid4())])
def test_session_name_accepted(api, name):
    assert register(api, name)["session"] == name


@pytest.mark.parametrize("name", ["ab", "x" * 64, "Abc", "a_b", "a.b", "-abc", "abc-", "", "a b", "a/b", "ä-ö-ü", 7,
                                  ["abc"], True])
def test_session_name_refused(api, version, name):
    call(api, "POST", "/v1/sessions", {"session": name}, token=api.token, version=version).is_problem(400)


def test_same_owner_may_register_again(api):
    first, second = register(api, "again"), register(api, "again")
    assert first["session"] == second["session"] == "again"
    assert tickets.claims(first["ticket"])["jti"] != tickets.claims(second["ticket"])["jti"]


def test_another_owner_gets_409(api, version):
    register(api, "taken", token=api.token_of("alice"))
    call(api, "POST", "/v1/sessions", {"session": "taken"}, token=api.token_of("bob"), version=version).is_problem(409)


def test_delete_then_gone(api, version):
    name = f"gone-{version[0]}"
    register(api, name)
    answer = call(api, "DELETE", f"/v1/sessions/{name}", token=api.token, version=version)
    assert (answer.status, answer.body) == (204, "")
    call(api, "DELETE", f"/v1/sessions/{name}", token=api.token, version=version).is_problem(404)


def test_deleted_name_is_free_for_another(api):
    register(api, "free-again", token=api.token_of("alice"))
    assert call(api, "DELETE", "/v1/sessions/free-again", token=api.token_of("alice")).status == 204
    assert register(api, "free-again", token=api.token_of("bob"))["session"] == "free-again"


def test_another_owner_cannot_delete(api):
    register(api, "not-yours", token=api.token_of("alice"))
    answer = call(api, "DELETE", "/v1/sessions/not-yours", token=api.token_of("bob"))
    assert answer.status in (403, 404)
    answer.is_problem(answer.status)
    assert "not-yours" in sessions_of(api, "alice")


def test_admin_can_delete(api):
    register(api, "ended-by-admin", token=api.token_of("alice"))
    assert call(api, "DELETE", "/v1/sessions/ended-by-admin", token=api.token_of("root")).status == 204


# ---- lists ----

def sessions_of(api, owner):
    answer = call(api, "GET", "/v1/sessions", token=api.token_of(owner))
    assert answer.status == 200, answer
    return [session.get("session", session.get("id")) for session in answer.json["sessions"]]


def test_sessions_lists_own_and_admin_sees_all(api):
    register(api, "list-alice", token=api.token_of("alice"))
    register(api, "list-bob", token=api.token_of("bob"))
    assert "list-alice" in sessions_of(api, "alice") and "list-bob" not in sessions_of(api, "alice")
    assert "list-bob" in sessions_of(api, "bob") and "list-alice" not in sessions_of(api, "bob")
    assert {"list-alice", "list-bob"} <= set(sessions_of(api, "root"))


def test_entries_for_admin(api, version):
    answer = call(api, "GET", "/v1/entries", token=api.token_of("root"), version=version)
    assert answer.status == 200
    entry, = answer.json["entries"]
    assert entry["id"] == "east" and entry["uplink"] == f"https://{api.uplink[0]}:{api.uplink[1]}"


def test_entries_are_not_for_clients(api):
    answer = call(api, "GET", "/v1/entries", token=api.token_of("alice"))
    assert answer.status == 403 or answer.json["entries"] == []


def test_keys_are_public_jwks(api, version):
    answer = call(api, "GET", "/v1/keys", version=version)
    assert answer.status == 200
    for key in answer.json["keys"]:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        assert key["kid"] and "d" not in key


def test_lists_tell_no_secret(api):
    register(api, "secretive")
    for path in ("/v1/sessions", "/v1/entries", "/v1/keys"):
        body = call(api, "GET", path, token=api.token_of("root")).body
        assert "eyJ" not in body and '"d"' not in body
        assert all(api.token_of(owner) not in body for owner in api.OWNERS)


# ---- who may ----

@pytest.mark.parametrize("token", [None, "wrong-token-wrong-token", "x", "x" * 257])
@pytest.mark.parametrize("method, path", [
    ("POST", "/v1/sessions"), ("GET", "/v1/sessions"), ("DELETE", "/v1/sessions/abc"), ("GET", "/v1/entries"),
    ("POST", "/v1/entries"), ("POST", "/v1/keys")])
def test_no_or_bad_token_gets_401(api, token, method, path):
    answer = call(api, method, path, {} if method == "POST" else None, token=token)
    answer.is_problem(401)
    assert "bearer" in answer.fields["www-authenticate"].lower()


def test_token_with_one_more_character_is_refused(api):
    call(api, "GET", "/v1/sessions", token=api.token + "x").is_problem(401)


def test_basic_credentials_are_refused(api):
    call(api, "GET", "/v1/sessions", lines=[f"Authorization: Basic {api.token}"]).is_problem(401)


def test_entry_token_cannot_register_sessions(api):
    call(api, "POST", "/v1/sessions", {}, token=api.token_of("gate")).is_problem(403)


def test_client_token_cannot_announce_entries_or_rotate_keys(api):
    call(api, "POST", "/v1/entries", {"id": "evil", "uplink": "https://127.0.0.1:1"}, token=api.token).is_problem(403)
    call(api, "POST", "/v1/keys", {}, token=api.token).is_problem(403)


# ---- what is wrong with a request ----

def test_wrong_content_type_gets_415(api, version):
    call(api, "POST", "/v1/sessions", "session=abc", token=api.token, version=version,
         content_type="application/x-www-form-urlencoded").is_problem(415)


def test_content_type_with_parameters_is_json(api):
    answer = call(api, "POST", "/v1/sessions", {}, token=api.token, content_type="application/json; charset=utf-8")
    assert answer.status == 201


@pytest.mark.parametrize("body", ["{", "", "null", "[]", '"abc"', '{"session":"abc"} x', '{"session":}',
                                  '{"session":"a\\u0000bc"}', b"\xff\xfe{}", "[" * 5000])
def test_invalid_json_gets_400_that_says_so(api, version, body):
    answer = call(api, "POST", "/v1/sessions", body, token=api.token, version=version)
    if body == "":  # nothing asked for is nothing wrong
        assert answer.status in (201, 400)
    else:
        assert answer.is_problem(400)["detail"]


def test_oversized_body_gets_413(api, version):
    body = json.dumps({"session": "abc", "padding": "x" * 2_000_000})
    call(api, "POST", "/v1/sessions", body, token=api.token, version=version).is_problem(413)


def test_unknown_members_are_ignored(api):
    assert register(api, "forward-compatible", future={"a": 1})["session"] == "forward-compatible"


def test_bad_instance_gets_400(api):
    call(api, "POST", "/v1/sessions", {"session": "abc", "instance": "no uuid"}, token=api.token).is_problem(400)


@pytest.mark.parametrize("method, path, allowed", [
    ("PUT", "/v1/sessions", {"GET", "POST"}), ("GET", "/v1/sessions/abc", {"DELETE"}),
    ("DELETE", "/v1/entries", {"GET", "POST"}), ("DELETE", "/v1/keys", {"GET", "POST"}),
    ("GET", "/v1/sessions/abc/channel", {"POST"})])
def test_method_not_allowed_names_those_that_are(api, version, method, path, allowed):
    answer = call(api, method, path, token=api.token_of("root"), version=version)
    answer.is_problem(405)
    assert allowed <= {name.strip() for name in answer.fields["allow"].split(",")}


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/sessions", "/v1/session", "/v1/sessions/abc/def", "/session/abc/"])
def test_unknown_path_gets_404(api, version, path):
    call(api, "GET", path, token=api.token, version=version).is_problem(404)


def test_channel_needs_http2(api):
    register(api, "channel-one")
    answer = call(api, "POST", "/v1/sessions/channel-one/channel", "", token=api.token, version="1.1")
    assert 400 <= answer.status < 600
    answer.is_problem(answer.status)


def test_no_plain_http(api):
    with Client(address(api.control)) as client:
        client.send("GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            while data := client.sock.recv(4096):
                assert not data.startswith(b"HTTP/1.1 200")
        except ConnectionError:
            pass


# ---- leases ----

def test_lease_ends_without_renewal(tmp_path):
    site = Site(tmp_path, own=True)
    try:
        site.tunneld("--lease-seconds", "1")
        register(site, "short", token=site.token_of("alice"))
        wait_until(lambda: "short" not in sessions_of(site, "alice"), "the end of a lease of a second", timeout=10)
        register(site, "short", token=site.token_of("bob"))
    finally:
        site.close()


def test_lease_is_renewed_by_a_client(tmp_path, origin):
    site = Site(tmp_path, own=True)
    try:
        site.tunneld("--lease-seconds", "1")
        site.proxyentry()
        site.tunnelc(origin.target, session="lively")
        time.sleep(3.5)  # three leases: there is nothing to wait for but time
        assert "lively" in sessions_of(site, "alice")
    finally:
        site.close()


def test_client_that_drains_ends_its_session(tmp_path, origin):
    """Made or given: there is nobody left to serve it. (One that is killed leaves it to its lease.)"""
    site = Site(tmp_path, own=True)
    try:
        site.tunneld()
        site.proxyentry()
        made, given = site.tunnelc(origin.target), site.tunnelc(origin.target, session="leaving")
        assert sorted(sessions_of(site, "alice")) == sorted([made.session, "leaving"])
        assert made.stop() == 0 and given.stop() == 0
        wait_until(lambda: not sessions_of(site, "alice"), "the sessions to be ended")
    finally:
        site.close()


def test_session_stays_while_another_client_serves_it(tmp_path, origin):
    site = Site(tmp_path, own=True)
    try:
        site.tunneld()
        site.proxyentry()
        first, second = (site.tunnelc(origin.target, session="shared") for _ in range(2))
        assert first.stop() == 0
        assert sessions_of(site, "alice") == ["shared"]
        assert second.process.poll() is None
    finally:
        site.close()


def test_client_of_another_owner_ends_with_a_clear_line(api, origin):
    register(api, "occupied", token=api.token_of("bob"))
    client = api.tunnelc(origin.target, session="occupied", ready=False)
    client.expected_end = 1
    assert client.wait() == 1
    assert "occupied" in client.log() or "another" in client.log() or "owner" in client.log()


@pytest.fixture
def own(tmp_path):
    site = Site(tmp_path, own=True)
    yield site
    site.close()


def test_those_who_listen_for_revocations_have_a_bound(own):
    """An entry that drains: of the 257th nothing is taken, and of one that goes another may come."""
    own.tunneld()
    assert call(own, "POST", "/v1/revocations", "", token=own.token_of("alice")).status == 403
    assert call(own, "GET", "/v1/revocations", token=own.token_of("gate")).status == 405
    context = ssl.create_default_context(cafile=own.ca)
    context.set_alpn_protocols(["h2"])
    fields = [("authorization", f"Bearer {own.token_of('gate')}")]

    def listen(connection):
        stream = connection.request("/v1/revocations", "POST", fields, end=False)
        head = connection.until(lambda f: isinstance(f, HeadersFrame) and f.stream_id == stream)
        return stream, dict(head.fields)[":status"]

    with ExitStack() as stack:
        peers = [stack.enter_context(H2(address(own.control), tls=context, name="localhost")) for _ in range(3)]
        assert [listen(peers[n // 90])[1] for n in range(256)] == ["200"] * 256
        stream, status = listen(peers[2])
        assert status == "503"
        peers[0].close()
        wait_until(lambda: listen(peers[2])[1] == "200", "another one to be taken")
    # Whoever listens hears of it, and is no entry.
    with H2(address(own.control), tls=context, name="localhost") as peer:
        stream, status = listen(peer)
        assert status == "200"
        register(own, "ended")
        assert call(own, "DELETE", "/v1/sessions/ended", token=own.token_of("alice")).status == 204
        peer.until(lambda f: isinstance(f, DataFrame) and f.stream_id == stream and b"ended" in f.data)
    assert call(own, "GET", "/v1/entries", token=own.token_of("gate")).json["entries"] == []
