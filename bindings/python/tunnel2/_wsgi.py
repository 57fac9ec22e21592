"""WSGI apps (PEP 3333) on a pool of threads."""
from __future__ import annotations

import io
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable
from urllib.parse import unquote_to_bytes

from ._handler import Disconnected, Exchange, log_failure

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

INPUT_BUFFER = 64 * 1024
PROBLEM = b"Internal Server Error\n"
NAMES_KEPT = 512
STOP_SECONDS = 0.5

_names: dict[bytes, str] = {}  # of fields, as they are called in an environ; "": they are not in it


def _name_in_environ(name: bytes) -> str:
    """"" for what would pass for another field: "x_y" for "x-y"; and for Proxy (CVE-2016-5385)."""
    key = name.decode("latin-1").upper()
    if "_" in key or key == "PROXY":
        key = ""
    elif key not in ("CONTENT-TYPE", "CONTENT-LENGTH"):
        key = "HTTP_" + key.replace("-", "_")
    else:
        key = key.replace("-", "_")
    if len(_names) < NAMES_KEPT:
        _names[name] = key
    return key


def host_and_port(authority: str, scheme: str) -> tuple[str, str]:
    """("[::1]", "80") from "[::1]"."""
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, "443" if scheme == "https" else "80"
    return host, port


def prefix_of(exchange: Exchange) -> str:
    """Below which path the public finds the app: "/session/ID", or ""."""
    value = exchange.header(b"x-forwarded-prefix")
    if value is None:
        return ""
    return "".join(part.strip() for part in value.decode("latin-1").split(",")).rstrip("/")


class Waiter:
    """A thread that waits for an exchange to change."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait(self, exchange: Exchange, condition: Callable[[], bool]) -> None:
        """Until condition() holds. It is looked at after `wake` is set, so that no change is missed."""
        exchange.wake = self._wake
        with self._changed:
            while not condition():
                self._changed.wait()


class Input(io.RawIOBase):
    """The content of a request."""

    def __init__(self, exchange: Exchange, waiter: Waiter) -> None:
        self._exchange, self._waiter = exchange, waiter
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        exchange = self._exchange
        if not self._rest:
            if not exchange.content and not exchange.whole:
                self._waiter.wait(exchange, lambda: bool(exchange.content) or exchange.whole or exchange.closed)
            self._rest = memoryview(exchange.take())
            if not self._rest and not exchange.whole:
                exchange.check()
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def environ_of(exchange: Exchange, waiter: Waiter, threads: int) -> dict[str, Any]:
    """What the app is given."""
    path, _, query = exchange.path.partition(b"?")
    scheme = exchange.scheme.decode("latin-1")
    host, port = host_and_port(exchange.authority.decode("latin-1"), scheme)
    no_content = exchange.whole and not exchange.content
    environ: dict[str, Any] = {
        "REQUEST_METHOD": exchange.method.decode("latin-1"), "SCRIPT_NAME": prefix_of(exchange),
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"), "SERVER_NAME": host, "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "tunnel2", "REMOTE_ADDR": exchange.remote.decode("latin-1"),
        "HTTP_HOST": exchange.authority.decode("latin-1"), "REQUEST_URI": exchange.path.decode("latin-1"),
        "wsgi.version": (1, 0), "wsgi.url_scheme": scheme, "wsgi.errors": sys.stderr, "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO() if no_content else io.BufferedReader(Input(exchange, waiter), INPUT_BUFFER),
        "tunnel2.request_id": exchange.id.decode("latin-1"),
    }
    fields = exchange.fields
    for i in range(0, len(fields), 2):
        name = fields[i]
        key = _names.get(name)
        if key is None:
            key = _name_in_environ(name)
        value = fields[i + 1].decode("latin-1")
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value
        if key:
            environ[key] = value
    if exchange.length > 0:
        environ["CONTENT_LENGTH"] = str(exchange.length)
    return environ


class Answer:
    """One call of the app: start_response, write, and the iterable."""

    def __init__(self, exchange: Exchange, waiter: Waiter) -> None:
        self._exchange, self._waiter = exchange, waiter
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._length = -1  # as Content-Length says
        self.started = False

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None,
                       ) -> Callable[[bytes], object]:
        """PEP 3333's."""
        if exc_info:
            try:
                if self.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called before")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._length = next((int(v) for n, v in fields if n.lower() == b"content-length" and v.isdigit()), -1)
        self._head = (int(status[:3]), fields)
        return self.write

    def _take_head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        if self._head is None:
            raise AssertionError("start_response was not called")
        self.started = True
        return self._head

    def write(self, data: bytes) -> None:
        """Some content; waits until there is room for more."""
        if not data:
            return
        exchange = self._exchange
        exchange.check()
        if not self.started:
            exchange.start(*self._take_head())
        exchange.write(bytes(data))
        if not exchange.has_room():
            exchange.starved = True
            self._waiter.wait(exchange, exchange.has_room)

    def _is_whole(self, body: bytes) -> bool:
        """Can all be sent at once?"""
        return not self.started and self._length in (-1, len(body)) and self._exchange.method != b"HEAD"

    def run(self, result: Iterable[bytes]) -> None:
        """Sends what the app returned."""
        single = isinstance(result, (list, tuple)) and len(result) == 1
        for data in result:
            if data and self._is_whole(data) and (single or self._length >= 0):
                self._exchange.send(*self._take_head(), bytes(data))
                return
            self.write(data)
        if self._is_whole(b""):
            self._exchange.send(*self._take_head(), b"")
            return
        if not self.started:
            self._exchange.start(*self._take_head())
        self._exchange.end()

    def fail(self) -> None:
        """After an exception."""
        if self.started:
            self._exchange.abort()
        else:
            self.started = True
            self._exchange.send(500, [(b"content-type", b"text/plain")], PROBLEM)


class WsgiServer:
    """Runs an app for each request on one of at most `threads` threads."""

    def __init__(self, app: WSGIApplication, threads: int | None = None) -> None:
        self._app = app
        self._most = threads or min(32, (os.cpu_count() or 1) + 4)
        self._jobs: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Threads are started when there is something to do."""

    def begin(self, exchange: Exchange) -> None:
        """A thread for it: one that is there, or one more."""
        self._jobs.put(exchange)
        if len(self._threads) < self._most and self._jobs.qsize() > 0:
            thread = threading.Thread(target=self._work, name=f"tunnel2-wsgi-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    raise
                return  # those that are there will do
            self._threads.append(thread)

    def _work(self) -> None:
        waiter = Waiter()
        while True:
            exchange = self._jobs.get()
            if exchange is None:
                return
            if not exchange.closed:
                self._serve(exchange, waiter)
            del exchange  # or it would live until the next

    def _serve(self, exchange: Exchange, waiter: Waiter) -> None:
        answer = Answer(exchange, waiter)
        result: Any = ()
        try:
            try:
                result = self._app(environ_of(exchange, waiter, self._most), answer.start_response)
                answer.run(result)
            finally:
                if hasattr(result, "close"):
                    result.close()
        except Disconnected:
            exchange.abort()
        except BaseException as error:
            log_failure(f"{exchange.method.decode('latin-1')} {exchange.path.decode('latin-1')}", error)
            answer.fail()

    def stop(self) -> None:
        """No more requests will come. Threads that are still in the app are not waited for."""
        self.abandon()
        end = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def abandon(self) -> None:
        """The same without waiting; takes no lock."""
        for _ in self._threads:
            self._jobs.put(None)
