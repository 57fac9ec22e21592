"""The public of the soak: a steady, bounded load of every kind, each request noted in the ledger."""
import asyncio
import collections
import dataclasses
import itertools
import os
import random
import socket
import struct
import time

import pattern
from h2client import H2Client, Lost, NotTaken
from ledger import Failure
from origins import ws_frame, ws_read

PATIENCE = 25.0  # seconds until a request without an answer is given up, and is a failure
WORKER_RATE = 5  # requests a second of one worker, so that a kept connection never idles for long
SMALL, DOWNLOAD, SLOW = 400, 1 << 20, 1 << 20
SHARES = {"get": 0.40, "post": 0.25, "h2 get": 0.15, "h2 post": 0.10, "new": 0.05}  # of the rate
HEART = 0.05
AWAY_PAUSE = 0.25  # after a connection that could not be made


class Cut(OSError):
    """The connection ended before a whole answer."""


class Http1:
    """One connection to the public address."""

    def __init__(self, address):
        self.address = address
        self.opened = 0.0
        self.answer_begun, self.carrier, self.last = False, "", False
        self.content = bytearray()  # of chunks, not looked at yet

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.opened = time.monotonic()

    def close(self):
        self.writer.close()

    async def head(self, method, path, *lines, body=b""):
        """Sends a request and reads the answer's head: (status, fields)."""
        self.answer_begun, self.carrier = False, ""
        lines = [f"{method} {path} HTTP/1.1", "Host: test.example", *lines]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError as error:
            raise Cut(f"end after {len(error.partial)} bytes of a head") from error
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        self.answer_begun = True
        self.carrier = fields.get("x-origin", "")
        self.last = fields.get("connection", "").lower() == "close"
        return int(head[0].split(" ")[1]), fields

    async def exactly(self, size):
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Cut(f"end after {len(error.partial)} of {size} bytes") from error

    async def chunk(self):
        """The content of the next chunk (RFC 9112, 7.1)."""
        line = await self.reader.readline()
        if not line:
            raise Cut("end between chunks")
        content = await self.exactly(int(line, 16))
        await self.exactly(2)
        return content

    async def ask(self, method, path, body=b""):
        status, fields = await self.head(method, path, body=body)
        return status, await self.exactly(int(fields.get("content-length", 0)))


class Traffic:
    """Runs until stop(). entries: [(name, addresses)]: a dict of "public", "tls", "tcp", "udp" by which to come."""

    def __init__(self, ledger, entries, tls, rate, seed):
        self.ledger, self.entries, self.tls, self.rate = ledger, entries, tls, rate
        self.random = random.Random(seed)
        self.ids = itertools.count(1)
        self.stopping = asyncio.Event()
        self.tasks = []
        self.lags = collections.deque(maxlen=40)  # of the last seconds: how late this loop's own timers were
        self.stalls, self.worst, self.beat = 0, 0.0, time.monotonic()
        self.held = {"websocket": 0, "sse": 0, "tcp": 0}  # open now

    async def _heart(self):
        """Notes when this process itself got no processor: what it sees then is late by that much."""
        while not self.stopping.is_set():
            self.beat = time.monotonic()
            await asyncio.sleep(HEART)
            lag = time.monotonic() - self.beat - HEART
            self.lags.append(lag)
            self.stalls += lag > 0.25
            self.worst = max(self.worst, lag)

    def start(self):
        self.tasks.append(asyncio.ensure_future(self._heart()))
        runs = {"get": self._http1, "post": self._http1, "new": self._new,
                "h2 get": self._http2, "h2 post": self._http2}
        for kind, share in SHARES.items():
            workers = max(2, round(self.rate * share / WORKER_RATE))
            for number in range(workers):
                self._begin(runs[kind], kind, number, workers / (self.rate * share))
        others = (("websocket", 20, self._websocket, 1.0), ("sse", 4, self._sse, 1.0), ("tcp", 6, self._tcp, 0.5),
                  ("udp", 4, self._udp, 0.5), ("download", 2, self._download, 2.0), ("slow", 4, self._slow, 1.0),
                  ("other", 2, self._other, 0.5))
        for kind, count, run, pause in others:
            for number in range(count):
                self._begin(run, kind, number, pause)

    def _begin(self, run, kind, number, pause):
        name, where = self.entries[number % len(self.entries)]
        self.tasks.append(asyncio.ensure_future(self._work(run, kind, name, where, pause)))

    async def stop(self):
        self.stopping.set()
        await asyncio.wait(self.tasks, timeout=PATIENCE + 5)
        for task in self.tasks:
            task.cancel()
        for done in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(done, Exception):
                raise done

    # ---- one worker ----

    async def _work(self, run, kind, name, where, pause):
        """Calls run() again and again; it returns when its connection is of no more use. None of it ends the soak."""
        while not self.stopping.is_set():
            await self._sleep(self.random.uniform(0, pause))
            failure = Failure(kind, name, "", "", time.monotonic(), time.monotonic())
            try:
                async with Guard(self, failure):
                    await run(kind, where, pause, failure)
            except Away:
                await self._sleep(AWAY_PAUSE)

    async def _sleep(self, seconds):
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _paced(self, pause):
        """Yields at a steady rate; what was missed is not made up for."""
        due = time.monotonic()
        while not self.stopping.is_set():
            yield
            due = max(due + pause, time.monotonic())
            await self._sleep(due - time.monotonic())

    def _judge(self, failure, status, right, what):
        """Notes an answer."""
        failure.status = status
        if status == 200 and right:
            self.ledger.good(failure.kind, time.monotonic() - failure.begun)
        elif status == 200:
            self._bad(failure, "content", f"wrong content: {what!r}"[:120])
        else:
            self._bad(failure, "status", f"status {status}")

    def _bad(self, failure, how, reason):
        note = dataclasses.replace(failure, how=how, reason=reason)
        note.answered = note.answered and how != "status"  # then the answer is the failure
        note.lag = max(0.0, time.monotonic() - self.beat - HEART, *self.lags)
        self.ledger.bad(note)

    def _begin_request(self, failure, method="GET"):
        failure.begun, failure.method = time.monotonic(), method
        failure.status, failure.carrier, failure.answered = 0, "", False

    # ---- requests ----

    def _next(self, kind, failure):
        """(method, path, body, what the answer must be or None)."""
        if kind.endswith("post"):
            number = next(self.ids)
            self._begin_request(failure, "POST")
            failure.carrier = number  # who has it is known when it is judged
            return "POST", f"/session/main/deliver/{number}", b"x" * 100, b"%d" % number
        self._begin_request(failure)
        return "GET", f"/session/main/bytes/{SMALL}", b"", bytes(pattern.piece(0, SMALL))

    async def _http1(self, kind, where, pause, failure):
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        try:
            async for _ in self._paced(pause):
                method, path, body, right = self._next(kind, failure)
                try:
                    status, content = await asyncio.wait_for(client.ask(method, path, body), PATIENCE)
                finally:
                    failure.answered = client.answer_begun
                    failure.carrier = failure.carrier or client.carrier
                self._judge(failure, status, content == right, content)
                if client.last:
                    return
        finally:
            client.close()

    async def _new(self, kind, where, pause, failure):
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        try:
            method, path, body, right = self._next("get", failure)
            status, content = await asyncio.wait_for(client.ask(method, path, body), PATIENCE)
            failure.carrier = client.carrier
            self._judge(failure, status, content == right, content)
        finally:
            failure.answered = client.answer_begun
            client.close()

    async def _other(self, kind, where, pause, failure):
        """The session that is ended now and then."""
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        try:
            self._begin_request(failure)
            failure.carrier = kind
            status, content = await asyncio.wait_for(client.ask("GET", "/session/other/bytes/100"), PATIENCE)
            self._judge(failure, status, len(content) == 100, content)
        finally:
            client.close()

    async def _http2(self, kind, where, pause, failure):
        client = H2Client()
        await connected(client.connect(where["tls"], self.tls), failure)
        failure.opened = time.monotonic()
        try:
            async for _ in self._paced(pause):
                if client.going:  # also when it ended meanwhile, as any browser would see
                    return
                method, path, body, right = self._next(kind, failure)
                try:
                    answer = await asyncio.wait_for(client.ask(method, path, body), PATIENCE)
                    self._judge(failure, answer.status, answer.content == right, bytes(answer.content))
                except NotTaken:
                    self.ledger.again[kind] += 1
                    return
                except Lost as error:
                    failure.answered = bool(error.answer.status)
                    failure.carrier = failure.carrier or error.answer.fields.get("x-origin", "")
                    raise
        finally:
            client.close()

    # ---- what is held open ----

    async def _websocket(self, kind, where, pause, failure):
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        self._begin_request(failure)
        try:
            status, _ = await asyncio.wait_for(client.head(
                "GET", "/session/main/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), PATIENCE)
            if status != 101:
                return self._judge(failure, status, False, "")
            self.ledger.good(kind, time.monotonic() - failure.begun)
            self.held[kind] += 1
            try:
                await self._echoes(client, pause, failure)
            finally:
                self.held[kind] -= 1
        finally:
            client.close()

    async def _echoes(self, client, pause, failure):
        number = 0
        while not self.stopping.is_set():
            number += 1
            reading = asyncio.ensure_future(ws_read(client.reader))
            try:
                await asyncio.wait({reading}, timeout=pause)  # an end in between is seen when it comes
                self._begin_request(failure)
                failure.answered, failure.carrier = True, client.carrier
                if not reading.done():
                    client.writer.write(ws_frame(1, b"%d" % number))
                opcode, content = await asyncio.wait_for(reading, PATIENCE)
            except asyncio.IncompleteReadError as error:
                raise Cut("WebSocket ended") from error
            finally:
                reading.cancel()
            self._judge(failure, 200, (opcode, content) == (1, b"%d" % number), content)

    async def _sse(self, kind, where, pause, failure):
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        self._begin_request(failure)
        try:
            status, _ = await asyncio.wait_for(client.head("GET", "/session/main/sse"), PATIENCE)
            if status != 200:
                return self._judge(failure, status, False, "")
            self.held[kind] += 1
            try:
                for number in range(self.random.randrange(40, 120)):
                    if self.stopping.is_set():
                        return
                    self._begin_request(failure)
                    failure.answered, failure.carrier = True, client.carrier
                    event = b"data: %d\n\n" % number
                    while len(client.content) < len(event):
                        client.content += await asyncio.wait_for(client.chunk(), PATIENCE)
                    got = bytes(client.content[:len(event)])
                    del client.content[:len(event)]
                    self._judge(failure, 200, got == event, got)
            finally:
                self.held[kind] -= 1
        finally:
            client.close()

    async def _tcp(self, kind, where, pause, failure):
        client = Http1(where["tcp"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        self.held[kind] += 1
        try:
            for _ in range(self.random.randrange(10, 60)):
                if self.stopping.is_set():
                    return
                data = os.urandom(1000)
                reading = asyncio.ensure_future(client.exactly(len(data)))
                try:
                    await asyncio.wait({reading}, timeout=pause)
                    self._begin_request(failure)
                    failure.carrier = kind
                    if not reading.done():
                        client.writer.write(data)
                    got = await asyncio.wait_for(reading, PATIENCE)
                finally:
                    reading.cancel()
                self._judge(failure, 200, got == data, got[:20])
        finally:
            self.held[kind] -= 1
            client.close()

    async def _udp(self, kind, where, pause, failure):
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(where["udp"])
            for _ in range(self.random.randrange(10, 60)):
                if self.stopping.is_set():
                    return
                self._begin_request(failure)
                failure.carrier = kind
                data = os.urandom(500)
                try:
                    await loop.sock_sendall(sock, data)
                    got = await asyncio.wait_for(loop.sock_recv(sock, 65536), 5)
                except (OSError, asyncio.TimeoutError):
                    self._bad(failure, "datagram", "datagram lost")
                    return
                self._judge(failure, 200, got == data, got[:20])
                await self._sleep(pause)

    async def _download(self, kind, where, pause, failure, piece=65536, rest=0.0, size=DOWNLOAD):
        client = Http1(where["public"])
        await connected(client.connect(), failure)
        failure.opened = client.opened
        self._begin_request(failure)
        try:
            status, _ = await asyncio.wait_for(client.head("GET", f"/session/main/bytes/{size}"), PATIENCE)
            if status != 200:
                return self._judge(failure, status, False, "")
            failure.answered, failure.carrier = True, client.carrier
            checker = pattern.Checker()
            while checker.count < size:
                data = await asyncio.wait_for(client.reader.read(piece), PATIENCE)
                if not data:
                    raise Cut(f"end after {checker.count} of {size} bytes")
                checker.update(data)
                if rest and not self.stopping.is_set():
                    await self._sleep(rest)
            self._judge(failure, 200, checker.exact and checker.count == size, "not the pattern")
        finally:
            client.close()

    async def _slow(self, kind, where, pause, failure):
        """20 s for what others have in milliseconds."""
        await self._download(kind, where, pause, failure, piece=16384, rest=0.3, size=SLOW)

    # ---- what faults do to the public side ----

    async def half_open(self, where, count, seconds):
        """Connections that send a part of a request and then nothing; half of them end by a reset."""
        async def one(number):
            try:
                _, writer = await asyncio.open_connection(*where["public"])
            except OSError:
                return
            writer.write((b"GET /session/main/bytes/10 HT", b"POST /session/main/bytes/10 HTTP/1.1\r\nHost: a\r\n"
                          b"Content-Length: 1000\r\n\r\nonly this", b"")[number % 3])
            await self._sleep(seconds)
            if number % 2:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            writer.close()
        await asyncio.gather(*[one(number) for number in range(count)])

    async def burst(self, name, where, connections, requests):
        """Many at once, without a pause."""
        async def one():
            failure = Failure("burst", name, "", "", time.monotonic(), time.monotonic())
            try:
                async with Guard(self, failure):
                    client = Http1(where["public"])
                    await connected(client.connect(), failure)
                    failure.opened = client.opened
                    try:
                        for _ in range(requests):
                            method, path, body, right = self._next("get", failure)
                            status, content = await asyncio.wait_for(client.ask(method, path, body), PATIENCE)
                            self._judge(failure, status, content == right, content)
                            if client.last:
                                return
                    finally:
                        failure.answered, failure.carrier = client.answer_begun, client.carrier
                        client.close()
            except Away:
                pass
        await asyncio.gather(*[one() for _ in range(connections)])


class Away(Exception):
    """A connection could not be made: it is noted already."""


async def connected(connecting, failure):
    failure.begun = time.monotonic()
    await asyncio.wait_for(connecting, PATIENCE)


class Guard:
    """Notes how an attempt failed, if it did."""

    def __init__(self, traffic, failure):
        self.traffic, self.failure = traffic, failure

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, _):
        if kind is None:
            return False
        if issubclass(kind, asyncio.TimeoutError):
            self.traffic._bad(self.failure, "timeout", f"nothing within {PATIENCE:g} s")
        elif issubclass(kind, OSError):
            self.traffic._bad(self.failure, "connection", repr(error)[:120])
        elif issubclass(kind, (ValueError, AttributeError, KeyError)):
            self.traffic._bad(self.failure, "content", repr(error)[:120])
        else:
            return False
        raise Away from error
