"""The frames of RFC 6455 as a server sees them: bytes in, messages out. No I/O.

Extensions are not offered (no permessage-deflate).
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_CODE, ABNORMAL, BAD_DATA, TOO_BIG = 1000, 1001, 1002, 1005, 1006, 1007, 1009
CONTROL_MAX = 125  # bytes of a control frame (5.5)


class ProtocolError(Exception):
    """The peer broke the protocol: the connection is to be closed with that code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Message:
    """A whole message, or a control frame."""

    opcode: int
    data: bytes
    text: str = ""  # of TEXT, and the reason of CLOSE
    code: int = 0  # of CLOSE


def encode(opcode: int, data: bytes) -> bytes:
    """One unmasked frame, as servers send them."""
    n = len(data)
    if n < 126:
        return struct.pack("!BB", 0x80 | opcode, n) + data
    if n < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, n) + data
    return struct.pack("!BBQ", 0x80 | opcode, 127, n) + data


def encode_close(code: int, reason: str = "") -> bytes:
    """A Close frame. A reason that is too long is cut."""
    if code == NO_CODE:
        return encode(CLOSE, b"")
    text = reason.encode()[:CONTROL_MAX - 2].decode("utf-8", "ignore").encode()
    return encode(CLOSE, struct.pack("!H", code) + text)


def _unmask(data: bytes, key: bytes) -> bytes:
    n = len(data)
    mask = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")).to_bytes(n, "little")


def _is_code(code: int) -> bool:
    """May it stand in a Close frame (7.4)?"""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, NO_CODE, ABNORMAL))


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(BAD_DATA, "the text is not UTF-8") from error


class Decoder:
    """Frames from a client, in pieces of any size."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size  # of a message
        self._buffer = bytearray()
        self._opcode = CONTINUATION  # of the message that is under way; CONTINUATION: none is
        self._message = bytearray()  # what there is of it

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises ProtocolError, after which nothing more is to be fed."""
        self._buffer += data
        messages: list[Message] = []
        while True:
            frame = self._next_frame()
            if frame is None:
                return messages
            message = self._on_frame(*frame)
            if message is not None:
                messages.append(message)

    def _header(self) -> tuple[int, int, int] | None:
        """First byte, bytes of payload, and where the masking key is; None: not all there."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise ProtocolError(PROTOCOL_ERROR, "reserved bits are set")
        if not second & 0x80:
            raise ProtocolError(PROTOCOL_ERROR, "a client's frame is not masked")
        n, size = second & 0x7F, 2
        if n >= 126:
            size = 4 if n == 126 else 10
            if len(buffer) < size:
                return None
            least = 126 if n == 126 else 1 << 16
            n = int.from_bytes(buffer[2:size], "big")
            if n < least or n >= 1 << 63:
                raise ProtocolError(PROTOCOL_ERROR, "a length is not in its shortest form")
        self._check(first, n)
        return first, n, size

    def _check(self, first: int, n: int) -> None:
        opcode, final = first & 0x0F, first & 0x80
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError(PROTOCOL_ERROR, f"there is no opcode {opcode}")
        if opcode >= CLOSE:
            if n > CONTROL_MAX or not final:
                raise ProtocolError(PROTOCOL_ERROR, "a control frame is too long or in pieces")
        elif (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise ProtocolError(PROTOCOL_ERROR, "a frame is out of order")
        elif n > self._max_size - len(self._message):
            raise ProtocolError(TOO_BIG, f"a message has more than {self._max_size} bytes")

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        header = self._header()
        if header is None:
            return None
        first, n, at = header
        if len(self._buffer) < at + 4 + n:
            return None
        key, data = bytes(self._buffer[at:at + 4]), bytes(self._buffer[at + 4:at + 4 + n])
        del self._buffer[:at + 4 + n]
        return first & 0x0F, bool(first & 0x80), _unmask(data, key)

    def _on_frame(self, opcode: int, final: bool, data: bytes) -> Message | None:
        if opcode == CLOSE:
            return self._on_close(data)
        if opcode in (PING, PONG):
            return Message(opcode, data)
        if opcode != CONTINUATION:
            self._opcode = opcode
        if final and not self._message:
            whole = data
        else:
            self._message += data
            if not final:
                return None
            whole = bytes(self._message)
        opcode, self._opcode, self._message = self._opcode, CONTINUATION, bytearray()
        return Message(opcode, whole, _utf8(whole) if opcode == TEXT else "")

    @staticmethod
    def _on_close(data: bytes) -> Message:
        if not data:
            return Message(CLOSE, data, code=NO_CODE)
        code = int.from_bytes(data[:2], "big")
        if len(data) == 1 or not _is_code(code):
            raise ProtocolError(PROTOCOL_ERROR, "a Close frame without a proper code")
        return Message(CLOSE, data, _utf8(data[2:]), code)
