"""An ASGI websocket scope: the frames of _websocket.py over an exchange that was upgraded."""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from . import _websocket as ws
from ._asgi import Channel, Message
from ._handler import Disconnected, Exchange
from ._wsgi import PROBLEM

if TYPE_CHECKING:
    from ._asgi import AsgiServer

CLOSE_SECONDS = 10.0


class WebSocketChannel(Channel):
    """receive and send.

    CONNECTING ──accept──▶ OPEN ──close, or the peer's──▶ CLOSED
        └──close, or an answer of HTTP's──▶ CLOSED
    """

    def __init__(self, server: AsgiServer, exchange: Exchange) -> None:
        super().__init__(server, exchange)
        self._decoder = ws.Decoder(server.message_max)
        self._messages: deque[ws.Message] = deque()
        self._told = False  # of websocket.connect
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None  # of an answer in the place of accept
        self._accepted = self._closed = False  # closed: this side has sent Close, or has answered
        self._sent: tuple[int, str] | None = None  # of the Close that was sent
        self._ended: tuple[int, str] | None = None  # how the peer, or an error, ended it

    # ---- receive ----

    async def receive(self) -> Message:
        """ASGI's."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        while not self._messages and self._ended is None:
            await self._more()
        if self._messages:
            message = self._messages.popleft()
            if message.opcode == ws.TEXT:
                return {"type": "websocket.receive", "text": message.text}
            return {"type": "websocket.receive", "bytes": message.data}
        code, reason = self._ended or (ws.ABNORMAL, "")
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def _more(self) -> None:
        """Waits for bytes, and takes them apart. What is not received by the app holds up the peer."""
        exchange = self.exchange
        await self.wait(lambda: bool(exchange.content) or exchange.whole or exchange.closed)
        whole = exchange.whole or exchange.closed
        data = exchange.take()
        if data and not self._closed:
            self._feed(data)
            await self.room()  # of the Pongs
        elif data:
            self._feed_for_close(data)
        if whole and self._ended is None:
            self._end(*(self._sent or (ws.ABNORMAL, "")))

    def _feed(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._on_message(message)
        except ws.ProtocolError as error:
            self._close(error.code, error.reason)
            self._end(error.code, error.reason)

    def _feed_for_close(self, data: bytes) -> None:
        """After Close was sent, only the peer's is of interest."""
        try:
            for message in self._decoder.feed(data):
                if message.opcode == ws.CLOSE:
                    self._end(message.code, message.text)
        except ws.ProtocolError as error:
            self._end(error.code, error.reason)

    def _on_message(self, message: ws.Message) -> None:
        if self._ended is not None:
            return
        if message.opcode == ws.PING:
            self.exchange.write(ws.encode(ws.PONG, message.data))
        elif message.opcode == ws.CLOSE:
            self._close(message.code, "")
            self._end(message.code, message.text)
        elif message.opcode != ws.PONG:
            self._messages.append(message)

    def _end(self, code: int, reason: str) -> None:
        self._ended = self._ended or (code, reason)

    # ---- send ----

    async def send(self, message: Message) -> None:
        """ASGI's."""
        kind = message["type"]
        self.exchange.check()
        if self._accepted:
            await self._send_open(kind, message)
        elif self._closed:
            raise RuntimeError(f"the message {kind!r} is out of order")
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._closed = True
            self.exchange.send(403, [(b"content-type", b"text/plain")], b"Forbidden\n")
        elif kind == "websocket.http.response.start":
            self._head = (message["status"], list(message.get("headers", ())))
        elif kind == "websocket.http.response.body" and self._head is not None:
            await self._answer(message)
        else:
            raise RuntimeError(f"the message {kind!r} is out of order")

    def _accept(self, message: Message) -> None:
        fields = [(bytes(n), bytes(v)) for n, v in message.get("headers", ())]
        if message.get("subprotocol"):
            fields.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
        self.exchange.start(101, fields)
        self._accepted = True

    async def _answer(self, message: Message) -> None:
        """An answer of HTTP's: the handshake is refused."""
        assert self._head is not None
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        if self._head[0]:
            self.exchange.start(*self._head)
            self._head = (0, [])
        self.exchange.write(body)
        if more:
            await self.room()
            return
        self.exchange.end()
        self._closed = True

    async def _send_open(self, kind: str, message: Message) -> None:
        if kind == "websocket.close":
            self._close(message.get("code", ws.NORMAL), message.get("reason") or "")
            return
        if kind != "websocket.send":
            raise RuntimeError(f"the message {kind!r} is out of order")
        if self._closed:
            raise Disconnected("the WebSocket is closed")
        text = message.get("text")
        self.exchange.write(ws.encode(ws.TEXT, text.encode()) if text is not None
                            else ws.encode(ws.BINARY, bytes(message["bytes"])))
        await self.room()

    def _close(self, code: int, reason: str) -> None:
        """Once: Close, and the end of this side."""
        if self._closed:
            return
        self._closed, self._sent = True, (code, reason)
        self.exchange.write(ws.encode_close(code, reason))
        self.exchange.end()

    def over(self, failed: bool) -> None:
        """The app has returned, or failed. The peer has a while to answer Close."""
        if self.exchange.closed:
            return
        if self._accepted:
            self._close(1011 if failed else ws.NORMAL, "")
            self.server.loop.call_later(CLOSE_SECONDS, self._give_up)
        elif not self._closed:
            self._closed = True
            self.exchange.send(500, [(b"content-type", b"text/plain")], PROBLEM)

    def _give_up(self) -> None:
        if not self.exchange.closed:
            self.exchange.abort()
