"""Tunnels: what forward and serve return."""
from __future__ import annotations

import asyncio
import functools
import inspect
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Generator, Iterator

from . import errors
from ._asgi import AsgiServer, AsgiThread
from ._client import Client, Event, Stats
from ._handler import Handler
from ._wsgi import WsgiServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Literal, Self, Unpack

    from ._asgi import AsgiApp
    from .options import Options

    Interface = Literal["auto", "wsgi", "asgi"]

MESSAGE_MAX = 16 * 1024 * 1024


class EventStream:
    """The events of a tunnel from its beginning (the last 1,024) to its end: for `for`, and `async for`."""

    def __init__(self, client: Client) -> None:
        self._client, self._next = client, 0

    def _take(self) -> Event | None:
        event, self._next = self._client.event(self._next)
        return event

    def _is_settled(self) -> bool:
        """There is one, or there will be none."""
        return self._next < self._client.event_count or self._client.ended

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        self._client.check()
        self._client.wait(self._is_settled, None)
        event = self._take()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        self._client.check()
        await self._client.wait_async(self._is_settled, None)
        event = self._take()
        if event is None:
            raise StopAsyncIteration
        return event


class Tunnel:
    """Something that is published. Closed by close(), by the end of its `with`, or when nobody has it any more.

    All methods may be called from any thread; those that are coroutines, on any asyncio loop.
    """

    def __init__(self, client: Client, serving: _Serving | None = None) -> None:
        self._client, self._serving = client, serving
        self._finalizer = weakref.finalize(self, _abandon, client, serving)
        # At exit the runtime closes what is open. (Some versions of typeshed think it has slots.)
        self._finalizer.atexit = False  # type: ignore[misc, unused-ignore]

    def start(self) -> None:
        """Begins, and does not wait. (forward and serve have done so.)"""
        try:
            if self._serving is not None:
                self._serving.server.start()
            self._client.start()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Tunnel:
        self.start()
        client = self._client
        try:
            client.check_ready(client.wait(client.settled, client.timeout))
        except BaseException:
            self.close()
            raise
        return self

    async def _open_async(self) -> Tunnel:
        client, serving = self._client, self._serving
        try:
            if serving is not None:
                await serving.start_async()
            await asyncio.get_running_loop().run_in_executor(None, client.start)
            client.check_ready(await client.wait_async(client.settled, client.timeout))
        except BaseException:
            await self.aclose()
            raise
        return self

    @property
    def url(self) -> str:
        """The first of its public addresses."""
        return next(iter(self._client.urls), "")

    @property
    def urls(self) -> tuple[str, ...]:
        """All that were given so far."""
        return self._client.urls

    @property
    def session(self) -> str:
        """The session's id or name."""
        return self._client.session

    @property
    def closed(self) -> bool:
        """Has it ended, for whatever reason?"""
        return self._client.ended

    @property
    def error(self) -> errors.Error | None:
        """Why it has ended, where that was nobody's wish."""
        return self._client.error

    def stats(self) -> Stats:
        """Counters, now."""
        return self._client.stats()

    def events(self) -> EventStream:
        """What has happened and will."""
        return EventStream(self._client)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for its end. False: the time is over. Raises what ended it."""
        self._client.check()
        over = self._client.wait(lambda: self._client.ended, timeout)
        if self._client.error is not None:
            raise self._client.error
        return over

    async def wait_async(self, timeout: float | None = None) -> bool:
        """The same for coroutines."""
        self._client.check()
        over = await self._client.wait_async(lambda: self._client.ended, timeout)
        if self._client.error is not None:
            raise self._client.error
        return over

    def close(self, drain: float | None = None) -> None:
        """Closes it: at once, or (drain) when what is under way has ended, after that many seconds at most."""
        if not self._client.forked:
            self._client.close(drain)
            if self._serving is not None:
                self._serving.stop()
        self._finalizer.detach()

    async def aclose(self, drain: float | None = None) -> None:
        """The same for coroutines."""
        if not self._client.forked:
            await self._client.aclose(drain)
            if self._serving is not None:
                await self._serving.stop_async()
        self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close(self._client.drain_timeout if kind is None else None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.aclose(self._client.drain_timeout if kind is None else None)

    def __repr__(self) -> str:
        state = "closed" if self.closed else self.url
        return f"<tunnel2.Tunnel {self.session} {state}>"


def _abandon(client: Client, serving: _Serving | None) -> None:
    """Nobody has the tunnel any more. From the garbage collector, on any thread: no lock, no wait."""
    client.abandon()
    if serving is not None:
        serving.abandon()


class Opening:
    """A tunnel that is being opened: `await` it, or `async with` it."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def __await__(self) -> Generator[Any, None, Tunnel]:
        return self._tunnel._open_async().__await__()

    async def __aenter__(self) -> Tunnel:
        return await self._tunnel._open_async()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._tunnel.__aexit__(kind, error, trace)


# ---- An origin elsewhere ----

def new_forward(target: str | int | None, options: dict[str, Any]) -> Tunnel:
    """A tunnel that is not open yet."""
    if target is not None:
        options["origin"] = str(target)
    return Tunnel(Client(options))


def forward(target: str | int | None, **options: Unpack[Options]) -> Tunnel:
    """Publishes what answers at `target`, and returns when it is.

    `target` is a port, "host:port", "http://…", "https://…", "h2c://…", "unix:/path" or "files:DIR"; with kind="tcp" or
    "tls" a port, "host:port" or "unix:/path", with "udp" a port or "host:port". None: there are only `routes`.
    """
    return new_forward(target, dict(options))._open()


def forward_async(target: str | int | None, **options: Unpack[Options]) -> Opening:
    """The same for coroutines: `t = await forward_async(…)` or `async with forward_async(…) as t`."""
    return Opening(new_forward(target, dict(options)))


# ---- An app in this process ----

class _Serving:
    """What answers in this process, and the handler that gives it requests."""

    def __init__(self, server: WsgiServer | AsgiThread | AsgiServer) -> None:
        self.server: Any = server
        self.handler = Handler(server)

    async def start_async(self) -> None:
        """Before the client."""
        if isinstance(self.server, AsgiServer):
            await self.server.startup()
        else:
            self.server.start()

    def abandon(self) -> None:
        """Ends threads, without waiting."""
        self.server.abandon()

    def stop(self) -> None:
        """After the client is closed."""
        self.server.stop()

    async def stop_async(self) -> None:
        """The same for coroutines."""
        if isinstance(self.server, AsgiServer) and self.server.loop is asyncio.get_running_loop():
            await self.server.shutdown()
        else:
            await asyncio.get_running_loop().run_in_executor(None, self.server.stop)


def is_asgi(app: Any) -> bool:
    """By the signature: ASGI apps are coroutine functions, or take three arguments."""
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.iscoroutinefunction(app):
        return True
    if not inspect.isroutine(app) and inspect.iscoroutinefunction(type(app).__call__):
        return True
    try:
        needed = [p for p in inspect.signature(app).parameters.values()
                  if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        return False
    return len(needed) == 3


def _is_asgi(app: Any, interface: str) -> bool:
    if not callable(app):
        raise TypeError(f"{app!r} is no app: it can't be called")
    if interface not in ("auto", "wsgi", "asgi"):
        raise ValueError(f"interface {interface!r}: \"auto\", \"wsgi\" or \"asgi\" is taken")
    return interface == "asgi" or (interface == "auto" and is_asgi(app))


def new_serve(app: Any, interface: str, server: Callable[[bool], Any], options: dict[str, Any]) -> Tunnel:
    """A tunnel that is not open yet; server(is it ASGI?) makes what runs the app."""
    if options.get("kind", "http") != "http":
        raise errors.InvalidError(errors.INVALID, "apps answer HTTP: kind has to be \"http\"")
    serving = _Serving(server(_is_asgi(app, interface)))
    return Tunnel(Client(options, serving.handler), serving)


def new_serve_threads(app: Any, interface: str, threads: int | None, options: dict[str, Any],
                      message_max: int = MESSAGE_MAX) -> Tunnel:
    """The same, with threads of its own."""
    def server(asgi: bool) -> Any:
        return AsgiThread(app, message_max) if asgi else WsgiServer(app, threads)
    return new_serve(app, interface, server, options)


def serve(app: WSGIApplication | AsgiApp, *, interface: Interface = "auto", threads: int | None = None,
          message_max: int = MESSAGE_MAX, **options: Unpack[Options]) -> Tunnel:
    """Publishes a WSGI or ASGI app, which answers in this process: no port is opened.

    A WSGI app runs on at most `threads` threads (CPUs + 4, at most 32), an ASGI app on an asyncio loop in a thread of
    its own; `message_max` bounds the messages of WebSockets, in bytes.
    """
    return new_serve_threads(app, interface, threads, dict(options), message_max)._open()


def serve_async(app: WSGIApplication | AsgiApp, *, interface: Interface = "auto", threads: int | None = None,
                message_max: int = MESSAGE_MAX, **options: Unpack[Options]) -> Opening:
    """The same for coroutines, called from one. An ASGI app runs on the loop that it is called on."""
    def server(asgi: bool) -> Any:
        given: Any = app
        return AsgiServer(given, asyncio.get_running_loop(), message_max) if asgi else WsgiServer(given, threads)
    return Opening(new_serve(app, interface, server, dict(options)))
