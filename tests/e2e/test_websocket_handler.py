"""WebSockets that a handler accepts in process (tunnel2/websocket.h), with the websockets library as client."""
import os
import socket
import struct

import pytest
import websockets
from hyperframe.frame import HeadersFrame, SettingsFrame
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from h2wire import H2
from programs import Site
from test_websocket import content, extended_connect
from wire import Client


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("handler"))
    try:
        site.tunneld()
        site.proxyentry()
        site.echo = site.start("ws_echo", f"https://{site.control}", site.token, site.ca)
        site.echo.event("ready")
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def url(site):
    return f"ws://{site.public[0]}:{site.public[1]}/session/sockets/"


class Raw:
    """A WebSocket by hand, for what no client does."""

    def __init__(self, site, path):
        self.client = Client(site.public)
        self.client.request("GET", f"/session/sockets{path}", "Connection: upgrade", "Upgrade: websocket",
                            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        head = self.client.head()
        assert head.status == 101 and head.fields.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def send(self, opcode, data=b"", **more):
        self.client.send(Frame(opcode, data, **more).serialize(mask=True))

    def close_code(self):
        """Of the close frame that comes as the first one, and then the end."""
        got = self.client.rest()
        assert got[:1] == b"\x88", got[:100]
        assert len(got) == 2 + got[1]
        return struct.unpack("!H", got[2:4])[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


def test_text_and_binary_messages(url):
    with connect(url + "chat?room=1", subprotocols=["other", "chat"]) as ws:
        assert ws.subprotocol == "chat" and ws.response.headers["X-Mine"] == "yes"
        for message in ("hello", "", "späße", b"\x00\xff" * 100, b"", b"x" * 125, b"x" * 126, b"x" * 65535, b"x" * 65536):
            ws.send(message)
            assert ws.recv(timeout=10) == message
    with connect(url, subprotocols=["chat", "chat.v2"]) as ws:
        assert ws.subprotocol == "chat.v2"
    with connect(url, subprotocols=["other"]) as ws:
        assert ws.subprotocol is None


def test_messages_of_a_mebibyte_and_fragments(url):
    with connect(url, max_size=8 << 20) as ws:
        for message in (os.urandom(1 << 20), "t" * (1 << 20)):
            ws.send(message)
            assert ws.recv(timeout=30) == message
        ws.send(iter(["a", "b" * 70000, "ä", "c"]))
        assert ws.recv(timeout=10) == "a" + "b" * 70000 + "äc"
        ws.send(f"big {4 << 20}")
        assert len(ws.recv(timeout=30)) == 4 << 20


def test_pings_and_pongs(url):
    with connect(url) as ws:
        assert ws.ping(b"from the public").wait(10)
        ws.send("ping")
        assert ws.recv(timeout=10) == "pong from the origin"


@pytest.mark.parametrize("code, reason", [(1000, "done"), (1001, "away"), (3000, "x" * 90), (4999, "mine")])
def test_close_codes_pass_both_ways(site, url, code, reason):
    mark = site.echo.mark()
    with connect(url + "there") as ws:
        ws.send(f"close {code} {reason}")
        with pytest.raises(websockets.ConnectionClosed):
            ws.recv(timeout=10)
        assert (ws.close_code, ws.close_reason) == (code, reason)
    assert site.echo.event("closed", mark)["code"] == code
    mark = site.echo.mark()
    connect(url + "here").close(code, reason)
    event = site.echo.event("closed", mark)
    assert (event["code"], event["reason"], event["path"]) == (code, reason, "/here")


def test_close_code_that_may_not_be_sent_is_refused(site, url):
    mark = site.echo.mark()
    with connect(url) as ws:
        ws.send("close 1005 x")
        assert site.echo.event("closing", mark)["result"] == -2
        ws.send("still here")
        assert ws.recv(timeout=10) == "still here"


@pytest.mark.parametrize("code, frames", [
    (1002, [(Opcode.TEXT, b"x", False)]),                        # unmasked
    (1002, [(Opcode.CONT, b"x", True)]),                         # a continuation of nothing
    (1002, [(3, b"", True)]),                                    # a reserved opcode
    (1007, [(Opcode.TEXT, b"\xed\xa0\x80", True)]),              # text that is not UTF-8
    (1009, [(Opcode.BINARY, b"x" * ((2 << 20) + 1), True)]),     # over message_max
    (1002, [(Opcode.CLOSE, b"\x03", True)]),                     # half a close code
])
def test_what_is_against_the_protocol_is_told(site, code, frames):
    mark = site.echo.mark()
    with Raw(site, "/wrong") as raw:
        for opcode, data, mask in frames:
            head = Frame(Opcode.BINARY, data).serialize(mask=mask)
            try:
                raw.client.send(bytes([0x80 | opcode]) + head[1:])
            except ConnectionError:
                pass  # it does not read to the end what it won't have
        assert raw.close_code() == code
    assert site.echo.event("closed", mark)["code"] == code


def test_reserved_bits_are_refused(site):
    with Raw(site, "/rsv") as raw:
        raw.client.send(b"\xc1\x80mask")
        assert raw.close_code() == 1002


def test_control_frames_between_fragments(site):
    with Raw(site, "/fragments") as raw:
        raw.send(Opcode.TEXT, b"a\xe2", fin=False)
        raw.send(Opcode.PING, b"now")
        raw.send(Opcode.CONT, b"\x82\xac")
        raw.send(Opcode.CLOSE, Close(1000, "").serialize())
        assert raw.client.rest() == b"\x8a\x03now" + b"\x81\x04a\xe2\x82\xac" + b"\x88\x02\x03\xe8"


def test_slow_reader_stops_the_writer(site, url):
    """What waits has a bound, and all comes when it is read."""
    mark = site.echo.mark()
    with connect(url, max_size=None, ping_interval=None, max_queue=1) as ws:
        ws.send("flood")
        flooded = site.echo.event("flooded", mark)
        assert flooded["waiting"] <= 256 * 1024 and 2 <= flooded["count"] <= 12
        for _ in range(flooded["count"]):
            assert len(ws.recv(timeout=10)) == 65536
        site.echo.event("writable", mark)
        ws.send("after it")
        assert ws.recv(timeout=10) == "after it"


def test_echo_to_who_does_not_read_stops_reading(site):
    """Back-pressure from end to end: the sender's socket is full before there is much anywhere."""
    mark = site.echo.mark()
    with Raw(site, "/slow") as raw:
        sock = raw.client.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        message = Frame(Opcode.BINARY, os.urandom(60000)).serialize(mask=True)
        sock.settimeout(1.5)
        sent, rest = 0, b""
        try:
            while sent < 64 << 20:
                rest = rest or message
                n = sock.send(rest)
                rest, sent = rest[n:], sent + n
        except TimeoutError:
            pass
        assert sent < 40 << 20, "nothing stopped the sender"
        site.echo.event("again", mark)
        sock.settimeout(30)
        whole, got = sent // len(message), 0
        while got < whole * (len(message) - 4):  # a server's frames have no mask
            data = sock.recv(1 << 20)
            assert data
            got += len(data)


def test_pings_of_who_does_not_read_make_nothing_grow(site):
    with Raw(site, "/pings") as raw:
        sock = raw.client.sock
        ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 500
        sock.settimeout(1)
        before = site.echo.rss_peak()
        sent = 0
        try:
            while sent < 24 << 20:
                sent += sock.send(ping)
        except TimeoutError:
            pass
        assert site.echo.rss_peak() - before < 24 << 20


def test_client_that_dies_in_the_middle(site):
    mark = site.echo.mark()
    with Raw(site, "/dies") as raw:
        raw.client.send(Frame(Opcode.BINARY, b"x" * 1000).serialize(mask=True)[:500])
    assert site.echo.event("closed", mark, path="/dies")["code"] == 1006
    mark = site.echo.mark()
    with Raw(site, "/reset") as raw:
        raw.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert site.echo.event("closed", mark, path="/reset")["code"] == 1006


def test_who_does_not_answer_a_close_is_cut(site):
    mark = site.echo.mark()
    with Raw(site, "/silent") as raw:
        raw.send(Opcode.TEXT, b"close 4000 bye")
        got = raw.client.rest()
        assert got == b"\x88\x05" + struct.pack("!H", 4000) + b"bye"
    assert site.echo.event("closed", mark)["code"] == 1006


def test_cut(site, url):
    mark = site.echo.mark()
    with connect(url) as ws:
        ws.send("cut")
        with pytest.raises(websockets.ConnectionClosed):
            ws.recv(timeout=10)
        assert ws.close_code == 1006
    assert site.echo.event("closed", mark)["code"] == 1006


def test_what_is_no_websocket_is_the_handlers(site):
    with Client(site.public) as client:
        assert client.ask("GET", "/session/sockets/").status == 426
        assert client.ask("GET", "/session/sockets/", "Connection: upgrade", "Upgrade: chat/1").status == 426
        assert client.ask("GET", "/session/sockets/", "Connection: upgrade", "Upgrade: websocket",
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 8").status == 426


def test_over_http2(site):
    mark = site.echo.mark()
    with H2(site.public) as client:
        client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" not in f.flags)
        stream = extended_connect(client, "/session/sockets/over-h2", "websocket", ("sec-websocket-protocol", "chat"))
        head = dict(client.until(lambda f: isinstance(f, HeadersFrame)).fields)
        assert head[":status"] == "200" and head["sec-websocket-protocol"] == "chat"
        assert "sec-websocket-accept" not in head
        for size in (5, 125, 60000):
            message = Frame(Opcode.TEXT, b"x" * size).serialize(mask=True)
            for at in range(0, len(message), 16384):
                client.data(stream, message[at:at + 16384])
            answer = Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)
            assert content(client, stream, len(answer)) == answer
        client.data(stream, Frame(Opcode.CLOSE, Close(1000, "done").serialize()).serialize(mask=True), end=True)
        event = site.echo.event("closed", mark, path="/over-h2")
        assert (event["code"], event["reason"]) == (1000, "done")


def test_client_that_ends_ends_its_sockets(tmp_path):
    site = Site(tmp_path)
    try:
        site.tunneld()
        site.proxyentry()
        echo = site.start("ws_echo", f"https://{site.control}", site.token, site.ca)
        echo.event("ready")
        with connect(f"ws://{site.public[0]}:{site.public[1]}/session/sockets/x") as ws:
            assert echo.stop() == 0
            with pytest.raises(websockets.ConnectionClosed):
                ws.recv(timeout=10)
        assert echo.event("closed")["code"] == 1006
    finally:
        site.close()
