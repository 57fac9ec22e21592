"""Floods over HTTP/2 by hand, for tests of what a peer bears: frames are written as they are, and what comes back is read."""
import itertools
import socket
import ssl
import threading

from hpack import Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from h2wire import DEADLINE, PREFACE
from shared_socket import SharedSocket

GONE = (ConnectionError, ssl.SSLError, socket.timeout)


def head(stream, fields, end=False, whole=True):
    flags = (["END_STREAM"] if end else []) + (["END_HEADERS"] if whole else [])
    return HeadersFrame(stream, Encoder().encode(fields), flags=flags)


def once_and(first, frame):
    return itertools.chain([first], itertools.repeat(frame))


def bomb(stream, opening):
    """A field of 3,900 bytes in the table, named by one byte again and again: over 2 MiB in a frame or two."""
    block = Encoder().encode([*opening, ("x-bomb", "b" * 3900)]) + b"\xbe" * 11000
    return iter([HeadersFrame(stream, block, flags=["END_HEADERS"])])


# What the log calls it, and its frames by the stream it is on and the fields that open that.
FLOODS = {
    "settings": ("SETTINGS frames", lambda stream, opening: itertools.repeat(
        SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 16384}))),
    "pings": ("PING frames", lambda stream, opening: itertools.repeat(PingFrame(0, b"ping png"))),
    "pongs": ("frames of no use", lambda stream, opening: itertools.repeat(PingFrame(0, b"pong png", flags=["ACK"]))),
    "priorities": ("frames of no use", lambda stream, opening: itertools.repeat(
        PriorityFrame(stream, depends_on=0, stream_weight=1))),
    "updates": ("WINDOW_UPDATE frames", lambda stream, opening: itertools.repeat(
        WindowUpdateFrame(0, window_increment=1))),
    "empty data": ("empty DATA frames", lambda stream, opening: once_and(head(stream, opening), DataFrame(stream, b""))),
    "padded data": ("empty DATA frames", lambda stream, opening: once_and(
        head(stream, opening), DataFrame(stream, b"", pad_length=1, flags=["PADDED"]))),
    "continuations": ("CONTINUATION frames", lambda stream, opening: itertools.chain(
        [head(stream, opening, whole=False)], [ContinuationFrame(stream, b"")] * 20)),
    "bomb": ("an oversized head", bomb),
    "tiny windows": ("(tiny windows|WINDOW_UPDATE frames)", lambda stream, opening: itertools.repeat(
        WindowUpdateFrame(stream, window_increment=1))),
}

# A field with which a head is malformed (RFC 9113, 8.2), each a way to split an HTTP/1.1 message or to mislead.
BAD_FIELDS = [("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "a\0b"), ("x\r\ny", "a"), ("X-Upper", "a"), ("connection", "x"),
              ("transfer-encoding", "chunked"), ("keep-alive", "5"), ("upgrade", "x"), ("proxy-connection", "x")]


class Peer:
    """An end of a connection: frames out by send, in by a thread of its own, so that neither side ever stands still."""

    def __init__(self, sock, rest=b"", preface=0):
        self.sock, self.buffer, self.preface = SharedSocket(sock), rest, preface
        self.frames = []  # that came
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while True:
                while self.preface <= len(self.buffer) and (frame := self._frame()):
                    with self.changed:
                        self.frames.append(frame)
                        self.changed.notify_all()
                data = self.sock.recv(65536)
                if not data:
                    break
                self.buffer += data
        except (*GONE, OSError):
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _frame(self):
        self.buffer, self.preface = self.buffer[self.preface:], 0
        if len(self.buffer) < 9:
            return None
        frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
        if len(self.buffer) < 9 + length:
            return None
        frame.parse_body(memoryview(self.buffer[9:9 + length]))
        self.buffer = self.buffer[9 + length:]
        return frame

    def send(self, *frames):
        """False when the peer has gone."""
        try:
            self.sock.sendall(b"".join(frame.serialize() for frame in frames))
            return True
        except (*GONE, OSError):
            return False

    def until(self, kind, condition=lambda frame: True):
        """The first frame of the kind for which it holds, among those that came and will; None at the end."""
        def found():
            return next((f for f in self.frames if isinstance(f, kind) and condition(f)), None)
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended or found(), DEADLINE), f"no {kind.__name__}"
            return found()

    def flood(self, frames):
        """Sends frames until the peer is gone, or has said GOAWAY: its code."""
        while not self.ended and not any(isinstance(frame, GoAwayFrame) for frame in self.frames):
            batch = list(itertools.islice(frames, 200))
            if not batch or not self.send(*batch):
                break
        goaway = self.until(GoAwayFrame)
        return goaway.error_code if goaway else None

    def close(self):
        self.sock.shutdown()
        self.thread.join(DEADLINE)
        self.sock.close()


class Server(Peer):
    """The end that is asked: of an origin, or of an uplink's dialling side."""

    def __init__(self, sock, rest=b"", settings=None):
        super().__init__(sock, rest, preface=len(PREFACE))
        self.send(SettingsFrame(0, settings or {}))
        self.send(SettingsFrame(0, flags=["ACK"]))

    def asked(self, number=0):
        """The stream of the request of that number."""
        with self.changed:
            def heads():
                return [f for f in self.frames if isinstance(f, HeadersFrame)]
            assert self.changed.wait_for(lambda: self.ended or len(heads()) > number, DEADLINE), "no request"
            return heads()[number].stream_id


class Caller(Peer):
    """The end that asks: of an uplink's accepting side."""

    def __init__(self, sock, rest=b""):
        sock.sendall(PREFACE)
        super().__init__(sock, rest)
        self.send(SettingsFrame(0, {}))
        self.send(SettingsFrame(0, flags=["ACK"]))


__all__ = ["BAD_FIELDS", "FLOODS", "Caller", "Peer", "RstStreamFrame", "Server", "head"]
