"""A server that errs in the way that a request's path asks for."""
import contextlib
import socket
import struct
import threading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SAID = {
    "ok": OK,
    "missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "broken": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n",
    "nonsense": b"SSH-2.0-OpenSSH_9.2\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
    "twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"2;x=y\r\nok\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "empty": b"HTTP/1.1 204 No Content\r\nServer: " + b"x" * 5000 + b"\r\n\r\n",
    "head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12000,
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
    "rest": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
}
ENDS = ("short", "rest", "old", "end")  # after which the connection is closed


class Faulty:
    """As a context manager: {urls of what it knows}. "reset" resets, "end" closes, "silent" says nothing; what ends in
    "-slowly" comes byte by byte."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def url(self, what):
        return f"http://127.0.0.1:{self.port}/{what}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            while self._one(connection):
                pass
            connection.close()

    def _one(self, connection):
        """Answers a request; False when the connection is to be closed."""
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(4096)
            if not part:
                return False
            head += part
        what, _, slowly = head.split()[1].decode().lstrip("/").partition("-")
        if what == "silent":
            return True
        if what == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        answer = SAID.get(what, b"")
        for part in (answer[i:i + 1] for i in range(len(answer))) if slowly else (answer,):
            connection.sendall(part)
        return what not in ENDS
