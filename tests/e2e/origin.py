"""An origin under the test's control: what it does is said by the path, what it saw is in requests.

    /inspect            JSON of the request as it arrived
    /echo               the content back, with the request's trailers
    /bytes/N            N pattern bytes with Content-Length;  /chunked/N  chunked
    /trailers           chunked with two trailers
    /status/NNN         that status, a word as content where content is allowed
    /upload             takes pattern bytes, answers JSON {"bytes","exact"}; obeys `throttle`
    /early              103 with a Link, then 200;  /processing  102 and 103 twice, then 200
    /gate/NAME          head and a first piece at once; the rest when gate(NAME) is set
    /wait/NAME          nothing at all before gate(NAME) is set
    /never              never answers; notes when the connection ends
    /drip               pieces without end until the connection ends; notes when
    /reject             417 to a request with Expect, before its content
    /hop                a response full of hop-by-hop fields
    /http10             an HTTP/1.0 answer that ends with the connection
    /cut/length /cut/chunked /cut/head   ends the connection in the middle of that
    /close              ends the connection before any answer
    /once               answers, then closes the kept-alive connection without a word when gate("once") is set
    /garbage            bytes that are no HTTP
"""
import json
import socket
import threading
import time

import pattern
from wire import Closed, Fields, Wire, DEADLINE


class Request:
    def __init__(self, connection, method, target, version, fields):
        self.connection, self.method, self.target, self.version = connection, method, target, version
        self.fields = fields
        self.body = b""
        self.trailers = Fields()
        self.aborted_at = None  # when the connection went away under an answer (time.monotonic)
        self.expected = "expect" in fields

    @property
    def path(self):
        return self.target.split("?")[0]


class Origin:
    """Serves until close(). backlog and listening can be played with through `sock`."""

    def __init__(self, port=0):
        self.sock = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.sock.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self.requests = []
        self.connections = 0
        self.open = set()
        self.throttle = None  # callable(bytes received so far), called between reads of /upload
        self.sent = 0         # bytes of the /bytes/N answer under way that the kernel took
        self.received = 0     # bytes of the /upload under way
        self._gates = {}
        self._changed = threading.Condition()
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- for the test ----

    def gate(self, name):
        with self._changed:
            return self._gates.setdefault(name, threading.Event())

    def wait_request(self, path, count=1, timeout=DEADLINE):
        """The count-th request whose path ends so, once its head has arrived."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                found = self.requests_for(path)
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                assert left > 0, f"the origin got no request for {path}; it got {[r.target for r in self.requests]}"
                self._changed.wait(left)

    def requests_for(self, path):
        return [request for request in self.requests if request.path.endswith(path)]

    def wait_aborted(self, request, timeout=DEADLINE):
        """When the connection under the request's answer went away."""
        end = time.monotonic() + timeout
        with self._changed:
            while request.aborted_at is None:
                left = end - time.monotonic()
                assert left > 0, f"the origin's connection for {request.target} was not ended within {timeout:g} s"
                self._changed.wait(left)
            return request.aborted_at

    def close(self):
        self._closing = True
        with self._changed:
            for gate in self._gates.values():
                gate.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.drop()

    def drop(self):
        """Resets all open connections."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # ---- serving ----

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.add(connection)
        wire = Wire(connection)
        try:
            while True:
                method, target, version = wire.line().split(" ")
                request = Request(number, method, target, version, wire.fields())
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                if self._answer(wire, connection, request) == "close":
                    return
        except (Closed, OSError, ValueError):
            pass
        finally:
            self.open.discard(connection)
            connection.close()

    def _content(self, wire, request):
        """The pieces of the request's content, after a 100 if it waits for one."""
        if request.expected:
            wire.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (request.fields.get("transfer-encoding") or "").lower() == "chunked":
            yield from wire.chunks()
            request.trailers = wire.trailers
        else:
            yield from wire.sized(int(request.fields.get("content-length", 0)))

    def _answer(self, wire, sock, request):
        parts = request.path.strip("/").split("/")
        action = getattr(self, "_do_" + parts[0], None)
        if action is None:
            action = Origin._do_status.__get__(self)
            parts = ["status", "404"]
        if parts[0] not in ("upload", "reject"):
            request.body = b"".join(self._content(wire, request))
        return action(wire, sock, request, parts[1] if len(parts) > 1 else None)

    def _send(self, sock, status, content, *lines, head_only=False):
        head = [f"HTTP/1.1 {status} Whatever", *lines]
        if not status < 200 and status not in (204, 304):
            head.append(f"Content-Length: {len(content)}")
        else:
            content = b""
        sock.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (b"" if head_only else content))

    def _chunk(self, sock, data):
        sock.sendall(b"%x\r\n%b\r\n" % (len(data), bytes(data)))

    def _lost(self, request):
        with self._changed:
            request.aborted_at = time.monotonic()
            self._changed.notify_all()
        return "close"

    def _until_gone(self, sock, request):
        try:
            while sock.recv(4096):
                pass
        except OSError:
            pass
        return self._lost(request)

    def _do_inspect(self, wire, sock, request, _):
        seen = {"method": request.method, "target": request.target, "version": request.version,
                "fields": request.fields, "body": request.body.decode("latin-1"), "trailers": request.trailers}
        self._send(sock, 200, json.dumps(seen).encode(), "Content-Type: application/json",
                   head_only=request.method == "HEAD")

    def _do_echo(self, wire, sock, request, _):
        if not request.trailers:
            return self._send(sock, 200, request.body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if request.body:
            self._chunk(sock, request.body)
        trailers = "".join(f"{name}: {value}\r\n" for name, value in request.trailers)
        sock.sendall(b"0\r\n" + trailers.encode("latin-1") + b"\r\n")

    def _do_bytes(self, wire, sock, request, count):
        self.sent = 0
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n".encode())
        if request.method == "HEAD":
            return None
        try:
            for piece in pattern.pieces(int(count)):
                sock.sendall(piece)
                self.sent += len(piece)
        except OSError:
            return self._lost(request)

    def _do_chunked(self, wire, sock, request, count):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pattern.pieces(int(count), most=10007):
            self._chunk(sock, piece)
        sock.sendall(b"0\r\n\r\n")

    def _do_trailers(self, wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Count\r\n\r\n")
        self._chunk(sock, b"content")
        sock.sendall(b"0\r\nX-Sum: 42\r\nX-Count: 7\r\n\r\n")

    def _do_status(self, wire, sock, request, status):
        self._send(sock, int(status), b"word", head_only=request.method == "HEAD")

    def _do_upload(self, wire, sock, request, _):
        checker = pattern.Checker()
        try:
            for piece in self._content(wire, request):
                checker.update(piece)
                self.received = checker.count
                if self.throttle:
                    self.throttle(checker.count)
        except (Closed, OSError):
            return self._lost(request)
        self._send(sock, 200, json.dumps({"bytes": checker.count, "exact": checker.exact}).encode())

    def _do_early(self, wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        self._send(sock, 200, b"after the hints")

    def _do_processing(self, wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                     b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n")
        self._send(sock, 200, b"after all of them")

    def _do_gate(self, wire, sock, request, name):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._chunk(sock, b"before;")
        self.gate(name).wait(DEADLINE * 2)
        try:
            self._chunk(sock, b"after")
            sock.sendall(b"0\r\n\r\n")
        except OSError:
            return self._lost(request)

    def _do_wait(self, wire, sock, request, name):
        self.gate(name).wait(DEADLINE * 2)
        self._send(sock, 200, b"waited")

    def _do_never(self, wire, sock, request, _):
        return self._until_gone(sock, request)

    def _do_drip(self, wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not self._closing:
                self._chunk(sock, b"drip")
                sock.settimeout(0.05)
                try:
                    if not sock.recv(1):
                        break
                except socket.timeout:
                    pass
                sock.settimeout(None)
        except OSError:
            pass
        return self._lost(request)

    def _do_reject(self, wire, sock, request, _):
        self._send(sock, 417, b"no thanks", "Connection: close")
        return "close"

    def _do_hop(self, wire, sock, request, _):
        self._send(sock, 200, b"hop", "Connection: keep-alive, X-Named", "Keep-Alive: timeout=5", "X-Named: secret",
                   "Proxy-Connection: keep-alive", "Proxy-Authenticate: Basic", "X-Kept: yes", "Set-Cookie: a=1",
                   "Set-Cookie: b=2")

    def _do_http10(self, wire, sock, request, _):
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        return "close"

    def _do_cut(self, wire, sock, request, where):
        head = {"length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this",
                "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
                "head": b"HTTP/1.1 200 OK\r\nContent-Le"}
        sock.sendall(head[where])
        return "close"

    def _do_close(self, wire, sock, request, _):
        return "close"

    def _do_once(self, wire, sock, request, _):
        self._send(sock, 200, b"once")
        self.gate("once").wait(DEADLINE * 2)
        return "close"

    def _do_garbage(self, wire, sock, request, _):
        sock.sendall(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
        return "close"
