"""Frames: the capsules of RFC 9297 whose value is a list of fields, as tunnel2/frame.h describes them.

    data = encode(0x21, [(1, b"bytes"), (2, 42), (3, [(1, b"in a list")])])
    for frame in Decoder().feed(data):
        print(frame.type, frame.get(1), frame.get_number(2), frame.get_list(3))
"""
from __future__ import annotations

from ctypes import byref, c_size_t, c_uint8, c_uint64, c_void_p, create_string_buffer, string_at
from dataclasses import dataclass
from typing import Iterable, Sequence, Tuple, Union

from . import errors
from ._abi import FrameCallback, FrameDecoder, FrameWriter, quick

Value = Union[bytes, int, Sequence[Tuple[int, Union[bytes, int]]]]
Fields = Iterable[Tuple[int, Value]]

HEADER_MAX = 16  # bytes: two varints
FIELD_MAX = 16
VARINT_MAX = (1 << 62) - 1


def _fields(value: bytes) -> list[tuple[int, bytes]]:
    at, key, n = c_size_t(0), c_uint64(), c_size_t()
    start = c_void_p()
    fields = []
    while errors.check(quick.t2_frame_next_field(value, len(value), byref(at), byref(key), byref(start), byref(n))):
        fields.append((key.value, string_at(start, n.value) if n.value else b""))
    return fields


@dataclass(frozen=True)
class Frame:
    """One frame. Keys may come more than once; the first counts."""

    type: int
    value: bytes

    @property
    def fields(self) -> list[tuple[int, bytes]]:
        """All fields in order. Raises Error (PROTOCOL) where the value is no list of them."""
        return _fields(self.value)

    def get(self, key: int) -> bytes | None:
        """The field's value; None: there is none."""
        return next((value for at, value in self.fields if at == key), None)

    def get_number(self, key: int) -> int | None:
        """The same, read as a varint that fills it."""
        data = self.get(key)
        if data is None:
            return None
        number = c_uint64()
        if quick.t2_varint_decode(data, len(data), byref(number)) != len(data):
            raise errors.error_of(errors.PROTOCOL, f"the field {key} is no number")
        return number.value

    def get_list(self, key: int) -> list[tuple[int, bytes]] | None:
        """The same, read as a list of fields."""
        data = self.get(key)
        return None if data is None else _fields(data)


def _checked(number: int, what: str) -> int:
    if not 0 <= number <= VARINT_MAX:
        raise errors.InvalidError(errors.INVALID, f"the {what} {number} is not from 0 to 2^62 - 1")
    return number


def _room(fields: list[tuple[int, Value]]) -> int:
    room = 0
    for _, value in fields:
        room += FIELD_MAX
        if isinstance(value, (bytes, bytearray, memoryview)):
            room += len(value)
        elif not isinstance(value, int):
            room += _room(list(value))
    return room


def _put(writer: FrameWriter, key: int, value: Value) -> None:
    _checked(key, "key")
    if isinstance(value, int):
        quick.t2_frame_put_u64(byref(writer), key, _checked(value, "value"))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        quick.t2_frame_put_bytes(byref(writer), key, bytes(value), len(value))
    else:
        errors.check(quick.t2_frame_begin_list(byref(writer), key))
        for inner, content in value:
            _put(writer, inner, content)
        quick.t2_frame_end_list(byref(writer))


def encode(type: int, fields: Fields = ()) -> bytes:
    """One frame. Values are bytes, numbers, or lists of fields (one level deep)."""
    listed = list(fields)
    room = HEADER_MAX + _room(listed)
    out = (c_uint8 * room)()
    writer = FrameWriter()
    quick.t2_frame_writer_init(byref(writer), out, room)
    quick.t2_frame_begin(byref(writer), _checked(type, "type"))
    for key, value in listed:
        _put(writer, key, value)
    errors.check(quick.t2_frame_end(byref(writer)))
    return bytes(memoryview(out)[:writer.finished])


class Decoder:
    """Frames in pieces of any size. `max_size` bounds one of them, with its header."""

    def __init__(self, max_size: int = 64 * 1024) -> None:
        if max_size < HEADER_MAX:
            raise errors.InvalidError(errors.INVALID, f"{max_size} bytes are less than a header may have")
        self._buffer = create_string_buffer(max_size)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        # Of what it needs alone, so that there is no cycle.
        frames = self._frames

        def on_frame(type: int, value: int | None, n: int, _user: object) -> int:
            frames.append(Frame(type, string_at(value, n) if value and n else b""))
            return 0

        self._on_frame = FrameCallback(on_frame)
        quick.t2_frame_decoder_init(byref(self._decoder), self._buffer, max_size, self._on_frame, None)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises Error (LIMIT) for one that is too long; then the stream is lost."""
        code = quick.t2_frame_decoder_feed(byref(self._decoder), bytes(data), len(data))
        frames = self._frames[:]
        self._frames.clear()
        errors.check(code)
        return frames

    def finish(self) -> None:
        """At the end of the stream: raises Error (PROTOCOL) when it ended inside a frame."""
        errors.check(quick.t2_frame_decoder_finish(byref(self._decoder)))
