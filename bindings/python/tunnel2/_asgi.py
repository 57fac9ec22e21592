"""ASGI apps (3.0: http, websocket and lifespan) on an asyncio loop: in a thread of its own, or the caller's."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Awaitable, Callable, MutableMapping
from urllib.parse import unquote_to_bytes

from . import errors
from ._handler import Disconnected, Exchange, log_failure
from ._wsgi import PROBLEM, host_and_port, prefix_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
if TYPE_CHECKING:
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("tunnel2.serve")

VERSION = {"version": "3.0", "spec_version": "2.4"}
SHUTDOWN_SECONDS = 10.0


class Channel:
    """One request on the asyncio loop: waiting for content and for room."""

    def __init__(self, server: AsgiServer, exchange: Exchange) -> None:
        self.server, self.exchange = server, exchange
        self._waiter: asyncio.Future[None] | None = None
        exchange.wake = self._wake

    def _wake(self) -> None:
        """On the library's thread."""
        if self._waiter is not None:
            self.server.post(self.resume)

    def resume(self) -> None:
        """Who waits looks again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Until condition() holds. It is looked at after `_waiter` is set, so that no change is missed."""
        while not condition():
            waiter = self._waiter
            if waiter is None:
                waiter = self._waiter = self.server.loop.create_future()
            if condition():
                return
            await asyncio.shield(waiter)

    async def room(self) -> None:
        """Until not too much is on the way."""
        exchange = self.exchange
        if not exchange.has_room():
            exchange.starved = True
            await self.wait(exchange.has_room)


def fields_in(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """As a scope has them; Host among them."""
    fields = exchange.fields
    return [(b"host", exchange.authority), *zip(fields[::2], fields[1::2])]


def scope_of(exchange: Exchange, kind: str, state: dict[str, Any]) -> Scope:
    """What the app is given."""
    path, _, query = exchange.path.partition(b"?")
    scheme = exchange.scheme.decode("latin-1")
    prefix = prefix_of(exchange)
    remote = exchange.remote.decode("latin-1")
    host, port = host_and_port(exchange.authority.decode("latin-1"), scheme)
    if kind == "websocket":
        scheme = "wss" if scheme == "https" else "ws"
    return {
        "type": kind, "asgi": VERSION, "http_version": "1.1", "scheme": scheme,
        "path": prefix + unquote_to_bytes(path).decode("utf-8", "replace"), "root_path": prefix,
        "raw_path": prefix.encode("latin-1") + path, "query_string": query,
        "headers": fields_in(exchange), "client": (remote, 0) if remote else None, "server": (host, int(port)),
        "state": state.copy(),
    }


class HttpChannel(Channel):
    """An http scope's receive and send."""

    def __init__(self, server: AsgiServer, exchange: Exchange) -> None:
        super().__init__(server, exchange)
        self._read = False  # all content was received
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._trailers: list[tuple[bytes, bytes]] | None = None  # not None: they will come
        self.started = self.complete = False

    async def receive(self) -> Message:
        """ASGI's."""
        exchange = self.exchange
        if self._read:
            await self.wait(lambda: exchange.closed or self.complete)
            return {"type": "http.disconnect"}
        await self.wait(lambda: bool(exchange.content) or exchange.whole or exchange.closed)
        whole = exchange.whole  # looked at first: then what is taken is all
        if exchange.closed and not whole:
            return {"type": "http.disconnect"}
        body = exchange.take()
        self._read = whole
        return {"type": "http.request", "body": body, "more_body": not whole}

    async def send(self, message: Message) -> None:
        """ASGI's."""
        self.exchange.check()
        kind = message["type"]
        if kind == "http.response.start" and self._head is None:
            self._head = (message["status"], [(bytes(n), bytes(v)) for n, v in message.get("headers", ())])
            self._trailers = [] if message.get("trailers") else None
        elif kind == "http.response.body" and self._head is not None and not self.complete:
            await self._body(bytes(message.get("body", b"")), message.get("more_body", False))
        elif kind == "http.response.trailers" and self._trailers is not None and not self.complete:
            self._trailers += message.get("headers", ())
            if not message.get("more_trailers", False):
                self._end()
        else:
            raise RuntimeError(f"the message {kind!r} is out of order")

    def _is_whole(self, fields: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Can all be sent at once?"""
        length = next((v for n, v in fields if n.lower() == b"content-length"), None)
        return self._trailers is None and self.exchange.method != b"HEAD" and length in (None, b"%d" % len(body))

    async def _body(self, body: bytes, more: bool) -> None:
        assert self._head is not None
        exchange = self.exchange
        if not self.started:
            self.started = True
            status, fields = self._head
            if not more and self._is_whole(fields, body):
                exchange.send(status, fields, body)
                self._finish()
                return
            exchange.start(status, fields)
        exchange.write(body)
        if not more and self._trailers is None:
            self._end()
        elif more:
            await self.room()

    def _end(self) -> None:
        self.exchange.end(self._trailers or ())
        self._finish()

    def _finish(self) -> None:
        self.complete = True
        self.resume()

    def over(self, failed: bool) -> None:
        """The app has returned, or failed."""
        if self.complete or self.exchange.closed:
            return
        if not failed:
            log.error("%r: the app returned without a whole answer", self.exchange.path)
        if self.started:
            self.exchange.abort()
        else:
            self.exchange.send(500, [(b"content-type", b"text/plain")], PROBLEM)


class AsgiServer:
    """Runs an app for each request as a task of `loop`. But for begin and post, all is called there."""

    def __init__(self, app: AsgiApp, loop: asyncio.AbstractEventLoop, message_max: int) -> None:
        self.app, self.loop, self.message_max = app, loop, message_max
        self._state: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lifespan: Lifespan | None = None
        self._calls: deque[Callable[[], object]] = deque()
        self._posted = False

    # ---- From the library's thread ----

    def post(self, call: Callable[[], object]) -> None:
        """Has call() called on the asyncio loop, with one wake-up for all that comes meanwhile."""
        self._calls.append(call)
        if not self._posted:
            self._posted = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self._calls.clear()  # the loop is closed: nobody waits there

    def begin(self, exchange: Exchange) -> None:
        """A task for it."""
        self.post(lambda: self._begin(exchange))

    # ---- On the asyncio loop ----

    def _drain(self) -> None:
        self._posted = False  # first: who posts from now on wakes again
        calls = self._calls
        while calls:
            calls.popleft()()

    def _begin(self, exchange: Exchange) -> None:
        from ._asgi_websocket import WebSocketChannel
        if exchange.closed:
            return
        if exchange.protocol == b"websocket":
            channel: HttpChannel | WebSocketChannel = WebSocketChannel(self, exchange)
            kind = "websocket"
        else:
            channel, kind = HttpChannel(self, exchange), "http"
        scope = scope_of(exchange, kind, self._state)
        if kind == "http":
            scope["method"] = exchange.method.decode("latin-1")
            scope["extensions"] = {"http.response.trailers": {}}
        else:
            offered = exchange.header(b"sec-websocket-protocol") or b""
            scope["subprotocols"] = [word.strip() for word in offered.decode("latin-1").split(",") if word.strip()]
            scope["extensions"] = {"websocket.http.response": {}}
        task = self.loop.create_task(self._run(channel, scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, channel: Any, scope: Scope) -> None:
        failed = True
        try:
            await self.app(scope, channel.receive, channel.send)
            failed = False
        except Disconnected:
            pass
        except Exception as error:
            log_failure(scope["path"], error)
        finally:
            channel.over(failed)

    def stop(self) -> None:
        """From a thread that is not the loop's: the shutdown, some time."""
        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self.shutdown(), self.loop)

    def abandon(self) -> None:
        """The same; takes no lock."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self.shutdown()))

    async def startup(self) -> None:
        """The app's lifespan begins. Raises what it says went wrong."""
        self._lifespan = Lifespan(self.app, self._state)
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """No more requests come: what is left is cancelled, and the lifespan ends."""
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=0.1)
        for task in self._tasks:
            task.cancel()
        if self._lifespan is not None:
            await self._lifespan.shutdown()


class Lifespan:
    """The lifespan scope: an app that does not know it is none the worse."""

    def __init__(self, app: AsgiApp, state: dict[str, Any]) -> None:
        self._app, self._state = app, state
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._known = True

    async def _send(self, message: Message) -> None:
        kind, answer = message["type"], self._answer
        if answer is not None and not answer.done():
            answer.set_result(str(message.get("message") or kind) if kind.endswith(".failed") else "")

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": VERSION, "state": self._state}
        try:
            await self._app(scope, self._incoming.get, self._send)
        except Exception as error:
            if self._known and self._incoming.empty() and self._answer is None:
                log.exception("the app's lifespan failed")
            log.debug("the app's lifespan: %s", error)
        finally:
            self._known = False
            if self._answer is not None and not self._answer.done():
                self._answer.set_result("")

    async def _ask(self, kind: str) -> str:
        self._answer = asyncio.get_running_loop().create_future()
        self._incoming.put_nowait({"type": kind})
        try:
            return await asyncio.wait_for(self._answer, SHUTDOWN_SECONDS if kind.endswith("shutdown") else None)
        except asyncio.TimeoutError:
            return "it takes too long"
        finally:
            self._answer = None

    async def startup(self) -> None:
        """Raises when the app says that it can't."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        failure = await self._ask("lifespan.startup")
        if failure:
            raise errors.StateError(errors.STATE, f"the app did not start: {failure}")

    async def shutdown(self) -> None:
        """Logged when it fails."""
        if self._known:
            failure = await self._ask("lifespan.shutdown")
            if failure:
                log.error("the app did not shut down: %s", failure)
        if self._task is not None and not self._task.done():
            self._task.cancel()


class AsgiThread:
    """An AsgiServer on a loop in a thread of its own."""

    def __init__(self, app: AsgiApp, message_max: int) -> None:
        self._loop = asyncio.new_event_loop()
        self.server = AsgiServer(app, self._loop, message_max)
        self._thread = threading.Thread(target=self._main, name="tunnel2-asgi", daemon=True)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def start(self) -> None:
        """The thread, and the app's startup."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.server.startup(), self._loop).result()
        except BaseException:
            self.abandon()
            raise

    def begin(self, exchange: Exchange) -> None:
        """See AsgiServer."""
        self.server.begin(exchange)

    def stop(self) -> None:
        """The app's shutdown, and the thread's end."""
        if not self._thread.ident or self._loop.is_closed():
            return
        if threading.current_thread() is self._thread:  # it can't wait for itself
            self.abandon()
            return
        try:
            asyncio.run_coroutine_threadsafe(self.server.shutdown(), self._loop).result(SHUTDOWN_SECONDS + 1)
        except Exception:
            log.exception("the app's shutdown failed")
        self.abandon()
        self._thread.join(1)

    def abandon(self) -> None:
        """Ends the thread without waiting; takes no lock."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
