"""The frames of RFC 6455, without a connection."""
import os
import struct

import pytest

from tunnel2 import _websocket as ws


def client_frame(first, data, length=None, key=b"\x01\x02\x03\x04"):
    """As a client sends it; length: the bytes of the length field, whatever they say."""
    n = len(data)
    if length is None:
        wide = b"\x7e" + struct.pack("!H", n) if n < 65536 else b"\x7f" + struct.pack("!Q", n)
        length = bytes([n]) if n < 126 else wide
    masked = bytes(b ^ key[i % 4] for i, b in enumerate(data))
    return bytes([first, 0x80 | length[0]]) + length[1:] + key + masked


def decode(*pieces, max_size=1 << 20):
    decoder = ws.Decoder(max_size)
    return [message for piece in pieces for message in decoder.feed(piece)]


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 65535, 65536, 100000])
def test_messages_of_all_lengths(n):
    data = os.urandom(n)
    message, = decode(client_frame(0x82, data))
    assert (message.opcode, message.data) == (ws.BINARY, data)
    head = ws.encode(ws.BINARY, data)
    assert head.endswith(data) and head[0] == 0x82 and not head[1] & 0x80
    assert len(head) - n == (2 if n < 126 else 4 if n < 65536 else 10)


def test_bytes_may_come_one_by_one_and_control_frames_in_between():
    data = (client_frame(0x01, "ä".encode()[:1]) + client_frame(0x89, b"ping") + client_frame(0x00, "ä".encode()[1:])
            + client_frame(0x80, b"!") + client_frame(0x88, b""))
    messages = decode(*(data[i:i + 1] for i in range(len(data))))
    assert [(m.opcode, m.text, m.code) for m in messages] == [(ws.PING, "", 0), (ws.TEXT, "ä!", 0),
                                                              (ws.CLOSE, "", ws.NO_CODE)]


@pytest.mark.parametrize("code, data", [
    (ws.PROTOCOL_ERROR, client_frame(0xC1, b"")),           # a reserved bit
    (ws.PROTOCOL_ERROR, client_frame(0x83, b"")),           # no such opcode
    (ws.PROTOCOL_ERROR, b"\x81\x01a"),                      # not masked
    (ws.PROTOCOL_ERROR, client_frame(0x80, b"a")),          # goes on with nothing
    (ws.PROTOCOL_ERROR, client_frame(0x01, b"") * 2),       # begins in another
    (ws.PROTOCOL_ERROR, client_frame(0x09, b"")),           # a Ping in pieces
    (ws.PROTOCOL_ERROR, client_frame(0x89, b"x" * 126)),    # a Ping that is too long
    (ws.PROTOCOL_ERROR, client_frame(0x81, b"x", b"\x7e\x00\x01")),
    (ws.PROTOCOL_ERROR, client_frame(0x81, b"x", b"\x7f" + bytes(7) + b"\x01")),
    (ws.PROTOCOL_ERROR, client_frame(0x81, b"", b"\x7f\x80" + bytes(7))),
    (ws.PROTOCOL_ERROR, client_frame(0x88, b"\x03")),
    (ws.PROTOCOL_ERROR, client_frame(0x88, struct.pack("!H", 1005))),
    (ws.PROTOCOL_ERROR, client_frame(0x88, struct.pack("!H", 999))),
    (ws.PROTOCOL_ERROR, client_frame(0x88, struct.pack("!H", 5000))),
    (ws.BAD_DATA, client_frame(0x81, b"\xff")),
    (ws.BAD_DATA, client_frame(0x88, struct.pack("!H", 1000) + b"\xff")),
])
def test_what_breaks_the_protocol_has_its_code(code, data):
    with pytest.raises(ws.ProtocolError) as caught:
        decode(data)
    assert caught.value.code == code


def test_a_message_has_its_bound_however_it_comes():
    message, = decode(client_frame(0x82, b"x" * 100), max_size=100)
    assert len(message.data) == 100
    for data in (client_frame(0x82, b"x" * 101),
                 client_frame(0x02, b"x" * 60) + client_frame(0x00, b"x" * 41),
                 client_frame(0x82, b"", b"\x7f\x7f" + b"\xff" * 7)):
        with pytest.raises(ws.ProtocolError) as caught:
            decode(data, max_size=100)
        assert caught.value.code == ws.TOO_BIG


def test_very_many_small_pieces_are_joined():
    pieces = client_frame(0x02, b"") + client_frame(0x00, b"x") * 50000 + client_frame(0x80, b"")
    message, = decode(pieces)
    assert message.data == b"x" * 50000


def test_a_reason_is_cut_at_a_character():
    frame = ws.encode_close(1000, "ä" * 100)
    assert len(frame) <= 127 and frame[4:].decode() == "ä" * 61
    assert ws.encode_close(ws.NO_CODE) == b"\x88\x00"
