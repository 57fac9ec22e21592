"""WebSocket and any other Upgrade pass from end to end, with the websockets library at both ends."""
import asyncio
import os
import socket
import threading

import pytest
import websockets
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from websockets.asyncio.client import connect as connect_async
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from h2wire import H2
from programs import wait_until
from websocket_origin import WebSocketOrigin
from wire import Client, ask


@pytest.fixture(scope="module")
def sockets():
    origin = WebSocketOrigin()
    yield origin
    origin.close()


@pytest.fixture(scope="module")
def url(shared, sockets):
    shared.tunnelc(sockets.port, session="sockets")
    return f"ws://{shared.public[0]}:{shared.public[1]}/session/sockets/"


def test_text_and_binary_messages(url, sockets):
    with connect(url + "chat?room=1", subprotocols=["chat"], additional_headers={"X-Mine": "1"}) as ws:
        assert ws.subprotocol == "chat"
        for message in ("hello", "", "späße", b"\x00\xff" * 100, b""):
            ws.send(message)
            assert ws.recv(timeout=10) == message
    request = sockets.seen[-1]
    assert request.path == "/chat?room=1" and request.headers["X-Mine"] == "1"
    assert request.headers["X-Forwarded-For"] == "127.0.0.1"


def test_address_by_name(shared, url):
    host, port = shared.public
    sock = socket.create_connection((host, port))
    with connect(f"ws://sockets.localhost:{port}/", sock=sock) as ws:
        ws.send("by name")
        assert ws.recv(timeout=10) == "by name"


@pytest.mark.parametrize("code, reason", [(1000, "done"), (1001, "away"), (3000, "x" * 100), (4999, "mine")])
def test_close_codes_pass_both_ways(url, sockets, code, reason):
    with connect(url) as ws:
        ws.send(f"close {code} {reason}")
        with pytest.raises(websockets.ConnectionClosed):
            ws.recv(timeout=10)
        assert (ws.close_code, ws.close_reason) == (code, reason)
    count = len(sockets.closed)
    ws = connect(url)
    ws.close(code, reason)
    wait_until(lambda: sockets.closed[count:], "the close at the origin")
    assert sockets.closed[-1] == (code, reason)


def test_pings_and_pongs(url):
    with connect(url) as ws:
        assert ws.ping(b"from the public").wait(10)
        ws.send("ping")
        assert ws.recv(timeout=10) == "True"


def test_fragments(url):
    with connect(url) as ws:
        ws.send("pieces 50")
        assert list(ws.recv_streaming()) == ["x" * 1000] * 50 + [""]
        ws.send(iter(["a", "b" * 70000, "c"]))
        assert ws.recv(timeout=10) == "a" + "b" * 70000 + "c"


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_a_mebibyte(url, compression):
    with connect(url, compression=compression, max_size=8 << 20) as ws:
        assert bool(ws.protocol.extensions) == (compression is not None)
        for message in (os.urandom(1 << 20), b"z" * (1 << 20), "t" * (1 << 20)):
            ws.send(message)
            assert ws.recv(timeout=30) == message
        ws.send(f"big {4 << 20}")
        assert len(ws.recv(timeout=30)) == 4 << 20


def test_five_hundred_at_once(url):
    """All are open before the first says a word."""
    count, opened = 500, 0

    async def one(number, everybody):
        nonlocal opened
        async with connect_async(url, open_timeout=60, ping_interval=None) as ws:
            opened += 1
            if opened == count:
                everybody.set()
            await asyncio.wait_for(everybody.wait(), 60)
            for turn in range(3):
                await ws.send(f"{number} {turn}")
                assert await asyncio.wait_for(ws.recv(), 60) == f"{number} {turn}"

    async def main():
        everybody = asyncio.Event()
        await asyncio.gather(*(one(number, everybody) for number in range(count)))

    asyncio.run(main())


def test_origin_that_dies_ends_the_socket(shared, tmp_path):
    origin = WebSocketOrigin()
    client = shared.tunnelc(origin.port)
    with connect(f"ws://{shared.public[0]}:{shared.public[1]}/session/{client.session}/") as ws:
        ws.send("x")
        assert ws.recv(timeout=10) == "x"
        origin.close()
        with pytest.raises(websockets.ConnectionClosed):
            ws.recv(timeout=10)


def test_public_client_that_dies_ends_the_socket(url, sockets):
    count = len(sockets.closed)
    ws = connect(url)
    ws.socket.shutdown(socket.SHUT_RDWR)
    ws.socket.close()
    wait_until(lambda: sockets.closed[count:], "the end at the origin")
    assert sockets.closed[-1][0] == 1006


# ---- over HTTP/2 (RFC 8441) ----

def extended_connect(client, path, protocol="websocket", *more):
    head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path),
            (":authority", client.authority), ("sec-websocket-version", "13"), *more]
    frame = client.headers(head, end=False)
    client.send(frame)
    return frame.stream_id


def content(client, stream, size):
    """So many bytes of the stream's content."""
    got = b""
    while len(got) < size:
        frame = client.until(lambda f: f.stream_id == stream and isinstance(f, (DataFrame, RstStreamFrame)))
        assert isinstance(frame, DataFrame), frame
        got += frame.data
    return got


def test_websocket_over_http2(shared, url, sockets):
    with H2(shared.public) as client:
        settings = client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" not in f.flags).settings
        assert settings[SettingsFrame.ENABLE_CONNECT_PROTOCOL] == 1
        stream = extended_connect(client, "/session/sockets/over-h2", "websocket", ("sec-websocket-protocol", "chat"))
        head = dict(client.until(lambda f: isinstance(f, HeadersFrame)).fields)
        assert head[":status"] == "200" and head["sec-websocket-protocol"] == "chat"
        for size in (5, 125, 60000):
            text = b"x" * size
            message = Frame(Opcode.TEXT, text).serialize(mask=True)
            for at in range(0, len(message), 16384):
                client.data(stream, message[at:at + 16384])
            answer = Frame(Opcode.TEXT, text).serialize(mask=False)
            assert content(client, stream, len(answer)) == answer
        count = len(sockets.closed)
        client.data(stream, Frame(Opcode.CLOSE, Close(1000, "done").serialize()).serialize(mask=True), end=True)
        wait_until(lambda: sockets.closed[count:], "the close at the origin")
        assert sockets.closed[-1] == (1000, "done")
    assert sockets.seen[-1].path == "/over-h2"


def test_extended_connect_that_is_declined_does_not_look_granted(shared, shared_origin):
    """An ordinary 200 of the origin would mean in HTTP/2 that the tunnel is there."""
    with H2(shared.public) as client:
        client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" not in f.flags)
        stream = extended_connect(client, shared.path("/status/200"), "chat")
        assert client.reset_code(stream)
        stream = extended_connect(client, shared.path("/status/404"), "chat")
        assert dict(client.response(stream)[0][0])[":status"] == "404"
        assert client.ask(shared.path("/status/200"))[0] == 200


# ---- other protocols, and refusals ----

class RawOrigin:
    """Accepts one connection after the other; run(sock, head) does what it likes."""

    def __init__(self, run):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.run = run
        self.heads = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096)
            self.heads.append(head)
            with sock:
                self.run(sock, head)

    def close(self):
        self.sock.close()


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat/1\r\nX-Answer: yes\r\n\r\n"


def test_any_other_upgrade_passes_with_its_half_closes(shared):
    def run(sock, head):
        sock.sendall(SWITCH + b"first ")
        got = b""
        while data := sock.recv(4096):  # until the public side's half-close
            got += data
        sock.sendall(b"got " + got)

    origin = RawOrigin(run)
    client = shared.tunnelc(origin.port)
    with Client(shared.public) as public:
        public.request("GET", f"/session/{client.session}/chat", "Connection: upgrade", "Upgrade: chat/1")
        head = public.head()
        assert (head.status, head.fields.get("upgrade"), head.fields.get("x-answer")) == (101, "chat/1", "yes")
        public.send(b"one ")
        public.send(b"two")
        public.sock.shutdown(socket.SHUT_WR)
        assert public.rest() == b"first got one two"
    assert b"upgrade: chat/1" in origin.heads[0].lower() and origin.heads[0].startswith(b"GET /chat HTTP/1.1\r\n")
    origin.close()


def test_declined_upgrade_is_an_ordinary_answer(shared, shared_origin):
    with Client(shared.public) as client:
        for path, size in (("/bytes/100", 100), ("/chunked/70000", 70000), ("/status/404", 4), ("/status/204", 0)):
            response = client.ask("GET", shared.path(path), "Connection: upgrade", "Upgrade: chat/1")
            assert response.status in (200, 404, 204) and len(response.body) == size
            assert "declined" not in str(response.fields)
        assert client.ask("GET", shared.path("/echo")).status == 200


@pytest.mark.parametrize("protocol", ["h2c", "chat/1, other/2", "x" * 40, "a b"])
def test_upgrade_that_cannot_be_asked_is_an_ordinary_request(shared, protocol):
    with Client(shared.public) as client:
        response = client.ask("GET", shared.path("/echo"), "Connection: upgrade", f"Upgrade: {protocol}")
        assert response.status == 200


def test_upgrade_with_content_is_an_ordinary_request(shared):
    with Client(shared.public) as client:
        response = client.ask("POST", shared.path("/echo"), "Connection: upgrade", "Upgrade: chat/1", body=b"content")
        assert (response.status, response.body) == (200, b"content")


def test_refused_handshake_passes(shared, shared_origin):
    with pytest.raises(websockets.InvalidStatus) as refusal:
        connect(f"ws://{shared.public[0]}:{shared.public[1]}{shared.path('/status/418')}")
    assert refusal.value.response.status_code == 418
    assert ask(shared.public, "GET", shared.path("/echo")).status == 200
