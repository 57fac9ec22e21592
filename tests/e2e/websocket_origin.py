"""A WebSocket origin, with the websockets library."""
import asyncio
import os
import threading

import websockets
from websockets.asyncio.server import serve


class WebSocketOrigin:
    """Echoes messages; "close CODE REASON" closes, "big N" sends a message of N bytes, "pieces N" N fragments."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.closed = []  # (code, reason) of connections that ended
        self.seen = []    # handshake requests
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(10)

    def _run(self, started):
        async def main():
            self._stop = asyncio.Event()
            async with serve(self._handle, "127.0.0.1", 0, max_size=8 << 20, ping_interval=None,
                             select_subprotocol=lambda _, offered: "chat" if "chat" in offered else None) as server:
                self.port = server.sockets[0].getsockname()[1]
                started.set()
                await self._stop.wait()
        self.loop.run_until_complete(main())

    async def _handle(self, ws):
        self.seen.append(ws.request)
        try:
            async for message in ws:
                await self._answer(ws, message)
        except websockets.ConnectionClosed:
            pass
        self.closed.append((ws.close_code, ws.close_reason))

    async def _answer(self, ws, message):
        words = message.split(" ") if isinstance(message, str) else [None]
        if words[0] == "close":
            await ws.close(int(words[1]), words[2])
        elif words[0] == "big":
            await ws.send(os.urandom(1) * int(words[1]))
        elif words[0] == "pieces":
            await ws.send(["x" * 1000 for _ in range(int(words[1]))])
        elif words[0] == "ping":
            waiter = await ws.ping(b"from the origin")
            await ws.send(f"{await waiter >= 0}")
        else:
            await ws.send(message)

    def close(self):
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(10)
