"""A client's end of a session's control channel, by hand: what a client of another make would say."""
import socket
import ssl

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from programs import address

HEARTBEAT, LEASE, TICKET, ENTRIES, DRAIN, REVOKE, KEYS, PARK = range(0x74320001, 0x74320009)
SEQ, LEASE_SECONDS, PARKS, RETURN_SECONDS = 1, 6, 17, 18


def varint(number):
    for size, limit in ((1, 1 << 6), (2, 1 << 14), (4, 1 << 30), (8, 1 << 62)):
        if number < limit:
            return (number | (size.bit_length() - 1) << (size * 8 - 2)).to_bytes(size, "big")
    raise ValueError(number)


def read_varint(data, at):
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + size], "big") & ((1 << (size * 8 - 2)) - 1), at + size


def frame(kind, fields):
    value = b"".join(varint(key) + varint(len(varint(number))) + varint(number) for key, number in fields.items())
    return varint(kind) + varint(len(value)) + value


class Channel:
    """Opened at once; status is the answer's."""

    def __init__(self, site, session, timeout=30):
        context = ssl.create_default_context(cafile=str(site.ca))
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(socket.create_connection(address(site.control), timeout),
                                        server_hostname="127.0.0.1")
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.h2.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", site.control),
                                 (":path", f"/v1/sessions/{session}/channel"),
                                 ("authorization", f"Bearer {site.token}")])
        self.seq, self.status, self.ended, self.buffer = 0, None, None, b""
        self.frames = []  # (kind, {key: bytes}), as they come
        self._send()
        while self.status is None:
            self._read()

    def _send(self):
        self.sock.sendall(self.h2.data_to_send())

    def _read(self):
        data = self.sock.recv(65536)
        if not data:
            self.ended = "connection"
        for event in self.h2.receive_data(data) if data else []:
            if isinstance(event, ResponseReceived):
                self.status = int(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                self.buffer += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (StreamEnded, StreamReset, ConnectionTerminated)):
                self.ended = self.ended or type(event).__name__
        self._take_frames()
        self._send()

    def _take_frames(self):
        while len(self.buffer) > 12:  # headers of ours are written in 12 bytes
            kind, at = read_varint(self.buffer, 0)
            size, at = read_varint(self.buffer, at)
            if len(self.buffer) < at + size:
                return
            value, fields, i = self.buffer[at:at + size], {}, 0
            self.buffer = self.buffer[at + size:]
            while i < len(value):
                key, i = read_varint(value, i)
                length, i = read_varint(value, i)
                fields[key] = value[i:i + length]
                i += length
            self.frames.append((kind, fields))

    def beat(self, parks=0):
        self.seq += 1
        self.h2.send_data(1, frame(HEARTBEAT, {SEQ: self.seq, **({PARKS: parks} if parks else {})}))
        self._send()

    def wait(self, kind):
        """The fields of the next frame of that kind; those before it are passed over."""
        while True:
            while self.frames:
                found, fields = self.frames.pop(0)
                if found == kind:
                    return fields
            assert not self.ended, f"the channel ended ({self.ended}) without a frame {kind:#x}"
            self._read()

    def wait_end(self):
        while not self.ended:
            self._read()
        return self.ended

    def close(self):
        """The connection alone: no leave is taken."""
        self.sock.close()


def number(field):
    return read_varint(field, 0)[0]
