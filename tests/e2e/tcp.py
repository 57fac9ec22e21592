"""Raw TCP for tests: an origin whose connections the test holds in its hands, and free ports to publish on."""
import queue
import random
import socket
import threading

DEADLINE = 30.0


def free_ports(count):
    """The first of so many ports in a row that nobody listens on, below those that the system gives out."""
    for _ in range(200):
        first = random.randrange(20000, 32000)
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
        return first
    raise AssertionError(f"no {count} free ports in a row")


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
