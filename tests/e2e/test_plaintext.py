"""--uplink-plaintext: uplinks in the clear, where both ends ask for it and the network is one's own."""
import socket
import ssl

import pytest
from websockets.sync.client import connect

import ports
from api import call
from h2wire import H2
from programs import Site, address, run, wait_until
from tcp import TcpOrigin, echo, exactly
from websocket_origin import WebSocketOrigin
from wire import ask

CLEAR = "--uplink-plaintext"
ANYWHERE = "--uplink-plaintext-anywhere"


@pytest.fixture
def clear(site):
    """An entry whose uplinks are in the clear."""
    site.tunneld()
    site.entry = site.proxyentry(CLEAR, "--tcp-ports", str(ports.free(1)))
    return site


def announced(site, entry="east"):
    listed = call(site, "GET", "/v1/entries", token=site.token).json["entries"]
    return next(each["uplink"] for each in listed if each["id"] == entry)


def test_requests_websockets_and_tcp_pass_and_both_ends_say_what_is_lost(clear, origin):
    site = clear
    assert announced(site) == "http://%s:%d" % site.uplink
    client = site.tunnelc(origin.target, CLEAR, session="main")
    site.session = "main"
    assert ask(site.public, "GET", site.path("/bytes/300000")).status == 200
    body = b"up" * 100000
    assert ask(site.public, "POST", site.path("/echo"), body=body).body == body
    sockets = WebSocketOrigin()
    raw = TcpOrigin(echo)
    try:
        site.tunnelc(sockets.port, CLEAR, session="sockets")
        with connect("ws://%s:%d/session/sockets/" % site.public) as ws:
            ws.send("hello")
            assert ws.recv(timeout=30) == "hello"
        port = site.tunnelc(raw.port, CLEAR, session="raw", command="tcp").ready["urls"][0].removeprefix("tcp://")
        with socket.create_connection(address(port), timeout=30) as sock:
            sock.sendall(b"raw bytes")
            assert exactly(sock, 9) == b"raw bytes"
    finally:
        sockets.close()
        raw.close()
    for program in (client, site.entry):
        assert program.log().count("uplink-plaintext:") == 1, program.log()
        assert "read and changed on the way" in program.log()


def test_what_goes_through_is_in_the_clear(clear, origin):
    """Else the option would be for nothing: a tap between client and entry reads the ticket and the content."""
    site = clear
    seen = bytearray()

    def tap(sock):
        while data := sock.recv(65536):
            seen.extend(data)

    wire = TcpOrigin(tap)
    try:
        site.proxyentry(CLEAR, "--advertise-uplink", f"http://127.0.0.1:{wire.port}", entry="west")
        site.tunnelc(origin.target, CLEAR, session="main")
        wait_until(lambda: b"Bearer ey" in seen, "a ticket in the clear")
    finally:
        wire.close()


def test_a_client_that_was_not_told_so_does_not_dial(clear, origin):
    client = clear.tunnelc(origin.target, session="main", ready=False)
    event = client.event("retrying", entry="east", error="UNSUPPORTED")
    assert CLEAR in event["reason"] and "entry east" in event["reason"]
    assert event["delay_ms"] >= 20000
    wait_until(lambda: CLEAR in client.log(), "a warning")
    assert "uplink of session main is up" not in clear.entry.log()


def test_a_client_does_not_dial_a_public_address(site, origin):
    """203.0.113.0/24 is nobody's (RFC 5737), so a dial would only time out."""
    site.tunneld()
    site.proxyentry(CLEAR, ANYWHERE, "--advertise-uplink", "http://203.0.113.7:12001")
    client = site.tunnelc(origin.target, CLEAR, session="main", ready=False)
    event = client.event("retrying", entry="east", error="UNSUPPORTED")
    assert ANYWHERE in event["reason"] and "public address" in event["reason"]
    forced = site.tunnelc(origin.target, CLEAR, ANYWHERE, "--session", "other", ready=False)
    assert forced.event("retrying", entry="east")["error"] != "UNSUPPORTED"


@pytest.mark.parametrize("options, said", [
    (["--uplink", "0.0.0.0:0", "--advertise-uplink", "http://10.0.0.1:1", CLEAR], "0.0.0.0 is not of a private"),
    (["--uplink", "[::]:0", "--advertise-uplink", "http://10.0.0.1:1", CLEAR], ":: is not of a private"),
    (["--uplink", "203.0.113.7:0", CLEAR], "203.0.113.7 is not of a private"),
    (["--uplink", "127.0.0.1:0", "--advertise-uplink", "http://[2001:db8::1]:1", CLEAR],
     "2001:db8::1 is not of a private"),
    (["--uplink", "127.0.0.1:0", "--advertise-uplink", "http://10.0.0.1:1"], "needs uplink-plaintext"),
    (["--uplink", "127.0.0.1:0", ANYWHERE], "needs uplink-plaintext"),
])
def test_an_entry_refuses_to_listen_where_the_public_is(own_files, options, said):
    status, _, errors = run("proxyentry", *own_files, "--public", "127.0.0.1:0", *options)
    assert status == 2 and said in errors, errors


@pytest.fixture
def own_files(tmp_path):
    site = Site(tmp_path / "own", own=True)
    return [*site.certificate(), *site.trust("gate"), "--control", "https://127.0.0.1:1"]


def test_forced_an_entry_listens_everywhere(own_files, tmp_path):
    site = Site(tmp_path / "own", own=True)
    site.tunneld()
    try:
        entry = site.proxyentry("--uplink", "0.0.0.0:0", "--advertise-uplink", "http://127.0.0.1:1", CLEAR, ANYWHERE)
        assert "uplink-plaintext:" in entry.log()
    finally:
        site.close()


def test_one_port_takes_the_publics_tls_and_uplinks_in_the_clear(site, origin):
    port = ports.free(1)
    site.tunneld()
    entry = site.proxyentry("--public-tls", f"127.0.0.1:{port}", CLEAR, uplink=f"127.0.0.1:{port}")
    assert entry.ready["public_tls"] == entry.ready["uplink"]
    site.tunnelc(origin.target, CLEAR, session="main")
    site.session = "main"
    context = ssl.create_default_context(cafile=site.ca)
    context.set_alpn_protocols(["h2"])
    with H2(("127.0.0.1", port), tls=context, name="localhost") as public:
        assert public.ask(site.path("/bytes/50"), authority="localhost")[0] == 200
    # A public request in the clear is not for this port.
    assert ask(site.uplink, "GET", site.path("/bytes/50")).status == 400


def test_clients_that_dial_by_tls_are_taken_on_the_same_port(site, origin):
    port = ports.free(1)
    site.tunneld()
    site.proxyentry(CLEAR, "--advertise-uplink", f"https://127.0.0.1:{port}", uplink=f"127.0.0.1:{port}")
    site.tunnelc(origin.target, session="main")
    site.session = "main"
    assert ask(site.public, "GET", site.path("/bytes/50")).status == 200
