"""What the soak's clients publish: HTTP origins that count every delivery, a TCP echo, a UDP echo, on one event loop.

    /bytes/N        N pattern bytes          /deliver/ID     counts the delivery, answers ID
    /sse            an event each half second, numbered, until the reader leaves
    /ws             a WebSocket that echoes  /health         200, or 500 while the origin is sick

Each answer says by X-Origin which of them gave it: so it is known whose client carried it.
"""
import asyncio
import base64
import hashlib
import socket
import struct

import pattern

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
EVENT_SECONDS = 0.5


class Deliveries:
    """Which POST came to which origin, and those that came twice."""

    def __init__(self):
        self.at = {}       # id: origin's name
        self.twice = {}    # id: the origins it came to

    def note(self, number, origin):
        if number in self.at:
            self.twice.setdefault(number, [self.at[number]]).append(origin)
        else:
            self.at[number] = origin


class HttpOrigin:
    """One HTTP/1.1 origin. listen() and close() may come and go: the port stays."""

    def __init__(self, name, deliveries):
        self.name, self.deliveries = name, deliveries
        self.sick = False
        self.port = 0
        self.open = set()
        self.server = None

    async def listen(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    async def gone(self):
        """Nobody listens, and what was open is reset."""
        self.server.close()
        self.reset()

    def reset(self):
        """Resets every connection there is."""
        for writer in list(self.open):
            sock = writer.get_extra_info("socket")
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self.open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        _, target, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "content-length" in fields:
            await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding"):
            await self._chunks(reader)
        words = target.strip("/").split("/")
        if words[0] == "bytes":
            await self._bytes(writer, int(words[1]))
        elif words[0] == "deliver":
            self.deliveries.note(int(words[1]), self.name)
            await asyncio.sleep(0.004)
            self._answer(writer, 200, words[1].encode())
        elif words[0] == "health":
            self._answer(writer, 500 if self.sick else 200, b"")
        elif words[0] == "sse":
            await self._events(writer)
            return False
        elif words[0] == "ws":
            await self._websocket(reader, writer, fields)
            return False
        else:
            self._answer(writer, 404, b"")
        await writer.drain()
        return True

    @staticmethod
    async def _chunks(reader):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")

    def _answer(self, writer, status, content):
        writer.write(b"HTTP/1.1 %d X\r\nX-Origin: %s\r\nContent-Length: %d\r\n\r\n%s" %
                     (status, self.name.encode(), len(content), content))

    async def _bytes(self, writer, count):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Origin: %s\r\nContent-Length: %d\r\n\r\n" % (self.name.encode(), count))
        for piece in pattern.pieces(count, most=65536):
            writer.write(bytes(piece))
            await writer.drain()

    async def _events(self, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Origin: %s\r\nContent-Type: text/event-stream\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n" % self.name.encode())
        number = 0
        while not writer.transport.is_closing():
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            number += 1
            await asyncio.sleep(EVENT_SECONDS)

    async def _websocket(self, reader, writer, fields):
        accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + MAGIC).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Origin: %s\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % (self.name.encode(), accept))
        while True:
            opcode, content = await ws_read(reader)
            writer.write(ws_frame(opcode, content, mask=None))
            await writer.drain()
            if opcode == 8:
                return


def ws_frame(opcode, content, mask=b"\x11\x22\x33\x44"):
    """A whole frame of less than 126 bytes (RFC 6455, 5.2)."""
    head = bytes((0x80 | opcode, (0x80 if mask else 0) | len(content)))
    if not mask:
        return head + content
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))


async def ws_read(reader):
    """(opcode, content) of the next frame; IncompleteReadError at the end."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        raise ValueError("a longer frame than was sent")
    mask = await reader.readexactly(4) if second & 0x80 else None
    content = await reader.readexactly(size)
    if mask:
        content = bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))
    return first & 0x0F, content


class TcpEcho:
    async def listen(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.target = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    @staticmethod
    async def _serve(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)

    async def listen(self):
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0))
        self.target = "127.0.0.1:%d" % transport.get_extra_info("sockname")[1]
