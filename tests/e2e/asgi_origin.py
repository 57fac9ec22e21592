"""A WebSocket origin on hypercorn: by HTTP/1.1 and by HTTP/2 (RFC 8441) on one port, in the clear or over TLS with ALPN."""
import asyncio
import socket
import threading

import hypercorn.asyncio
import hypercorn.config
from h2.events import DataReceived
from h2.settings import SettingCodes, Settings
from hypercorn.protocol.h2 import H2Protocol


class DecliningConfig(hypercorn.config.Config):
    """Its HTTP/2 does not offer the extended CONNECT, which hypercorn has no switch for."""


async def initiate(self, *arguments, _initiate=H2Protocol.initiate):
    if isinstance(self.config, DecliningConfig):
        self.connection.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 100})
    await _initiate(self, *arguments)


async def handle_events(self, events, _handle_events=H2Protocol._handle_events):
    """hypercorn 0.17 to 0.18 gives up the whole connection when content comes for a WebSocket that it has closed, such as
    the answer to its close."""
    for event in events:
        late = isinstance(event, DataReceived) and event.stream_id not in self.streams
        await _handle_events(self, [] if late else [event])


H2Protocol.initiate = initiate
H2Protocol._handle_events = handle_events


class AsgiOrigin:
    """Echoes messages; "close CODE REASON" closes, "big N" sends N bytes. Plain requests are answered with their version.
    certificate: (cert, key) files, for TLS; declines: HTTP/2 takes no WebSockets."""

    def __init__(self, certificate=None, declines=False):
        self.loop = asyncio.new_event_loop()
        self.seen = []    # scopes of WebSockets; their "http_version" says how they were asked for
        self.closed = []  # codes of those that ended
        self.open = self.open_most = 0
        sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = sock.getsockname()[1]
        self.config = DecliningConfig() if declines else hypercorn.config.Config()
        self.config.bind = [f"fd://{sock.detach()}"]
        self.config.h2_max_concurrent_streams = 1000
        self.config.keep_alive_timeout = 60
        self.config.graceful_timeout = 0.1
        self.config.shutdown_timeout = 1
        if certificate:
            self.config.certfile, self.config.keyfile = map(str, certificate)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self._stop = asyncio.Event()
        self.loop.run_until_complete(hypercorn.asyncio.serve(self._app, self.config, shutdown_trigger=self._stop.wait))

    async def _app(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["http_version"].encode()})
        else:
            await self._talk(scope, receive, send)

    async def _live(self, receive, send):
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def _talk(self, scope, receive, send):
        self.seen.append(scope)
        await receive()
        if scope["path"].endswith("/refuse"):
            await send({"type": "websocket.close"})
            return
        chat = "chat" if "chat" in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": chat, "headers": [(b"x-answer", b"yes")]})
        self.open += 1
        self.open_most = max(self.open, self.open_most)
        while (event := await receive())["type"] == "websocket.receive":
            text = event["text"]
            words = (text or "").split(" ")
            if words[0] == "close":
                await send({"type": "websocket.close", "code": int(words[1]), "reason": words[2]})
            elif words[0] == "big":
                await send({"type": "websocket.send", "bytes": b"B" * int(words[1])})
            elif text is not None:
                await send({"type": "websocket.send", "text": text})
            else:
                await send({"type": "websocket.send", "bytes": event["bytes"]})
        self.open -= 1
        self.closed.append(event.get("code"))

    def close(self):
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(10)

