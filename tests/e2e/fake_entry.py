"""An entry that tunneld knows of, whose uplinks are the test's."""
import socket
import ssl

from api import call
from h2_hostile import Caller


class FakeEntry:
    """For a Site(own=True) whose tunneld runs."""

    def __init__(self, site):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(site.folder / "server.pem", site.folder / "server-key.pem")
        self.context.set_alpn_protocols(["http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.peers = []
        url = "https://127.0.0.1:%d" % self.listener.getsockname()[1]
        answer = call(site, "POST", "/v1/entries", {"id": "fake", "uplink": url, "public": "http://127.0.0.1:1",
                                                    "domain": "localhost"}, token=site.token_of("gate"))
        assert answer.status == 201, answer

    def accept(self):
        """The entry's end of the next uplink; `request` is the head of what opened it."""
        sock = None
        while not sock:  # those that waited have given up, perhaps
            try:
                sock = self.context.wrap_socket(self.listener.accept()[0], server_side=True)
            except (ssl.SSLError, ConnectionError):
                pass
        request = b""
        while b"\r\n\r\n" not in request:
            request += sock.recv(4096)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ptth\r\nALPN: h2\r\n\r\n")
        caller = Caller(sock)
        caller.request = request.decode()
        self.peers.append(caller)
        return caller

    def close(self):
        """Nobody answers any more: clients that drain need not wait for it."""
        self.listener.close()
        for peer in self.peers:
            peer.close()
