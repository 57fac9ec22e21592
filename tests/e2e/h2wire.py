"""HTTP/2 by hand, for tests that care about frames: a connection whose frames are written and read one by one."""
import socket
import ssl

from hpack import Decoder, Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              PriorityFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame)

DEADLINE = 30.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, CANCEL, ENHANCE_YOUR_CALM = 1, 3, 5, 8, 11


class Ended(Exception):
    """The peer closed before the frame that was waited for."""


class H2:
    """A client. Frames that are not asked for are answered where they must be (SETTINGS, PING) and kept in `seen`."""

    def __init__(self, address, tls=None, name=None, settings=None, updates=True):
        self.sock = socket.create_connection(address, timeout=DEADLINE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
            assert self.sock.selected_alpn_protocol() == "h2"
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = b""
        self.seen = []
        self.updates = updates
        self.next_id = 1
        self.authority = f"{address[0]}:{address[1]}"
        self.raw(PREFACE)
        self.send(SettingsFrame(0, settings or {}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # ---- sending ----

    def raw(self, data):
        self.sock.sendall(data)

    def send(self, *frames):
        """False when the peer has gone already."""
        try:
            self.raw(b"".join(frame.serialize() for frame in frames))
            return True
        except (ConnectionError, ssl.SSLError):
            return False

    def head(self, path, method="GET", more=(), authority=None):
        return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority or self.authority),
                *more]

    def headers(self, head, stream=None, end=True):
        """A HEADERS frame of these fields, and its stream's id."""
        if stream is None:
            stream, self.next_id = self.next_id, self.next_id + 2
        frame = HeadersFrame(stream, self.encoder.encode(head))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def request(self, path, method="GET", more=(), end=True, authority=None):
        frame = self.headers(self.head(path, method, more, authority), end=end)
        self.send(frame)
        return frame.stream_id

    def data(self, stream, content, end=False):
        frame = DataFrame(stream, content)
        if end:
            frame.flags.add("END_STREAM")
        return self.send(frame)

    # ---- receiving ----

    def frame(self):
        while len(self.buffer) < 9:
            self._more()
        frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
        while len(self.buffer) < 9 + length:
            self._more()
        frame.parse_body(memoryview(self.buffer[9:9 + length]))
        self.buffer = self.buffer[9 + length:]
        if isinstance(frame, HeadersFrame):  # each of them, or the table would be another one than the peer's
            frame.fields = self.decoder.decode(frame.data)
        self.seen.append(frame)
        self._answer(frame, length)
        return frame

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            raise Ended(str(error)) from error
        if not data:
            raise Ended("end of stream")
        self.buffer += data

    def _answer(self, frame, length):
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, DataFrame) and length and self.updates:
            self.send(WindowUpdateFrame(0, window_increment=length),
                      *([] if "END_STREAM" in frame.flags
                        else [WindowUpdateFrame(frame.stream_id, window_increment=length)]))

    def until(self, condition):
        """The first frame, of those still to come, for which it holds."""
        while True:
            frame = self.frame()
            if condition(frame):
                return frame

    def response(self, stream):
        """(heads, content, trailers): a head for each HEADERS before the content, as a list of pairs. AssertionError
        when the stream is reset."""
        heads, content, trailers = [], b"", None
        while True:
            frame = self.until(lambda f: f.stream_id in (0, stream))
            if isinstance(frame, GoAwayFrame) and frame.error_code:
                raise AssertionError(f"GOAWAY {frame.error_code}")
            if frame.stream_id != stream:
                continue
            if isinstance(frame, RstStreamFrame):
                raise AssertionError(f"stream {stream} was reset: {frame.error_code}")
            if isinstance(frame, HeadersFrame):
                if heads and dict(heads[-1])[":status"][0] != "1":
                    trailers = frame.fields
                else:
                    heads.append(frame.fields)
            if isinstance(frame, DataFrame):
                content += frame.data
            if "END_STREAM" in frame.flags:
                return heads, content, trailers

    def ask(self, path, **options):
        """(status, fields, content) of one request."""
        heads, content, _ = self.response(self.request(path, **options))
        return int(dict(heads[-1])[":status"]), dict(heads[-1]), content

    def reset_code(self, stream):
        """The code of the RST_STREAM that comes for it."""
        return self.until(lambda f: isinstance(f, RstStreamFrame) and f.stream_id == stream).error_code

    def goaway_code(self):
        """The code of the GOAWAY that comes, behind which the connection ends."""
        code = self.until(lambda f: isinstance(f, GoAwayFrame)).error_code
        try:
            while True:
                self.frame()
        except Ended:
            return code


def flood(client, frames, bound):
    """Sends frames, a batch at a time, until the peer is gone or `bound` were sent; the code of its GOAWAY."""
    sent = 0
    while sent < bound:
        batch = [next(frames) for _ in range(100)]
        sent += len(batch)
        if not client.send(*batch):
            break
    return client.goaway_code()


__all__ = ["H2", "Ended", "flood", "PREFACE", "PROTOCOL_ERROR", "FLOW_CONTROL_ERROR", "STREAM_CLOSED", "CANCEL",
           "ENHANCE_YOUR_CALM", "ContinuationFrame", "DataFrame", "Frame", "GoAwayFrame", "HeadersFrame", "PingFrame",
           "PriorityFrame", "RstStreamFrame", "SettingsFrame", "WindowUpdateFrame"]
