"""One t2_client: its life, its events, and waiting for them from threads and from coroutines."""
from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections import deque
from ctypes import addressof, byref, c_void_p, cast, create_string_buffer, pointer, sizeof
from dataclasses import dataclass, fields
from typing import Any, Callable, Mapping

from . import _runtime, errors, options
from ._abi import ClientEvent, ClientStats, EventCallback, LogCallback, UserCallback, lib, quick, text
from ._handler import Handler

EVENTS_KEPT = 1024
TYPES = {1: "registered", 2: "connected", 3: "ready", 4: "lost", 5: "retrying", 6: "draining", 7: "ended",
         8: "unhealthy", 9: "healthy"}
LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}


@dataclass(frozen=True)
class Event:
    """Something that happened to a tunnel (t2_client_event of tunnel2/client.h). Times are seconds."""

    type: str  # "registered", "connected", "ready", "lost", "retrying", "draining" or "ended"
    session: str = ""
    urls: tuple[str, ...] = ()
    entry: str = ""  # "": the control plane
    lease_seconds: int = 0
    error: errors.Error | None = None
    reason: str = ""
    delay: float = 0.0


@dataclass(frozen=True)
class Stats:
    """Counters since the start."""

    requests: int
    requests_failed: int
    active: int  # requests or connections under way
    uplinks: int  # up now
    bytes_to_origin: int
    bytes_from_origin: int
    datagrams_dropped: int  # udp
    http2_given_up: int  # HTTP/2 connections that were ended for what the peer did too much of
    unhealthy: int  # 1 while the origin fails and no requests are taken


# ---- What C calls: on the loop's thread. These live as long as the process. ----

_clients: dict[int, Client] = {}
_keys = itertools.count(1)


def _on_event(_client: int, event: Any, key: int) -> None:
    client = _clients.get(key)
    if client is not None:
        client.on_event(event.contents)


def _on_close(key: int) -> None:
    client = _clients.pop(key, None)
    if client is not None:
        client.on_closed()


def _on_log(level: int, component: bytes, message: bytes, pairs: Any, count: int, _user: object) -> None:
    logger = logging.getLogger("tunnel2." + text(component))
    if logger.isEnabledFor(LEVELS.get(level, logging.ERROR)):
        values = {text(pairs[i].key): text(pairs[i].value) for i in range(count)}
        logger.log(LEVELS.get(level, logging.ERROR), "%s", " ".join(
            [text(message), *(f"{name}={value}" for name, value in values.items())]), extra={"tunnel2": values})


on_event_c, on_close_c, on_log_c = EventCallback(_on_event), UserCallback(_on_close), LogCallback(_on_log)


class Client:
    """A client and what is known of it."""

    def __init__(self, given: Mapping[str, Any], handler: Handler | None = None) -> None:
        self._options = options.resolve(given)
        self._handler = handler
        self.drain_timeout = float(self._options.get("drain_timeout", options.OWN["drain_timeout"]))
        self.session = ""
        self.urls: tuple[str, ...] = ()
        self.ready = self.ended = self.closed = False
        self.error: errors.Error | None = None
        self.reason = ""  # the last one given
        self.event_count = 0  # since the start
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)  # the last of them
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._key = next(_keys)
        self._handle: int | None = None
        self._released = threading.Lock()
        self._abandoned = False
        self.runtime: _runtime.Runtime | None = None

    # ---- Opening ----

    def start(self) -> None:
        """Makes the client and starts it. Raises what is wrong with the options."""
        struct = options.build(self._options)
        runtime = self.runtime = _runtime.acquire()
        try:
            runtime.call(lambda: self._open(struct))
        except BaseException:
            runtime.call(self._close_half_open)
            self._release()
            raise

    def _close_half_open(self) -> None:
        if self._handle is None:
            self.ended = self.closed = True
        self.close_on_loop()

    def _open(self, struct: Any) -> None:
        assert self.runtime is not None
        handle, detail = c_void_p(), create_string_buffer(512)
        struct.log = cast(on_log_c, c_void_p)
        struct.on_event = cast(on_event_c, c_void_p)
        struct.user = self._key
        if self._handler is not None:
            struct.handler = pointer(self._handler.struct)
            struct.handler_user = self._handler.key
        errors.check(lib.t2_client_new(byref(handle), self.runtime.loop, addressof(struct), detail, sizeof(detail)),
                     text(detail.value))
        self._handle = handle.value
        if self._handler is not None:
            self._handler.open(self.runtime)
        _clients[self._key] = self
        self.runtime.open.add(self)
        errors.check(lib.t2_client_start(handle))

    # ---- On the loop's thread ----

    def on_event(self, struct: ClientEvent) -> None:
        """An event of the library."""
        error = errors.error_of(struct.error, text(struct.reason)) if struct.error else None
        event = Event(TYPES.get(struct.type, str(struct.type)), text(struct.session),
                      tuple(text(struct.urls[i]) for i in range(struct.url_count)), text(struct.entry),
                      struct.lease_seconds, error, text(struct.reason), struct.delay_ms / 1000)
        self.session = event.session or self.session
        self.urls = tuple(dict.fromkeys(self.urls + event.urls))
        self.reason = event.reason or self.reason
        self.ready = self.ready or event.type == "ready"
        with self._changed:
            self._events.append(event)
            self.event_count += 1
            if event.type == "ended":
                self.ended, self.error = True, event.error
        self._tell()

    def on_closed(self) -> None:
        """The last call of the library."""
        assert self.runtime is not None
        self.runtime.open.discard(self)
        self._handle = None
        if self._handler is not None:
            self._handler.close()
        self.ended = self.closed = True
        self._tell()
        if self._abandoned:
            self._release()

    def _tell(self) -> None:
        with self._changed:
            waiters, self._waiters = self._waiters, []
            self._changed.notify_all()
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:
                pass  # that loop is closed, and nobody waits any more

    def close_on_loop(self) -> None:
        """Closes at once. A second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.t2_client_close(handle, on_close_c, self._key)

    def _drain_on_loop(self, seconds: float) -> None:
        if self._handle is not None:
            lib.t2_client_drain(self._handle, int(seconds * 1000))

    def _stats_on_loop(self) -> Stats:
        struct = ClientStats(size=sizeof(ClientStats))
        if self._handle is not None:
            quick.t2_client_get_stats(self._handle, byref(struct))
        return Stats(**{field.name: getattr(struct, field.name) for field in fields(Stats)})

    # ---- From any thread ----

    def check(self) -> _runtime.Runtime:
        """The runtime; raises in a process that was forked since."""
        if self.runtime is None or self.runtime.forked:
            raise errors.StateError(errors.STATE, self.runtime.gone() if self.runtime else "it has not been opened")
        return self.runtime

    @property
    def forked(self) -> bool:
        """Is this a child of the process that it was opened in?"""
        return self.runtime is not None and self.runtime.forked

    def stats(self) -> Stats:
        """A snapshot."""
        runtime = self.check()
        if self.closed:
            raise errors.StateError(errors.STATE, "it is closed")
        stats = runtime.call(self._stats_on_loop)
        assert isinstance(stats, Stats)
        return stats

    def abandon(self) -> None:
        """Nobody has it any more: it closes by itself. For the garbage collector: takes no lock."""
        self._abandoned = True
        self._close_later()

    def _close_later(self) -> None:
        if self.runtime is not None and not self.runtime.forked:
            self.runtime.post(self.close_on_loop)

    def drain(self, seconds: float) -> None:
        """Begins to drain."""
        self.check().post(lambda: self._drain_on_loop(seconds))

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Waits until condition() holds, or it is closed. False: the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: condition() or self.closed, timeout)

    async def wait_async(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """The same for coroutines."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            with self._changed:
                if condition() or self.closed:
                    return True
                future: asyncio.Future[None] = loop.create_future()
                self._waiters.append((loop, future))
            try:
                await asyncio.wait_for(future, None if end is None else max(0, end - loop.time()))
            except asyncio.TimeoutError:
                return False

    def event(self, number: int) -> tuple[Event | None, int]:
        """The event of that number, or the oldest that is kept, and the number of the next; None: not yet."""
        with self._changed:
            first = self.event_count - len(self._events)
            at = max(number, first)
            return (self._events[at - first], at + 1) if at < self.event_count else (None, at)

    def check_ready(self, came: bool) -> None:
        """Raises why it is not published."""
        if self.ready and not self.ended:
            return
        if self.error is not None:
            raise self.error
        if self.ended or came:
            raise errors.StateError(errors.STATE, self.reason or "it was closed")
        raise errors.Timeout(errors.TIMEOUT, f"not published in time{': ' if self.reason else ''}{self.reason}")

    @property
    def timeout(self) -> float | None:
        """How long may opening take?"""
        value = self._options.get("timeout", options.OWN["timeout"])
        return None if value is None else float(value)

    def settled(self) -> bool:
        """Is it published, or will it never be?"""
        return self.ready or self.ended

    def close(self, drain: float | None = None) -> None:
        """Closes and waits for that: at once, or when what is under way has ended, `drain` seconds at most."""
        if self.runtime is None or self.forked:
            return
        try:
            if drain is not None and not self.ended:
                self.drain(drain)
                self.wait(lambda: self.ended, drain + 5)
        finally:
            self._close_later()
        if not self.runtime.is_current():
            self.wait(lambda: False, 5)
        self._release()

    async def aclose(self, drain: float | None = None) -> None:
        """The same for coroutines."""
        if self.runtime is None or self.forked:
            return
        try:
            if drain is not None and not self.ended:
                self.drain(drain)
                await self.wait_async(lambda: self.ended, drain + 5)
        finally:
            self._close_later()
        await self.wait_async(lambda: False, 5)
        await asyncio.get_running_loop().run_in_executor(None, self._release)

    def _release(self) -> None:
        if self.runtime is not None and self._released.acquire(blocking=False):
            _runtime.release(self.runtime)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


