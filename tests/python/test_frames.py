"""Frames: what is encoded is decoded, in pieces of any size, and what is none is refused."""
import pytest

from tunnel2 import Error, InvalidError, frames


def test_what_is_encoded_is_decoded():
    data = frames.encode(0x21, [(1, b"bytes"), (2, 42), (3, [(1, b"in a list"), (2, 7)]), (4, b"")])
    frame, = frames.Decoder().feed(data)
    assert frame.type == 0x21
    assert [key for key, _ in frame.fields] == [1, 2, 3, 4]
    assert (frame.get(1), frame.get_number(2), frame.get(4), frame.get(9)) == (b"bytes", 42, b"", None)
    inner = frame.get_list(3)
    assert inner[0] == (1, b"in a list") and inner[1][0] == 2


def test_bytes_may_come_one_by_one():
    decoder = frames.Decoder()
    data = b"".join(frames.encode(i, [(1, b"x" * i)]) for i in range(100))
    found = [frame for i in range(len(data)) for frame in decoder.feed(data[i:i + 1])]
    assert [(f.type, len(f.get(1))) for f in found] == [(i, i) for i in range(100)]
    decoder.finish()


@pytest.mark.parametrize("number", [0, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**62 - 1])
def test_numbers_of_all_sizes(number):
    frame, = frames.Decoder().feed(frames.encode(number, [(number, number)]))
    assert frame.type == number and frame.get_number(number) == number


@pytest.mark.parametrize("type, fields", [(2**62, []), (-1, []), (1, [(2**62, b"")]), (1, [(1, 2**62)]),
                                          (1, [(1, -1)])])
def test_a_number_that_is_too_large_is_invalid(type, fields):
    with pytest.raises(InvalidError):
        frames.encode(type, fields)


def test_lists_are_one_level_deep():
    with pytest.raises(Error) as caught:
        frames.encode(1, [(1, [(2, [(3, b"")])])])
    assert caught.value.name == "STATE"


def test_a_frame_that_is_too_long_loses_the_stream():
    decoder = frames.Decoder(max_size=64)
    assert decoder.feed(frames.encode(1, [(1, b"x" * 30)]))
    for _ in range(2):
        with pytest.raises(Error) as caught:
            decoder.feed(frames.encode(1, [(1, b"x" * 100)]))
        assert caught.value.name == "LIMIT"


def test_a_frame_that_does_not_end_is_said_at_the_end():
    decoder = frames.Decoder()
    decoder.feed(frames.encode(1, [(1, b"abc")])[:-1])
    with pytest.raises(Error) as caught:
        decoder.finish()
    assert caught.value.name == "PROTOCOL"


def test_a_value_that_is_no_list_of_fields_is_a_protocol_error():
    frame = frames.Frame(1, b"\x01\x05ab")
    with pytest.raises(Error) as caught:
        frame.get(1)
    assert caught.value.name == "PROTOCOL"
    with pytest.raises(Error):
        frames.Frame(1, b"\x01\x02\x01\x01").get_number(1)


def test_a_large_frame():
    body = bytes(range(256)) * 4096
    frame, = frames.Decoder(max_size=2 << 20).feed(frames.encode(5, [(1, body)]))
    assert frame.get(1) == body
