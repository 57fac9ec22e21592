"""An HTTP/2 client over TLS on asyncio, as few lines as it takes: small requests side by side on one connection. A
GOAWAY ends no stream that the server has taken (RFC 9113, 6.8), which libraries do not all heed."""
import asyncio

from hpack import Decoder, Encoder
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REFUSED_STREAM = 7


class NotTaken(Exception):
    """The server says that it did nothing with the request (RFC 9113, 6.8 and 8.7): it may be sent again."""


class Lost(OSError):
    """The stream or the connection ended without a whole answer."""


class Answer:
    def __init__(self):
        self.status, self.fields, self.content = 0, {}, bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def end(self, problem=None):
        if self.done.done():
            return
        if problem:
            self.done.set_exception(problem)
        else:
            self.done.set_result(None)


class H2Client:
    def __init__(self):
        self.encoder, self.decoder = Encoder(), Decoder()
        self.answers = {}
        self.next_id = 1
        self.going = False  # a GOAWAY came, or the end: no new requests
        self.ended = False

    async def connect(self, address, tls):
        self.reader, self.writer = await asyncio.open_connection(*address, ssl=tls)
        self.authority = "%s:%d" % address
        self.writer.write(PREFACE)
        self._send(SettingsFrame(0))
        self.task = asyncio.ensure_future(self._read())

    def close(self):
        self.task.cancel()
        self.writer.close()

    def _send(self, *frames):
        self.writer.write(b"".join(frame.serialize() for frame in frames))

    async def ask(self, method, path, body=b""):
        """The Answer, whole. NotTaken or Lost."""
        answer, stream = Answer(), self.next_id
        self.next_id += 2
        self.answers[stream] = answer
        if self.ended:  # since the caller looked
            answer.end(Lost("end of the connection"))
        fields = [(":method", method), (":scheme", "https"), (":authority", self.authority), (":path", path)]
        if body:
            fields.append(("content-length", str(len(body))))
        head = HeadersFrame(stream, self.encoder.encode(fields), flags=["END_HEADERS"])
        if body:
            self._send(head, DataFrame(stream, body, flags=["END_STREAM"]))
        else:
            head.flags.add("END_STREAM")
            self._send(head)
        try:
            await answer.done
            return answer
        except Lost as error:
            error.answer = answer
            raise
        finally:
            self.answers.pop(stream, None)

    async def _read(self):
        problem = "end of the connection"
        try:
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(9)))
                frame.parse_body(memoryview(await self.reader.readexactly(length)))
                self._take(frame, length)
        except asyncio.IncompleteReadError:
            pass
        except (OSError, HyperframeError) as error:
            problem = repr(error)
        self.going = self.ended = True
        for answer in list(self.answers.values()):
            answer.end(Lost(problem))

    def _take(self, frame, length):
        if isinstance(frame, GoAwayFrame):
            self.going = True
            for stream, answer in list(self.answers.items()):
                if stream > frame.last_stream_id:
                    answer.end(NotTaken("beyond GOAWAY"))
        elif isinstance(frame, (SettingsFrame, PingFrame)) and "ACK" not in frame.flags:
            self._send(SettingsFrame(0, flags=["ACK"]) if isinstance(frame, SettingsFrame)
                       else PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, HeadersFrame):  # each, or the table would be another one than the server's
            self._head(frame)
        elif isinstance(frame, DataFrame):
            if length:
                self._send(WindowUpdateFrame(0, window_increment=length))
            if frame.stream_id in self.answers:
                self.answers[frame.stream_id].content += frame.data
        elif isinstance(frame, RstStreamFrame) and frame.stream_id in self.answers:
            refused = frame.error_code == REFUSED_STREAM
            problem = NotTaken("REFUSED_STREAM") if refused else Lost(f"reset, {frame.error_code}")
            self.answers[frame.stream_id].end(problem)
        if "END_STREAM" in frame.flags and frame.stream_id in self.answers:
            self.answers[frame.stream_id].end()

    def _head(self, frame):
        fields = dict(self.decoder.decode(frame.data))
        answer = self.answers.get(frame.stream_id)
        if answer and ":status" in fields:
            answer.fields, answer.status = fields, int(fields[":status"])
