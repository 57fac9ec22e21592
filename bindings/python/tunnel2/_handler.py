"""Requests answered in this process: t2_request and t2_response (tunnel2/request.h) for apps on other threads.

    the loop's thread                                            the app's thread
    on_request ──▶ Exchange ──────────────Server.begin──────────▶ read, write, ...
    on_data, on_end, on_close ─▶ Exchange.arrived ──wake──▶       (waits there for content, and for room)
    Handler.flush ◀──────────one post for all that is pending──── Exchange.push

Neither side buffers without a bound: content counts as taken when the app reads it (consume_later), and the app waits
while more than BACKLOG_MAX bytes of its answer have not been taken.
"""
from __future__ import annotations

import itertools
import logging
from collections import deque
from ctypes import byref, c_size_t, c_void_p, cast, string_at
from typing import Any, Callable, Iterable, Protocol

from . import errors
from ._abi import CloseCallback, DataCallback, HttpField, RequestCallback, initialised, quick
from ._abi import Handler as HandlerStruct
from ._runtime import Runtime

log = logging.getLogger("tunnel2.serve")

BACKLOG_MAX = 128 * 1024
OVERHEAD = 256  # bytes that a write counts more than its content, so that very many tiny ones are bounded too
CAUSES_MAX = 32  # of an error: how far back is looked
PIECE = 128 * 1024  # of a long write: what is given to the library at once

Pairs = Iterable["tuple[bytes, bytes]"]


class Disconnected(OSError):
    """Who asked is gone, or the answer was given up: nothing more can be sent."""


def log_failure(what: str, error: BaseException) -> None:
    """An app has raised an error. It is the app's, unless it came of a Disconnected.

    Frameworks put errors of their own around that (Starlette: ClientDisconnect). Who leaves a download half-way is
    nobody's failure, and must not fill a log.
    """
    cause: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if cause is None:
            break
        if isinstance(cause, Disconnected):
            log.info("%s: who asked is gone (%s)", what, type(error).__name__, exc_info=error)
            return
        cause = cause.__cause__ or cause.__context__
    log.error("%s: the app failed", what, exc_info=error)


class Server(Protocol):
    """Who answers: _wsgi.py, _asgi.py."""

    def begin(self, exchange: Exchange) -> None:
        """A request has come. On the loop's thread; must not wait."""


def fields_of(pairs: Pairs) -> tuple[Any, int]:
    """Fields as the library takes them."""
    listed: list[Any] = list(pairs)
    for name, value in listed:
        if b"\0" in value or b"\0" in name:
            raise errors.InvalidError(errors.INVALID, f"a NUL character is in the field {name!r}")
    return (HttpField * len(listed))(*listed), len(listed)


class Exchange:
    """One request and its answer. `wake` is called on the loop's thread when something has changed."""

    __slots__ = ("handler", "_request", "method", "path", "scheme", "authority", "protocol", "remote", "id", "fields",
                 "length", "content", "whole", "closed", "close_error", "failed", "pushed", "taken", "starved", "_out",
                 "_at", "_queued", "wake")

    def __init__(self, handler: Handler, request: int, parts: list[bytes], length: int) -> None:
        self.handler = handler
        self._request = request
        (self.method, self.path, self.scheme, self.authority, self.protocol, self.remote, self.id) = parts[:7]
        self.fields = parts[7:-1]  # name, value, name, value, ...
        self.length = length  # of the content; -1: not known
        self.content: deque[bytes] = deque()  # that came, and was not read
        self.whole = False  # no more will come
        self.closed = False
        self.close_error = 0
        self.failed: errors.Error | None = None  # what the library did not take of the answer
        self.pushed = 0  # bytes of content of the answer: written by the app's thread
        self.taken = 0  # those that the library has: written by the loop's thread
        self.starved = False  # somebody waits for less of that
        self._out: deque[tuple[Callable[..., int], tuple[Any, ...], bytes | None]] = deque()
        self._at = 0  # of the first that is pending: how much was taken
        self._queued = False
        self.wake: Callable[[], None] = _nothing

    def header(self, name: bytes) -> bytes | None:
        """The first field of that name, in lower case."""
        fields = self.fields
        for i in range(0, len(fields), 2):
            if fields[i] == name:
                return fields[i + 1]
        return None

    # ---- The app's thread ----

    def take(self) -> bytes:
        """All content that is there; b"" when there is none (now, or with `whole` at all)."""
        content = self.content
        if not content:
            return b""
        chunks = []
        while content:
            chunks.append(content.popleft())
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._push(_consume, (len(data),), None)
        return data

    def start(self, status: int, fields: Pairs, length: int = -1) -> None:
        """The head of the answer."""
        array, count = fields_of(fields)
        self._push(quick.t2_response_start, (status, array, count, length), None)

    def write(self, data: bytes) -> None:
        """Content. Never waits: has_room() says when it is too much."""
        if data:
            self.pushed += len(data) + OVERHEAD
            self._push(_never, (), data)

    def has_room(self) -> bool:
        """False: enough is on the way. Then `starved` may be set, and `wake` comes when there is room."""
        return self.pushed - self.taken <= BACKLOG_MAX or self.closed or self.failed is not None

    def end(self, trailers: Pairs = ()) -> None:
        """The answer is whole."""
        array, count = fields_of(trailers)
        self._push(quick.t2_response_end, (array, count), None)

    def send(self, status: int, fields: Pairs, body: bytes) -> None:
        """All in one."""
        array, count = fields_of(fields)
        self._push(quick.t2_response_send, (status, None, array, count, body, len(body)), None)

    def abort(self, code: int = errors.CANCELLED) -> None:
        """Gives up: a problem is answered, or the answer is cut."""
        self._push(_abort, (code,), None)

    def check(self) -> None:
        """Raises Disconnected when nothing can be sent any more."""
        if self.closed or self.failed:
            raise Disconnected(str(self.failed or errors.error_of(self.close_error or errors.CLOSED)))

    def _push(self, call: Callable[..., int], arguments: tuple[Any, ...], data: bytes | None) -> None:
        self._out.append((call, arguments, data))
        if not self._queued:
            self._queued = True
            self.handler.queue(self)

    # ---- The loop's thread ----

    def flush(self) -> None:
        """Gives the library what is pending, as far as it takes it."""
        self._queued = False  # first: who pushes from now on queues again
        out = self._out
        while out and not self.closed and not self.failed:
            call, arguments, data = out[0]
            if data is None:
                out.popleft()
                result = call(self._request, *arguments)
                if result is not None and result < 0:
                    self._refused(result)
            elif not self._write(data):
                break
        if self.starved and (self.pushed - self.taken <= BACKLOG_MAX // 2 or self.failed):
            self.starved = False
            self.wake()

    def _write(self, data: bytes) -> bool:
        """True: it was taken whole, and is no more the first that is pending."""
        while self._at < len(data):
            piece = data[self._at:self._at + PIECE] if len(data) > PIECE else data[self._at:]
            taken = quick.t2_response_write(self._request, piece, len(piece))
            if taken < 0:
                self._refused(taken)
                return False
            self._at += taken
            self.taken += taken
            if taken < len(piece):
                return False
        self._at = 0
        self._out.popleft()
        self.taken += OVERHEAD
        return True

    def _refused(self, code: int) -> None:
        """CLOSED is no fault of the app: on_close is about to come."""
        if code == errors.CLOSED:
            return
        self.failed = errors.error_of(code)
        log.error("%s %s: the answer is not one: %s", self.method.decode("latin-1"), self.path.decode("latin-1"),
                  self.failed)
        problem = b"Internal Server Error\n"
        if quick.t2_response_send(self._request, 500, b"text/plain", None, 0, problem, len(problem)) < 0:
            quick.t2_response_abort(self._request, errors.CANCELLED)
        self.wake()

    def on_close(self, code: int) -> None:
        """The last that happens: `_request` is nobody's any more."""
        self.closed = True
        self.close_error = code
        self._out.clear()
        self.content.clear()
        self.wake()
        self.wake = _nothing  # it refers to who has this: no cycle is left


def _nothing() -> None:
    pass


def _never(*_arguments: Any) -> int:
    return errors.STATE


def _consume(request: int, n: int) -> int:
    quick.t2_request_consume(request, n)
    return 0


def _abort(request: int, code: int) -> int:
    quick.t2_response_abort(request, code)
    return 0


# ---- What C calls. These live as long as the process. ----

_handlers: dict[int, Handler] = {}
_keys = itertools.count(1)
_size = c_size_t()  # for the loop's thread
_size_c = byref(_size)


def _on_request(request: int, key: int) -> None:
    parts = string_at(quick.t2_request_text(request, _size_c), _size.value).split(b"\0")
    handler = _handlers[key]
    exchange = Exchange(handler, request, parts, quick.t2_request_content_length(request))
    handler.live[request] = exchange
    try:
        handler.server.begin(exchange)
    except Exception:
        log.exception("a request could not be begun")
        exchange.abort()


def _on_data(request: int, data: int, n: int, key: int) -> None:
    exchange = _handlers[key].live[request]
    exchange.content.append(string_at(data, n))
    exchange.wake()


def _on_end(request: int, key: int) -> None:
    exchange = _handlers[key].live[request]
    exchange.whole = True
    exchange.wake()


def _on_writable(request: int, key: int) -> None:
    _handlers[key].live[request].flush()


def _on_close(request: int, code: int, key: int) -> None:
    _handlers[key].live.pop(request).on_close(code)


_on_request_c, _on_end_c, _on_writable_c = (RequestCallback(_on_request), RequestCallback(_on_end),
                                            RequestCallback(_on_writable))
_on_data_c, _on_close_c = DataCallback(_on_data), CloseCallback(_on_close)


class Handler:
    """The handler of one client."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.live: dict[int, Exchange] = {}  # by t2_request *
        self.runtime: Runtime | None = None  # once the client has one
        self.key = next(_keys)
        self._pending: deque[Exchange] = deque()
        self._posted = False
        self.struct = initialised(HandlerStruct, quick.t2_handler_init)
        for name, call in (("on_request", _on_request_c), ("on_data", _on_data_c), ("on_end", _on_end_c),
                           ("on_writable", _on_writable_c), ("on_close", _on_close_c)):
            setattr(self.struct, name, cast(call, c_void_p))
        self.struct.consume_later = True

    def open(self, runtime: Runtime) -> None:
        """Before the client is made. On the loop's thread."""
        self.runtime = runtime
        _handlers[self.key] = self

    def queue(self, exchange: Exchange) -> None:
        """exchange has something for the library. Any thread."""
        self._pending.append(exchange)
        if not self._posted and self.runtime is not None:
            self._posted = True
            if not self.runtime.post(self._flush):
                self._posted = False

    def _flush(self) -> None:
        self._posted = False
        pending = self._pending
        while pending:
            pending.popleft().flush()

    def close(self) -> None:
        """After the client is closed."""
        _handlers.pop(self.key, None)
