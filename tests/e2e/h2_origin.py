"""An HTTP/2 origin under the test's control, on the `h2` package: in the clear by prior knowledge, or over TLS with ALPN.

What it does is said by the path:
    /inspect            JSON of the request: fields, content, trailers
    /bytes/N            N pattern bytes
    /upload             takes pattern bytes, answers JSON {"bytes","exact"}
    /trailers           content and two trailers;  /bare-trailers  a response whose head is its end
    /early              103 with a Link, then 200
    /interim            1xx heads without end
    /gate/NAME          head and a first piece at once; the rest when gate(NAME) is set
    /wait/NAME          nothing at all before gate(NAME) is set
    /never              never answers; notes how the stream ends
    /drip               pieces until the stream ends
    /refuse             RST_STREAM(REFUSED_STREAM) to the first so many (`refusals`), then as /inspect
    /goaway             GOAWAY that does not cover the stream, once (`goaways`), then as /inspect
    /vanish             closes the connection without a word to the first so many (`vanishings`), then as /inspect
    /tunnel             an extended CONNECT is granted, and what comes is sent back
    /reset              a head, a piece, then RST_STREAM(INTERNAL_ERROR)
"""
import json
import queue
import select
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import pattern
from wire import DEADLINE


class Ended(Exception):
    """The stream or its connection is over."""


class Stream:
    """One request, as its handler's thread sees it."""

    def __init__(self, connection, number, fields):
        self.connection, self.id = connection, number
        self.lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        self.fields = dict(self.lines)
        self.path = self.fields.get(":path", "")
        self.pieces = queue.Queue()  # bytes; None is the end
        self.trailers = {}
        self.ended_by = None  # the code of a RST_STREAM, or "lost"
        self.ended = threading.Event()

    def content(self):
        while (piece := self.pieces.get()) is not None:
            yield piece
            self.connection.consumed(self, len(piece))
        if self.ended_by is not None:
            raise Ended(self.ended_by)

    def head(self, status, *fields, end=False):
        self.connection.do(self, lambda c: c.send_headers(self.id, [(":status", str(status)), *fields], end_stream=end))

    def data(self, content, end=False):
        self.connection.write(self, content, end)

    def trail(self, *fields):
        self.connection.do(self, lambda c: c.send_headers(self.id, list(fields), end_stream=True))

    def reset(self, code):
        self.connection.do(self, lambda c: c.reset_stream(self.id, code))


class Connection:
    def __init__(self, origin, sock):
        self.origin, self.sock = origin, sock
        self.streams = {}
        self.changed = threading.Condition()
        self.lost = False
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: origin.concurrent_max,
            h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: int(origin.extended_connect),
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})

    def serve(self):
        try:
            if self.origin.settings_delay:
                time.sleep(self.origin.settings_delay)
            with self.changed:
                self.h2.initiate_connection()
                self.flush()
            while data := self.receive():
                with self.changed:
                    for event in self.h2.receive_data(data):
                        self.handle(event)
                    self.flush()
                    self.changed.notify_all()
        except (OSError, ValueError, h2.exceptions.ProtocolError):
            pass
        finally:
            with self.changed:
                self.lost = True
                for stream in self.streams.values():
                    self.end(stream, "lost")
                self.changed.notify_all()
            self.sock.close()

    def handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            self.begin(event)
        elif isinstance(event, h2.events.DataReceived):
            if event.flow_controlled_length:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
            stream.pieces.put(event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            stream.pieces.put(None)
        elif isinstance(event, h2.events.StreamReset):
            if stream:
                self.end(stream, event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.origin.goaways_seen.append(event.error_code)

    def begin(self, event):
        stream = self.streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
        self.origin.note(stream)
        active = sum(1 for other in self.streams.values() if not other.ended.is_set())
        self.origin.active_most = max(self.origin.active_most, active)
        threading.Thread(target=self.origin.answer, args=(stream,), daemon=True).start()

    def end(self, stream, why):
        if stream.ended_by is None and not stream.ended.is_set():
            stream.ended_by = why
        stream.ended.set()
        stream.pieces.put(None)

    def receive(self):
        """What has come. A TLS socket is not to be used by two threads at once: nobody waits within it."""
        while True:
            select.select([self.sock], [], [])
            with self.changed:
                try:
                    return self.sock.recv(65536)
                except (ssl.SSLWantReadError, BlockingIOError):
                    pass

    def flush(self):
        """Called with the lock held."""
        data = memoryview(self.h2.data_to_send())
        while data:
            try:
                data = data[self.sock.send(data):]
            except (ssl.SSLWantWriteError, BlockingIOError):
                select.select([], [self.sock], [], DEADLINE)

    def do(self, stream, call):
        with self.changed:
            if stream.ended_by is not None or self.lost:
                raise Ended(stream.ended_by)
            try:
                call(self.h2)
            except h2.exceptions.ProtocolError as error:
                raise Ended(str(error)) from error
            self.flush()

    def consumed(self, stream, size):
        with self.changed:
            if size and not self.lost and stream.ended_by is None:
                try:
                    self.h2.increment_flow_control_window(size, stream.id)
                    self.flush()
                except (h2.exceptions.ProtocolError, OSError):
                    pass

    def write(self, stream, content, end):
        view = memoryview(content)
        while view or end:
            with self.changed:
                self.changed.wait_for(lambda: stream.ended_by is not None or self.lost or not view
                                      or self.h2.local_flow_control_window(stream.id) > 0)
                if stream.ended_by is not None or self.lost:
                    raise Ended(stream.ended_by)
                room = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size, len(view))
                piece, view = bytes(view[:room]), view[room:]
                last = end and not view
                try:
                    self.h2.send_data(stream.id, piece, end_stream=last)
                    self.flush()
                except (h2.exceptions.ProtocolError, OSError) as error:
                    raise Ended(str(error)) from error
                if last:
                    return

    def close(self):
        """Without a word: TLS' is not said either."""
        with self.changed:
            try:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
            except OSError:
                pass


class H2Origin:
    """certificate: (cert, key) files, for TLS; alpn: what it chooses from then."""

    def __init__(self, certificate=None, alpn=("h2",), concurrent_max=100, settings_delay=0, extended_connect=False):
        self.concurrent_max, self.settings_delay, self.extended_connect = concurrent_max, settings_delay, extended_connect
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            self.context.set_alpn_protocols(list(alpn))
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.sock.getsockname()[1]
        self.target = f"{'https' if certificate else 'h2c'}://127.0.0.1:{self.port}"
        self.streams, self.connections, self.goaways_seen = [], [], []
        self.active_most = 0  # streams open at once on one connection
        self.refusals = self.goaways = self.vanishings = 0
        self._gates = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- for the test ----

    def gate(self, name):
        with self._changed:
            return self._gates.setdefault(name, threading.Event())

    def requests_for(self, path):
        return [stream for stream in self.streams if stream.path.endswith(path)]

    def wait_request(self, path, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests_for(path)) >= count, DEADLINE), self.streams
            return self.requests_for(path)[count - 1]

    def close(self):
        with self._changed:
            for gate in self._gates.values():
                gate.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for connection in self.connections:
            connection.close()

    # ---- serving ----

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            try:
                sock = self.context.wrap_socket(sock, server_side=True)
            except (OSError, ssl.SSLError):
                return
        sock.setblocking(False)
        connection = Connection(self, sock)
        self.connections.append(connection)
        connection.serve()

    def note(self, stream):
        with self._changed:
            self.streams.append(stream)
            self._changed.notify_all()

    def take(self, counter):
        """True as long as the counter is not used up."""
        with self._changed:
            left = getattr(self, counter)
            setattr(self, counter, max(left - 1, 0))
            return left > 0

    def answer(self, stream):
        parts = stream.path.split("?")[0].strip("/").split("/")
        try:
            getattr(self, "_do_" + parts[0].replace("-", "_"), self._do_inspect)(stream, *parts[1:])
        except (Ended, OSError):
            pass
        stream.ended.set()

    def _do_inspect(self, stream, *_):
        content = b"".join(stream.content())
        answer = json.dumps({"lines": stream.lines, "content": content.decode("latin-1"), "trailers": stream.trailers,
                             "connection": len(self.connections)}).encode()
        stream.head(200, ("content-type", "application/json"), ("content-length", str(len(answer))))
        stream.data(b"" if stream.fields[":method"] == "HEAD" else answer, end=True)

    def _do_bytes(self, stream, size):
        size = int(size)
        stream.head(200, ("content-length", str(size)))
        for at in range(0, size, 65536):
            stream.data(pattern.piece(at, min(65536, size - at)))
        stream.data(b"", end=True)

    def _do_upload(self, stream, *_):
        size, exact = 0, True
        for piece in stream.content():
            exact = exact and piece == pattern.piece(size, len(piece))
            size += len(piece)
        stream.head(200)
        stream.data(json.dumps({"bytes": size, "exact": exact}).encode(), end=True)

    def _do_trailers(self, stream):
        stream.head(200, ("trailer", "x-one"))
        stream.data(b"content")
        stream.trail(("x-one", "1"), ("x-two", "2"))

    def _do_bare_trailers(self, stream):
        stream.head(200, ("grpc-status", "5"), end=True)

    def _do_early(self, stream):
        stream.head(103, ("link", "</style.css>; rel=preload"))
        stream.head(200)
        stream.data(b"early", end=True)

    def _do_interim(self, stream):
        while True:
            stream.head(102)

    def _do_gate(self, stream, name):
        stream.head(200)
        stream.data(b"first,")
        self.gate(name).wait(DEADLINE)
        stream.data(b"second", end=True)

    def _do_wait(self, stream, name):
        self.gate(name).wait(DEADLINE)
        stream.head(200)
        stream.data(b"waited", end=True)

    def _do_never(self, stream, *_):
        list(stream.content())
        stream.connection.changed.acquire()
        stream.connection.changed.wait_for(lambda: stream.ended_by is not None, DEADLINE)
        stream.connection.changed.release()

    def _do_drip(self, stream, *_):
        stream.head(200)
        while True:
            stream.data(b"drop")
            time.sleep(0.02)

    def _do_refuse(self, stream, *_):
        if not self.take("refusals"):
            self._do_inspect(stream)
        else:
            stream.reset(h2.errors.ErrorCodes.REFUSED_STREAM)

    def _do_goaway(self, stream, *_):
        if not self.take("goaways"):
            self._do_inspect(stream)
        else:
            stream.connection.do(stream, lambda c: c.close_connection(last_stream_id=stream.id - 2))

    def _do_vanish(self, stream, *_):
        if not self.take("vanishings"):
            self._do_inspect(stream)
        else:
            stream.connection.close()

    def _do_tunnel(self, stream):
        if ":protocol" not in stream.fields:
            return self._do_inspect(stream)
        stream.head(200)
        for piece in stream.content():
            stream.data(piece)
        stream.data(b"", end=True)

    def _do_reset(self, stream, *_):
        stream.head(200)
        stream.data(b"begun")
        stream.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)
