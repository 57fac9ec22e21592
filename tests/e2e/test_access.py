"""Who asks: proxies in front of the entry that are believed, and who may ask of a session at all."""
import base64
import json
import subprocess
import time

import pytest

from api import call
from programs import Site, run
from wire import Client, ask


def inspect(response):
    assert response.status == 200, response
    fields = {}
    for name, value in json.loads(response.body)["fields"]:
        fields.setdefault(name.lower(), []).append(value)
    return fields


# ---- trusted proxies ----

@pytest.fixture(scope="module")
def behind(tmp_path_factory, shared_origin):
    """An entry that believes a proxy at 127.0.0.1."""
    site = Site(tmp_path_factory.mktemp("behind"))
    try:
        site.tunneld()
        site.proxyentry("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.1/32")
        site.client = site.tunnelc(shared_origin.target, session="main")
        site.session = "main"
        yield site
    finally:
        site.close()


def test_trusted_proxy_s_fields_are_kept_and_appended_to(behind):
    fields = inspect(ask(behind.public, "GET", behind.path("/inspect"), "X-Forwarded-For: 203.0.113.9, 10.1.1.1",
                         "X-Forwarded-Proto: https", "X-Forwarded-Host: outer.example",
                         "Forwarded: for=203.0.113.9;proto=https", "X-Request-Id: outer-1"))
    assert fields["x-forwarded-for"] == ["203.0.113.9, 10.1.1.1, 127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["https"]
    assert fields["x-forwarded-host"] == ["outer.example"]
    assert fields["x-request-id"] == ["outer-1"]
    forwarded = ", ".join(fields["forwarded"])
    assert forwarded.startswith("for=203.0.113.9;proto=https, for=127.0.0.1;")


def test_trusted_proxy_that_says_nothing_is_the_one_who_asks(behind):
    fields = inspect(ask(behind.public, "GET", behind.path("/inspect")))
    assert fields["x-forwarded-for"] == ["127.0.0.1"] and fields["x-forwarded-proto"] == ["http"]


def test_others_are_not_believed(site, origin):
    site.tunneld()
    site.proxyentry("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.2")
    site.client = site.tunnelc(origin.target, session="main")
    site.session = "main"
    fields = inspect(ask(site.public, "GET", site.path("/inspect"), "X-Forwarded-For: 6.6.6.6",
                         "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6"))
    assert "6.6.6.6" not in json.dumps(fields) and fields["x-forwarded-proto"] == ["http"]


@pytest.mark.parametrize("given", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "[::1]"])
def test_what_is_no_prefix_is_a_usage_error(tmp_path, given):
    status, _, said = run("proxyentry", "--dev", "--state-dir", tmp_path, "--public", "127.0.0.1:0", "--uplink",
                          "127.0.0.1:0", "--trusted-proxy", given)
    assert status == 2 and "trusted proxy" in said


# ---- the PROXY protocol ----

V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module")
def fronted(tmp_path_factory, shared_origin):
    """An entry whose public connections begin with a PROXY protocol header."""
    site = Site(tmp_path_factory.mktemp("fronted"))
    try:
        site.tunneld()
        site.entry = site.proxyentry("--accept-proxy-protocol", "--public-tls", "localhost:0")
        site.client = site.tunnelc(shared_origin.target, session="main")
        site.session = "main"
        yield site
    finally:
        site.close()


def told(site, header):
    """Fields that the origin sees of a request behind the header."""
    with Client(site.public) as client:
        client.send(header)
        return inspect(client.ask("GET", site.path("/inspect")))


@pytest.mark.parametrize("header, peer", [
    (b"PROXY TCP4 203.0.113.5 192.0.2.2 4660 80\r\n", "203.0.113.5"),
    (b"PROXY TCP6 2001:db8::5 2001:db8::1 4660 80\r\n", "2001:db8::5"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (V2 + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 6, 192, 0, 2, 2, 1, 2, 0, 80]), "203.0.113.6"),
    (V2 + b"\x20\0\0\0", "127.0.0.1"),
], ids=["v1-ipv4", "v1-ipv6", "v1-unknown", "v2-ipv4", "v2-local"])
def test_peer_is_who_the_header_says(fronted, header, peer):
    fields = told(fronted, header)
    assert fields["x-forwarded-for"] == [peer] and peer in fields["forwarded"][0]


@pytest.mark.parametrize("begin", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 203.0.113.5\r\n",
    V2 + b"\x21\x12\0\x0c" + bytes(12), V2 + b"\x20\0\xff\xff"])
def test_connection_without_a_header_is_closed(fronted, begin):
    with Client(fronted.public) as client:
        client.send(begin)
        assert client.closed()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_header_is_before_tls(fronted, version):
    port = fronted.entry.ready["public_tls"].rsplit(":", 1)[1]
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "--haproxy-protocol", version, "--cacert", fronted.ca,
                           f"https://127.0.0.1:{port}{fronted.path('/inspect')}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ["x-forwarded-proto", "https"] in json.loads(done.stdout)["fields"]


# ---- who may ask of a session ----

def basic(text):
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode()


def test_address_that_is_not_allowed_is_403(fronted, shared_origin):
    client = fronted.tunnelc(shared_origin.target, "--allow-ip", "203.0.113.0/24", "--allow-ip", "2001:db8::/32",
                             session="few")
    for header, status in [(b"PROXY TCP4 203.0.113.255 192.0.2.2 1 2\r\n", 200),
                           (b"PROXY TCP4 203.0.112.255 192.0.2.2 1 2\r\n", 403),
                           (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 200), (b"PROXY UNKNOWN\r\n", 403)]:
        with Client(fronted.public) as asker:
            asker.send(header)
            response = asker.ask("GET", "/session/few/inspect", "X-Forwarded-For: 203.0.113.1")
            assert response.status == status
            if status == 403:
                assert response.fields.get("content-type") == "application/problem+json"
                assert asker.ask("GET", fronted.path("/inspect")).status == 200
    client.stop()


def test_address_is_the_one_that_a_trusted_proxy_tells(behind, shared_origin):
    client = behind.tunnelc(shared_origin.target, "--allow-ip", "203.0.113.0/24", session="told")
    for told_address, status in [("203.0.113.7", 200), ("203.0.113.7, 10.9.9.9", 200), ("203.0.113.7, 192.0.2.1", 403),
                                 ("nobody", 403)]:
        response = ask(behind.public, "GET", "/session/told/inspect", f"X-Forwarded-For: {told_address}")
        assert response.status == status, told_address
    assert ask(behind.public, "GET", "/session/told/inspect").status == 403
    client.stop()


def test_user_and_password_are_asked_for(shared, shared_origin):
    client = shared.tunnelc(shared_origin.target, "--basic-auth", "ann:open:sesame", session="locked")
    path = "/session/locked/inspect"
    response = ask(shared.public, "GET", path)
    assert response.status == 401 and response.fields.get("content-type") == "application/problem+json"
    assert response.fields.get("www-authenticate").startswith('Basic realm="')
    fields = inspect(ask(shared.public, "GET", path, basic("ann:open:sesame")))
    assert "authorization" not in fields
    for wrong in ("ann:open", "ann:open:sesame2", "bob:open:sesame", ":"):
        assert ask(shared.public, "GET", path, basic(wrong)).status == 401
    assert ask(shared.public, "GET", path, basic("ann:open:sesame"), basic("ann:open:sesame")).status == 401
    assert ask(shared.public, "POST", path, body=b"x" * 100000).status == 401
    with Client(shared.public) as asker:
        for _ in range(50):
            assert asker.ask("GET", path, basic("ann:open:sesame")).status == 200
    fields = inspect(ask(shared.public, "GET", shared.path("/inspect"), basic("x:y")))
    assert "authorization" in fields  # of a session without a password it is the origin's
    for program in shared.programs:
        assert "sesame" not in program.log()
    client.stop()


def test_password_from_a_file(shared, shared_origin, tmp_path):
    file = tmp_path / "password"
    file.write_text("ann:open sesame\nnot this\n")
    client = shared.tunnelc(shared_origin.target, "--basic-auth-file", file, session="filed")
    assert ask(shared.public, "GET", "/session/filed/inspect").status == 401
    assert ask(shared.public, "GET", "/session/filed/inspect", basic("ann:open sesame")).status == 200
    client.stop()


@pytest.mark.parametrize("content, more, status, said", [
    (None, [], 1, "password file"), ("", [], 1, "no password in it"), ("nocolon\n", [], 2, "USER:PASSWORD"),
    ("ann:open\n", ["--basic-auth", "ann:open"], 2, "one of them")])
def test_password_files_that_are_none(tmp_path, shared, content, more, status, said):
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    done = run("tunnelc", "http", "1", "--dev", "--state-dir", shared.state, "--basic-auth-file", file, *more)
    assert done[0] == status and said in done[2]


def test_guessing_is_slowed_down(shared, shared_origin):
    client = shared.tunnelc(shared_origin.target, "--basic-auth", "ann:open", session="guessed")
    with Client(shared.public) as asker:
        statuses = [asker.ask("GET", "/session/guessed/", basic(f"ann:{n}")).status for n in range(30)]
    assert set(statuses) == {401, 429}
    client.stop()


def test_terms_outlive_the_control_plane_and_end_with_the_client(site, origin):
    """A restart of tunneld changes nothing; a client without them takes them away."""
    site.tunneld()
    site.proxyentry()
    client = site.tunnelc(origin.target, "--basic-auth", "ann:open", session="kept")
    control = site.control
    site.programs[0].stop()
    site.tunneld(listen=control)
    assert ask(site.public, "GET", "/session/kept/inspect").status == 401
    client.stop()
    time.sleep(1.1)  # tickets of one second are not told apart
    site.tunnelc(origin.target, session="kept")
    assert ask(site.public, "GET", "/session/kept/inspect").status == 200


@pytest.mark.parametrize("given, said", [
    (["--allow-ip", "10.0.0.1/8"], "allowed address"), (["--allow-ip", "::1"] * 17, "at most 16"),
    (["--basic-auth", "nocolon"], "USER:PASSWORD"), (["--basic-auth", ":x"], "USER:PASSWORD"),
    (["--hostname", "localhost"], "host name"), (["--hostname", "a.b"] * 9, "at most 8")])
def test_terms_that_are_none_are_a_usage_error(tmp_path, shared, given, said):
    status, _, stderr = run("tunnelc", "http", "1", "--dev", "--state-dir", shared.state, *given)
    assert status == 2 and said in stderr


# ---- names ----

def test_name_with_the_entry_s_id_is_that_entry_s(shared):
    assert ask(shared.public, "GET", "/inspect", host="main-east.localhost").status == 200
    assert ask(shared.public, "GET", "/inspect", host="main-west.localhost").status == 404


def test_name_of_one_s_own(shared, shared_origin):
    client = shared.tunnelc(shared_origin.target, "--hostname", "www.Example.com", "--hostname", "example.org",
                            session="named")
    port = shared.public[1]
    assert client.ready["urls"] == [f"http://127.0.0.1:{port}/session/named/", f"http://named.localhost:{port}/",
                                    f"http://www.example.com:{port}/", f"http://example.org:{port}/"]
    for host in ("www.example.com", "WWW.EXAMPLE.COM:8080", "example.org"):
        fields = inspect(ask(shared.public, "GET", "/inspect", host=host))
        assert fields["x-forwarded-host"] == [host] and "x-forwarded-prefix" not in fields
    assert ask(shared.public, "GET", "/inspect", host="example.com").status == 404
    assert ask(shared.public, "GET", "/session/main/inspect", host="www.example.com").status == 404
    assert ask(shared.public, "GET", "/session/named/inspect", host="other.example").status == 200
    client.stop()


def test_name_of_another_owner_s_session_is_refused(tmp_path, origin):
    site = Site(tmp_path / "own", own=True)
    try:
        site.tunneld()
        site.proxyentry()
        first = site.tunnelc(origin.target, "--hostname", "www.example.com", session="first", owner="alice")
        other = site.tunnelc(origin.target, "--hostname", "www.example.com", session="other", owner="bob", ready=False)
        ended = other.event("ended")
        assert ended["error"] == "CONFLICT"
        other.expected_end = other.wait()
        assert other.expected_end
        assert ask(site.public, "GET", "/inspect", host="www.example.com").status == 200
        first.stop()
    finally:
        site.close()


@pytest.mark.parametrize("members", [
    {"allow": []}, {"allow": "::1"}, {"allow": ["10.0.0.1/8"]}, {"allow": ["::1"] * 17}, {"basic_auth": "ann:open"},
    {"basic_auth": None}, {"hostnames": ["localhost"]}, {"hostnames": ["WWW.example.com"]}, {"hostnames": ["a.b"] * 9},
    {"hostnames": ["a.b\u0000"]}, {"kind": "tcp", "hostnames": ["a.b"]}])
def test_terms_are_read_strictly(shared, members):
    call(shared, "POST", "/v1/sessions", {"session": "strict", **members}, token=shared.token).is_problem(400)
