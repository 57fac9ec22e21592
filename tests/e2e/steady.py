"""A steady load of all kinds on a public address, by clients that go by the RFCs: what failed, and which tunnels broke."""
import asyncio
import threading
import time

from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame
from websockets.asyncio.client import connect

from h2wire import H2, Ended
from wire import Client, Closed


class Steady:
    """In a with block: HTTP/1.1 on kept connections and on new ones, HTTP/2, and WebSockets that echo."""

    def __init__(self, address, path, websocket_path=None, threads=2, websockets=20, pause=0.02,
                 beat=0.1, timeout=10):
        self.address, self.path, self.pause = address, path, pause
        self.websocket_path, self.websocket_count = websocket_path, websockets if websocket_path else 0
        self.beat, self.timeout = beat, timeout  # between a WebSocket's messages; for any answer
        self.done = {"kept": 0, "new": 0, "h2": 0, "websocket": 0}
        self.slowest = 0.0
        self.failures = []
        self.open_websockets = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        runs = [self._kept, self._new, self._h2] * threads + ([self._websockets] if websocket_path else [])
        self._threads = [threading.Thread(target=run, daemon=True) for run in runs]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def total(self):
        with self._lock:
            return sum(self.done.values())

    def ready(self):
        """Every kind has begun."""
        with self._lock:
            idle = [kind for kind, n in self.done.items() if n == 0 and (kind != "websocket" or self.websocket_count)]
        return not idle and self.open_websockets == self.websocket_count

    def _note(self, kind, begun, problem):
        now = time.monotonic()
        with self._lock:
            self.done[kind] += 1
            self.slowest = max(self.slowest, now - begun)
            if problem:
                self.failures.append((kind, round(now - begun, 3), problem))

    def _rounds(self):
        while not self._stopping.wait(self.pause):
            yield time.monotonic()

    def _kept(self):
        client = None
        for begun in self._rounds():
            try:
                client = client or Client(self.address, timeout=self.timeout)
                response = client.ask("GET", self.path)
                self._note("kept", begun, None if response.status == 200 and response.whole else f"{response}")
                last = (response.fields.get("connection") or "").lower() == "close"
            except (OSError, Closed, ValueError) as error:
                self._note("kept", begun, repr(error))
                last = True
            if last and client:
                client.close()
                client = None

    def _new(self):
        for begun in self._rounds():
            try:
                with Client(self.address, timeout=self.timeout) as client:
                    response = client.ask("POST", self.path, body=b"once")
                    self._note("new", begun, None if response.status == 200 and response.whole else f"{response}")
            except (OSError, Closed, ValueError) as error:
                self._note("new", begun, repr(error))

    def _h2(self):
        client = None
        for begun in self._rounds():
            try:
                client = client or H2(self.address)
                status, last = self._ask_h2(client)
                while status is None:  # beyond GOAWAY's last stream: it was not acted on (RFC 9113, 6.8)
                    client.close()
                    client = H2(self.address)
                    status, last = self._ask_h2(client)
                self._note("h2", begun, None if status == 200 else f"status {status}")
            except (OSError, Ended, AssertionError) as error:
                self._note("h2", begun, repr(error))
                last = True
            if last and client:
                client.close()
                client = None

    def _ask_h2(self, client):
        """(status, GOAWAY was seen); (None, True): the server says that it did not take the request."""
        stream = client.request(self.path)
        status = None
        while True:
            seen = [frame for frame in client.seen if isinstance(frame, GoAwayFrame)]
            if any(frame.last_stream_id < stream for frame in seen):
                return None, True
            frame = client.frame()
            if frame.stream_id != stream:
                continue
            if isinstance(frame, RstStreamFrame):
                raise AssertionError(f"reset with {frame.error_code}")
            if isinstance(frame, HeadersFrame):
                status = int(dict(frame.fields)[":status"])
            if isinstance(frame, (DataFrame, HeadersFrame)) and "END_STREAM" in frame.flags:
                return status, any(isinstance(f, GoAwayFrame) for f in client.seen)

    def _websockets(self):
        asyncio.run(self._all_websockets())

    async def _all_websockets(self):
        await asyncio.gather(*[self._one_websocket(n) for n in range(self.websocket_count)])

    async def _one_websocket(self, number):
        begun = time.monotonic()
        try:
            async with connect(f"ws://{self.address[0]}:{self.address[1]}{self.websocket_path}", proxy=None,
                               ping_interval=None) as ws:
                self.open_websockets += 1
                while not self._stopping.is_set():
                    begun = time.monotonic()
                    await ws.send(f"{number}")
                    answer = await asyncio.wait_for(ws.recv(), self.timeout)
                    self._note("websocket", begun, None if answer == f"{number}" else f"{answer!r}")
                    await asyncio.sleep(self.beat)
        except Exception as error:  # noqa: BLE001 - whatever ends a tunnel is what is looked for
            self._note("websocket", begun, repr(error))
