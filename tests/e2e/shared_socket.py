"""A connection that one thread reads and others write."""
import select
import socket
import ssl
import threading

from h2wire import DEADLINE

NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SharedSocket:
    """An SSL object is one thread's at a time, so none waits inside of it."""

    def __init__(self, sock):
        self.sock = sock
        self.using = threading.Lock()
        self.sending = threading.Lock()
        sock.setblocking(False)

    def recv(self, size):
        """b"" at the end, and when nothing came for long."""
        while True:
            try:
                with self.using:
                    return self.sock.recv(size)
            except NOT_YET:
                if not select.select([self.sock], [], [], DEADLINE)[0]:
                    return b""

    def sendall(self, data):
        data = memoryview(data)
        with self.sending:
            while data:
                try:
                    with self.using:
                        data = data[self.sock.send(data):]
                except NOT_YET:
                    if not select.select([], [self.sock], [], DEADLINE)[1]:
                        raise socket.timeout() from None

    def shutdown(self):
        """Both ways, of the transport: who reads sees the end."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.sock.close()
