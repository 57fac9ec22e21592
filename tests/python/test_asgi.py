"""serve with ASGI apps: http, websocket and lifespan, on a loop of their own or of the caller's."""
import hashlib
import json
import logging
import socket
import threading
import time

import pytest
import websockets
from websockets.sync.client import connect as ws_connect

import tunnel2
from asking import connect, get, split, until

MIB = 1 << 20


async def answer(send, body, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def content(receive):
    """The pieces of a request's content."""
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        more = message["more_body"]
        yield message["body"]


class App:
    """Routes by the first segment of a path to a method (scope, receive, send)."""

    def __init__(self):
        self.lifespan_seen = []
        self.noted = []
        self.thread = None
        self.gate = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = scope["path"][len(scope["root_path"]):]
        await getattr(self, path.split("/")[1] or "hello")(scope, receive, send)

    async def _lifespan(self, scope, receive, send):
        scope["state"]["made"] = "at startup"
        while True:
            kind = (await receive())["type"]
            self.lifespan_seen.append(kind)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def hello(self, scope, receive, send):
        self.thread = threading.current_thread().name
        await answer(send, b"hello")

    async def scope(self, scope, receive, send):
        text = json.dumps(scope, default=lambda value: value.decode("latin-1"))
        await answer(send, text.encode(), headers=[(b"content-type", b"application/json")])

    async def digest(self, scope, receive, send):
        digest, n = hashlib.sha256(), 0
        async for data in content(receive):
            digest.update(data)
            n += len(data)
        await answer(send, f"{n} {digest.hexdigest()}".encode())

    async def echo(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        async for data in content(receive):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})

    async def trailers(self, scope, receive, send):
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    async def endless(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                self.noted.append(time.monotonic())
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError:
            self.noted.append("gone")
            raise

    async def wraps(self, scope, receive, send):
        """As frameworks do: their own error for the server's."""
        try:
            await self.endless(scope, receive, send)
        except OSError:
            raise LookupError("the framework's word for it") from None

    async def waits(self, scope, receive, send):
        assert [_ async for _ in content(receive)]
        self.noted.append("waits")
        self.noted.append((await receive())["type"])

    async def disconnects(self, scope, receive, send):
        """What comes after the answer is a disconnect."""
        await answer(send, b"done")
        async for _ in content(receive):
            pass
        self.noted.append((await receive())["type"])

    async def broken(self, scope, receive, send):
        raise RuntimeError("it is broken")

    async def silent(self, scope, receive, send):
        pass

    async def breaks(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise RuntimeError("it breaks")

    async def disorder(self, scope, receive, send):
        await send({"type": "http.response.body", "body": b"x"})

    async def ws(self, scope, receive, send):
        """Echoes; "close" closes, "bang" fails."""
        assert (await receive())["type"] == "websocket.connect"
        chosen = "chat" if "chat" in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-ws", b"1")]})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.noted.append((message["code"], message["reason"]))
                return
            if message.get("text") == "bang":
                raise RuntimeError("bang")
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4000, "reason": "asked to"})
            elif message.get("text") == "flood":
                for _ in range(1000):
                    self.noted.append("sent")
                    await send({"type": "websocket.send", "bytes": b"x" * 65536})
            else:
                await send({**message, "type": "websocket.send"})

    async def ws_no(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})

    async def ws_teapot(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-tea", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"tea"})


@pytest.fixture(scope="module")
def app():
    return App()


@pytest.fixture(scope="module")
def t(site, app):
    with tunnel2.serve(app, session="asgi", message_max=MIB, **site.options) as tunnel:
        yield tunnel
    assert app.lifespan_seen == ["lifespan.startup", "lifespan.shutdown"]


@pytest.fixture(autouse=True)
def forget(app):
    app.noted.clear()


# ---- http ----

def test_a_simple_answer(t, app):
    answer = get(t)
    assert (answer.status, answer.body, answer.fields.get("content-length")) == (200, b"hello", "5")
    assert app.thread == "tunnel2-asgi"


def test_the_scope(t):
    (host, port), _ = split(t)
    scope = json.loads(get(t, "/scope/a%20b%2Fc?q=%20", "X-Some: a", "X-Some: b", host=f"{host}:{port}").body)
    expected = {"type": "http", "method": "GET", "path": "/session/asgi/scope/a b/c", "root_path": "/session/asgi",
                "raw_path": "/session/asgi/scope/a%20b%2Fc", "query_string": "q=%20", "scheme": "http",
                "http_version": "1.1", "client": ["127.0.0.1", 0], "server": [host, port],
                "state": {"made": "at startup"}}
    assert {k: scope[k] for k in expected} == expected
    headers = [tuple(pair) for pair in scope["headers"]]
    assert ("host", f"{host}:{port}") in headers and [v for n, v in headers if n == "x-some"] == ["a", "b"]


@pytest.mark.parametrize("size", [0, 1, 5 * MIB])
def test_content_comes_whole(t, size):
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert get(t, "/digest", body=body, method="POST").body.decode() == f"{size} {hashlib.sha256(body).hexdigest()}"


def test_streaming_both_ways_at_once(t):
    with connect(t) as client:
        client.request("POST", split(t, "/echo")[1], "Transfer-Encoding: chunked")
        client.send(b"3\r\nabc\r\n")
        pieces = client.pieces(client.final_head())
        assert next(pieces) == b"abc"
        client.send(b"3\r\ndef\r\n0\r\n\r\n")
        assert b"".join(pieces) == b"def"


def test_trailers(t):
    answer = get(t, "/trailers", "TE: trailers")
    assert answer.body == b"body" and answer.trailers.get("x-sum") == "1"


def test_an_app_waits_for_who_reads_slowly_and_hears_when_they_go(t, app):
    with connect(t, receive_buffer=4096) as client:
        client.request("GET", split(t, "/endless")[1])
        client.final_head()

        def stands_still():
            n = len(app.noted)
            time.sleep(0.3)
            return n and len(app.noted) == n
        until(stands_still, "the app's wait")
        assert len(app.noted) * 65536 < 16 * MIB
    until(lambda: app.noted[-1] == "gone", "the app's end")


@pytest.mark.parametrize("path", ["/endless", "/wraps"])
def test_who_leaves_a_download_is_no_failure_of_the_app(t, app, caplog, path):
    """The outside could fill the log else, a page of traceback for each connection."""
    with connect(t) as client:
        client.request("GET", split(t, path)[1])
        client.final_head()
    until(lambda: app.noted[-1] == "gone", "the app's end")
    until(lambda: not t.stats().active, "the end of the request")
    assert get(t, "/disconnects").body == b"done"  # a turn of the loop later
    assert not [r for r in caplog.records if r.name == "tunnel2.serve" and r.levelno > logging.INFO]


def test_content_that_is_not_received_is_not_read(t, app):
    """An upload stands still until the app wants it."""
    with connect(t, timeout=1) as client:
        client.request("POST", split(t, "/endless")[1], "Content-Length: 100000000")
        with pytest.raises(OSError):
            for _ in range(1000):
                client.send(b"x" * 100_000)


def test_who_waits_hears_of_a_disconnect(t, app):
    with connect(t) as client:
        client.request("GET", split(t, "/waits")[1])
        until(lambda: "waits" in app.noted, "the request")
    until(lambda: "http.disconnect" in app.noted, "the disconnect")


def test_after_the_answer_comes_a_disconnect(t, app):
    assert get(t, "/disconnects").body == b"done"
    until(lambda: app.noted == ["http.disconnect"], "the disconnect")


@pytest.mark.parametrize("path", ["/broken", "/silent", "/disorder"])
def test_an_app_that_fails_is_a_500_and_logged(t, caplog, path):
    answer = get(t, path)
    assert answer.status == 500 and b"broken" not in answer.body
    record = until(lambda: [r for r in caplog.records if r.name == "tunnel2.serve"], "the log")[0]
    assert record.levelno == logging.ERROR and path[1:] in record.getMessage()


def test_an_app_that_breaks_cuts_its_answer(t):
    answer = get(t, "/breaks")
    assert not answer.whole or answer.status == 502


def test_many_at_once(t):
    problems = []

    def some():
        with connect(t) as client:
            for i in range(50):
                body = b"%d" % i * 10
                if client.ask("POST", split(t, "/echo")[1], body=body).body != body:
                    problems.append(i)
    askers = [threading.Thread(target=some) for _ in range(16)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert not problems


# ---- websocket ----

def ws(t, path="/ws", **options):
    return ws_connect(t.url.replace("http", "ws", 1).rstrip("/") + path, max_size=None, **options)


def test_messages_of_all_kinds_come_back(t, app):
    with ws(t, subprotocols=["x", "chat"]) as client:
        assert client.subprotocol == "chat" and client.response.headers["x-ws"] == "1"
        for message in ("text ä", b"bytes", "", b"", "x" * 70000, bytes(MIB)):
            client.send(message)
            assert client.recv(20) == message
        client.send(["in ", "three ", "pieces"])
        assert client.recv(20) == "in three pieces"
        assert client.ping(b"hi").wait(20)
        client.close(4001, "bye")
    until(lambda: app.noted == [(4001, "bye")], "the app's disconnect")


def test_the_app_closes(t, app):
    with ws(t) as client:
        client.send("close")
        with pytest.raises(websockets.ConnectionClosed):
            client.recv(20)
        assert (client.close_code, client.close_reason) == (4000, "asked to")
    until(lambda: app.noted, "the app's disconnect")
    assert app.noted[0][0] == 4000


def test_a_client_that_vanishes_is_a_1006(t, app):
    client = ws(t)
    client.send("x")
    client.recv(20)
    client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: app.noted, "the app's disconnect")
    assert app.noted == [(1006, "")]


def test_an_exception_closes_with_1011(t, caplog):
    with ws(t) as client:
        client.send("bang")
        with pytest.raises(websockets.ConnectionClosed):
            client.recv(20)
        assert client.close_code == 1011
    assert any(r.exc_info for r in caplog.records)


def test_a_message_that_is_too_long_is_refused(t, app):
    with ws(t) as client:
        with pytest.raises(websockets.ConnectionClosed):
            client.send(bytes(MIB + 1))
            client.recv(20)
        assert client.close_code == 1009
    until(lambda: app.noted and app.noted[0][0] == 1009, "the app's disconnect")


def test_sending_waits_for_who_reads_slowly(t, app):
    with connect(t, receive_buffer=4096) as client:
        client.request("GET", split(t, "/ws")[1], "Connection: Upgrade", "Upgrade: websocket",
                       "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
        assert client.final_head().status == 101
        client.send(b"\x81\x85\0\0\0\0flood")

        def stands_still():
            n = len(app.noted)
            time.sleep(0.3)
            return n and len(app.noted) == n
        until(stands_still, "the app's wait")
        assert len(app.noted) < 256


@pytest.mark.parametrize("path, status", [("/ws_no", 403), ("/ws_teapot", 418), ("/broken", 500)])
def test_a_handshake_may_be_refused(t, path, status):
    with pytest.raises(websockets.InvalidStatus) as caught:
        ws(t, path)
    response = caught.value.response
    assert response.status_code == status
    if status == 418:
        assert (response.headers["x-tea"], response.body) == ("1", b"tea")
