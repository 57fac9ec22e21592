"""Hundreds of peers that stand still, each with much under way: memory stays bounded and others are served (release build)."""
import socket
import threading
import time

import pytest

from h2_origin import H2Origin
from h2wire import H2, SettingsFrame, WindowUpdateFrame
from metrics import Metrics
from origin import Origin
from programs import BIN, BIN_RELEASE, Site, wait_until
from storm import Many
from tcp import TcpOrigin
from wire import Client

MIB = 1 << 20
GIB = 1 << 30
RSS_MAX = 48 * MIB
WINDOW_MAX = (1 << 31) - 1
READERS, UPLOADS = 256, 200
CONNECTIONS, STREAMS = 5, 120  # of HTTP/2
NEIGHBOUR = 32 * MIB
IDLE, IDLE_RSS = 200, 40 * 1024  # sessions; bytes of each in the entry: 64 KiB is what is promised


class Held:
    """What the test holds open; closed together."""

    def __init__(self):
        self.socks = []
        self.threads = []

    def add(self, client):
        self.socks.append(client.sock)
        return client

    def push(self, send):
        """Sends on a thread until the peer takes no more."""
        def run():
            try:
                send()
            except OSError:
                pass
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)

    def close(self):
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def held():
    held = Held()
    yield held
    held.close()


class Origins:
    """An HTTP/1.1 and an h2c origin, and two that read nothing of a request's content."""

    def __init__(self):
        self.h1 = Origin()
        self.h1.sock.listen(1024)
        self.h2c = H2Origin(concurrent_max=1000)
        self.h2c._do_h2c = lambda stream, what, size: self.h2c._do_bytes(stream, size)
        self.h1_sink = TcpOrigin()  # accepts, and that is all
        self.h2c_sink = H2Origin(concurrent_max=1000)
        self.h2c_sink._do_h2sink = lambda stream: stream.ended.wait()

    def close(self):
        for origin in (self.h1, self.h2c, self.h1_sink, self.h2c_sink):
            origin.close()


@pytest.fixture(scope="module")
def origins():
    origins = Origins()
    yield origins
    origins.close()


@pytest.fixture
def release(tmp_path, origins):
    assert (BIN_RELEASE / "tunneld").exists(), f"{BIN_RELEASE} has no programs: build the release preset"
    site = Site(tmp_path, binaries=BIN_RELEASE, log_level="info")
    try:
        site.tunneld()
        site.entry = site.proxyentry()
        routes = {"/h2c": origins.h2c, "/sink": origins.h1_sink, "/h2sink": origins.h2c_sink}
        arguments = [word for path, origin in routes.items() for word in ("--route", f"{path}={origin.target}")]
        arguments += ["--drain-timeout", "5"]  # what stands still is still under way at the end
        site.client = site.tunnelc(origins.h1.target, *arguments, session="main")
        site.session = "main"
        yield site
    finally:
        site.close()


def settle(site, quiet=1.5):
    """Until neither program grows any more."""
    programs = (site.entry, site.client)
    last, since = None, time.monotonic()
    while time.monotonic() - since < quiet:
        now = [program.rss_peak() for program in programs]
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)
    print("peak RSS in MiB:", [round(peak / MIB, 1) for peak in last])
    assert max(last) < RSS_MAX, last


def served(site):
    """A neighbour on the same uplink gets its answer whole."""
    with Client(site.public, timeout=60) as client:
        begun = time.monotonic()
        response = client.ask("GET", site.path(f"/bytes/{NEIGHBOUR}"))
        assert response.whole and len(response.body) == NEIGHBOUR
        print(f"the neighbour: {NEIGHBOUR / MIB / (time.monotonic() - begun):.0f} MiB/s")


@pytest.mark.parametrize("path", [f"/bytes/{GIB}", f"/h2c/bytes/{GIB}"])
def test_http1_readers_that_stop(release, held, path):
    for _ in range(READERS):
        client = held.add(Client(release.public, receive_buffer=4096))
        client.request("GET", release.path(path))
    settle(release)
    served(release)
    settle(release)


@pytest.mark.parametrize("path", [f"/bytes/{GIB}", f"/h2c/bytes/{GIB}"])
@pytest.mark.parametrize("window", [65535, WINDOW_MAX])
def test_http2_readers_that_stop(release, held, path, window):
    """With small windows content waits in the streams, with large ones in the connection."""
    for _ in range(CONNECTIONS):
        client = held.add(H2(release.public, settings={SettingsFrame.INITIAL_WINDOW_SIZE: window}))
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if window > 65535:
            client.send(WindowUpdateFrame(0, window_increment=window - 65535))
        for _ in range(STREAMS):
            client.request(release.path(path))
    settle(release)
    served(release)
    settle(release)


@pytest.mark.parametrize("path", ["/sink", "/h2sink"])
def test_http1_uploads_to_an_origin_that_does_not_read(release, held, path):
    content = b"x" * 65536

    def send(client):
        while True:
            client.sock.sendall(content)

    for _ in range(UPLOADS):
        client = held.add(Client(release.public, timeout=600))
        client.request("POST", release.path(path), f"Content-Length: {GIB}")
        held.push(lambda client=client: send(client))
    settle(release)
    served(release)
    settle(release)


@pytest.mark.parametrize("path", ["/sink", "/h2sink"])
def test_http2_uploads_to_an_origin_that_does_not_read(release, held, path):
    """The client does not even take notice of smaller windows: it sends all that the first ones allowed."""
    def send(client):
        streams = [client.request(release.path(path), "POST", end=False) for _ in range(STREAMS)]
        for _ in range(8):
            for stream in streams:
                client.data(stream, b"x" * 16384)

    for _ in range(CONNECTIONS):
        client = held.add(H2(release.public))
        client.until(lambda frame: isinstance(frame, SettingsFrame) and "ACK" not in frame.flags)
        client.sock.settimeout(600)
        held.push(lambda client=client: send(client))
    settle(release)
    served(release)
    settle(release)


def test_idle_sessions_give_their_memory_back_though_pings_go_on(tmp_path):
    site = Site(tmp_path / "idle", binaries=BIN_RELEASE, log_level="error")
    try:
        site.tunneld()
        metrics = Metrics(site.proxyentry())
        before = metrics("process_resident_memory_bytes")
        many = Many(BIN / "sessions", site, IDLE)
        site.programs.append(many)
        many.said("up", timeout=120)
        wait_until(lambda: metrics("process_resident_memory_bytes") - before < IDLE * IDLE_RSS, "rest", 60, every=1)
        assert metrics("tunnel2_entry_uplinks") == IDLE
    finally:
        site.close()
