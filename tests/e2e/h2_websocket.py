"""WebSockets over HTTP/2 (RFC 8441), as a browser opens them: the `h2` package below, `wsproto` on top."""
import socket

import h2.config
import h2.connection
import h2.events
import h2.settings
import wsproto.connection
import wsproto.events
from wsproto.extensions import PerMessageDeflate

from wire import DEADLINE


class Refused(Exception):
    """The handshake got another answer than 2xx."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


class Ended(Exception):
    """The stream is over."""


class H2Client:
    """One connection, for as many WebSockets as its peer allows. One thread: whoever waits reads for all."""

    def __init__(self, address, tls=None, name=None):
        self.sock = socket.create_connection(address, timeout=DEADLINE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.scheme, self.authority = ("https" if tls else "http"), f"{name or address[0]}:{address[1]}"
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self.h2.initiate_connection()
        self.sockets = {}
        self.offered = False
        self.flush()
        while not self.offered:
            self.pump()

    def flush(self):
        if data := self.h2.data_to_send():
            self.sock.sendall(data)

    def pump(self):
        """Takes what comes next."""
        data = self.sock.recv(65536)
        if not data:
            raise Ended("connection")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.offered = self.h2.remote_settings.enable_connect_protocol == 1
            elif ws := self.sockets.get(getattr(event, "stream_id", None)):
                ws.take(event)
        self.flush()

    def websocket(self, path, subprotocol=None, deflate=False):
        """One whose handshake is on its way; see opened()."""
        return H2WebSocket(self, path, subprotocol, deflate)

    def connect(self, path, **options):
        return self.websocket(path, **options).opened()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class H2WebSocket:
    def __init__(self, client, path, subprotocol, deflate):
        self.client, self.id = client, client.h2.get_next_available_stream_id()
        self.fields, self.ended = None, False
        self.messages, self.pieces, self.pongs = [], [], []
        self.close_code = self.close_reason = None
        self.deflate = PerMessageDeflate() if deflate else None
        self.frames = None
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", client.scheme), (":path", path),
                (":authority", client.authority), ("sec-websocket-version", "13"), ("origin", "http://page.example")]
        if subprotocol:
            head.append(("sec-websocket-protocol", subprotocol))
        if deflate:
            head.append(("sec-websocket-extensions", f"permessage-deflate; {self.deflate.offer()}"))
        client.sockets[self.id] = self
        client.h2.send_headers(self.id, head)
        client.flush()

    # ---- what comes ----

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.fields = dict(event.headers)
            agreed = self.fields.get("sec-websocket-extensions", "")
            if agreed:
                self.deflate.finalize(agreed)
            self.frames = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT,
                                                        [self.deflate] if agreed else [])
        elif isinstance(event, h2.events.DataReceived):
            self.client.h2.acknowledge_received_data(event.flow_controlled_length, self.id)
            if self.fields[":status"] == "200" and event.data:
                self.frames.receive_data(event.data)
                for frame in self.frames.events():
                    self.take_frame(frame)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.ended = True

    def take_frame(self, frame):
        if isinstance(frame, wsproto.events.Message):
            self.pieces.append(frame.data)
            if frame.message_finished:
                self.messages.append(frame.data[:0].join(self.pieces))
                self.pieces = []
        elif isinstance(frame, wsproto.events.Ping):
            self.say(frame.response())
        elif isinstance(frame, wsproto.events.Pong):
            self.pongs.append(bytes(frame.payload))
        elif isinstance(frame, wsproto.events.CloseConnection):
            self.close_code, self.close_reason = frame.code, frame.reason or ""

    def wait(self, condition):
        while not condition():
            if self.ended:
                raise Ended(self.fields)
            self.client.pump()

    def opened(self):
        self.wait(lambda: self.fields)
        if self.fields[":status"] != "200":
            raise Refused(int(self.fields[":status"]))
        return self

    # ---- what a test does ----

    @property
    def subprotocol(self):
        return self.fields.get("sec-websocket-protocol")

    def say(self, event):
        data = memoryview(self.frames.send(event))
        while data:
            self.wait(lambda: self.client.h2.local_flow_control_window(self.id) > 0)
            room = min(self.client.h2.local_flow_control_window(self.id), self.client.h2.max_outbound_frame_size)
            self.client.h2.send_data(self.id, bytes(data[:room]))
            data = data[room:]
            self.client.flush()

    def send(self, message):
        """A message, or the fragments of one."""
        pieces = [message] if isinstance(message, (str, bytes)) else list(message)
        for at, piece in enumerate(pieces):
            self.say(wsproto.events.Message(piece, message_finished=at == len(pieces) - 1))

    def recv(self):
        self.wait(lambda: self.messages)
        return self.messages.pop(0)

    def ping(self, payload):
        """Sends one and waits for its answer."""
        self.say(wsproto.events.Ping(payload))
        self.wait(lambda: payload in self.pongs)

    def close(self, code=1000, reason=""):
        """The closing handshake, from this side."""
        self.say(wsproto.events.CloseConnection(code, reason))
        self.wait(lambda: self.close_code is not None)
        self.client.h2.end_stream(self.id)
        self.client.flush()

    def closed(self):
        """The (code, reason) that the other side closes with."""
        self.wait(lambda: self.close_code is not None)
        return self.close_code, self.close_reason
