"""Raw TCP for tests: an origin whose connections the test holds in its hands, and sites that publish it."""
import queue
import socket
import threading

import ports
from programs import address

DEADLINE = 30.0
PORTS = 20


class TcpOrigin:
    """Accepts connections: each is given to `handle` on a thread of its own, or waits for accept()."""

    def __init__(self, handle=None, port=0):
        self.sock = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.sock.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self.handle = handle
        self._waiting = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            conn.settimeout(DEADLINE)
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.handle:
                threading.Thread(target=self._handle, args=(conn,), daemon=True).start()
            else:
                self._waiting.put(conn)

    def _handle(self, conn):
        with conn:
            try:
                self.handle(conn)
            except OSError:
                pass

    def accept(self):
        return self._waiting.get(timeout=DEADLINE)

    def close(self):
        if self.sock.fileno() >= 0:
            self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()


def echo(conn):
    """Everything back, and then the end."""
    while data := conn.recv(65536):
        conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)


def exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the end after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)


def rest(sock):
    """All that comes until the end."""
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


def is_cut(sock):
    """True when the connection ends by a reset, False when in order."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def tcp_site(site, count=PORTS, *arguments):
    """tunneld and an entry with so many ports."""
    site.first = ports.free(count)
    site.last = site.first + count - 1
    site.tunneld()
    site.entry = site.proxyentry("--tcp-ports", f"{site.first}-{site.last}", *arguments)
    return site


def publish(site, target, *arguments, session="main", kind="tcp", **options):
    """A tunnelc of that kind, whose `address` is what the entry listens on for it."""
    client = site.tunnelc(target, *arguments, session=session, command=kind, **options)
    if options.get("ready", True):
        url, = client.ready["urls"]
        assert url.startswith(f"{kind}://")
        client.address = address(url.removeprefix(f"{kind}://"))
    return client


def connect(client, timeout=30):
    sock = socket.create_connection(client.address, timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listens(where):
    try:
        socket.create_connection(where, timeout=10).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # taken, and cut at once
    return True
