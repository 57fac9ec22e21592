"""HTTP/1.1 by hand, for tests that care about bytes: a buffered socket, a message reader, a raw client."""
import socket
import ssl

DEADLINE = 30.0


class Closed(Exception):
    """The peer closed (or reset) before what was expected came."""


class Fields(list):
    """Field lines in order: (name as received, value)."""

    def all(self, name):
        return [value for key, value in self if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))


class Wire:
    """A socket with a read buffer."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError) as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def line(self):
        while (at := self.buffer.find(b"\r\n")) < 0:
            self.more()
        line = bytes(self.buffer[:at])
        del self.buffer[:at + 2]
        return line.decode("latin-1")

    def exactly(self, size):
        while len(self.buffer) < size:
            self.more()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def some(self, most=65536):
        """At least one byte."""
        if not self.buffer:
            self.more()
        data = bytes(self.buffer[:most])
        del self.buffer[:most]
        return data

    def fields(self):
        found = Fields()
        while line := self.line():
            name, value = line.split(":", 1)
            found.append((name, value.strip(" \t")))
        return found

    def chunks(self):
        """The pieces of a chunked body; the trailers are in self.trailers after the last."""
        while True:
            size = int(self.line().split(";")[0], 16)
            if size == 0:
                self.trailers = self.fields()
                return
            left = size
            while left:
                data = self.some(left)
                left -= len(data)
                yield data
            assert self.line() == ""

    def sized(self, size):
        """The pieces of a body of that length."""
        while size:
            data = self.some(size)
            size -= len(data)
            yield data

    def until_close(self):
        while True:
            try:
                yield self.some()
            except Closed:
                return

    def at_end(self):
        """True if the peer closes without another byte."""
        if self.buffer:
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


class Response:
    """One response. whole is False when the connection ended inside the body."""

    def __init__(self, version, status, fields):
        self.version, self.status, self.fields = version, status, fields
        self.body = b""
        self.trailers = Fields()
        self.whole = True
        self.interim = []  # (status, fields) of the 1xx before it

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class Client:
    """A public client over one TCP connection."""

    def __init__(self, address, timeout=DEADLINE, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = Wire(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def request(self, method, target, *lines, body=b"", host="test.example", version="HTTP/1.1"):
        """Sends a request: lines are whole field lines; Content-Length is added for a body."""
        head = [f"{method} {target} {version}"]
        if host is not None:
            head.append(f"Host: {host}")
        head += lines
        if body:
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)

    def head(self):
        """Reads a status line and fields: a Response without its body."""
        version, status, *_ = self.wire.line().split(" ", 2)
        return Response(version, int(status), self.wire.fields())

    def final_head(self):
        interim = []
        while True:
            response = self.head()
            if response.status >= 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append((response.status, response.fields))

    def pieces(self, response, method="GET"):
        """The pieces of the response's body, as its framing says."""
        if method == "HEAD" or response.status in (204, 304):
            return iter(())
        if (response.fields.get("transfer-encoding") or "").lower() == "chunked":
            return self.wire.chunks()
        if "content-length" in response.fields:
            return self.wire.sized(int(response.fields.get("content-length")))
        return self.wire.until_close()

    def response(self, method="GET"):
        """Reads one whole response, or as much as came of it."""
        response = self.final_head()
        body = bytearray()
        self.wire.trailers = Fields()
        try:
            for piece in self.pieces(response, method):
                body += piece
        except (Closed, ValueError):
            response.whole = False
        response.body = bytes(body)
        response.trailers = self.wire.trailers
        return response

    def ask(self, method, target, *lines, **options):
        self.request(method, target, *lines, **options)
        return self.response(method)

    def rest(self):
        """All bytes until the server ends."""
        return b"".join(self.wire.until_close())

    def closed(self):
        """True if the server closes now (waits for it as long as the socket's timeout)."""
        try:
            return self.wire.at_end()
        except socket.timeout:
            return False


def ask(address, method, target, *lines, **options):
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.ask(method, target, *lines, **options)
