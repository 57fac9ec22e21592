"""Public clients that go away, or trickle, while their content is on its way: what they held is free soon."""
import socket
import struct
import threading
import time

import pytest

from metrics import Metrics
from programs import wait_until
from tcp import TcpOrigin
from wire import Client

GIB = 1 << 30
UNDER_WAY = "tunnel2_entry_requests_active"
PATIENT = ["--response-timeout", "300"]


class Deaf(TcpOrigin):
    """Takes connections and reads nothing."""

    def __init__(self):
        super().__init__(lambda conn: self.released.wait(120))
        self.released = threading.Event()

    def close(self):
        self.released.set()
        super().close()


@pytest.fixture
def deaf():
    origin = Deaf()
    yield origin
    origin.close()


def push(client):
    """Sends until nothing is taken any more."""
    client.sock.settimeout(1)
    try:
        while True:
            client.sock.sendall(b"x" * 65536)
    except TimeoutError:
        pass


def reset(client):
    """As a system does for a program that has gone with something unread."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def test_upload_whose_client_has_gone_frees_what_it_held(site, deaf):
    """Its origin reads nothing, so the entry does not either: the reset is seen all the same, and nothing waits."""
    site.tunneld()
    entry = site.proxyentry(*PATIENT)
    client = site.tunnelc(deaf.target, *PATIENT, "--drain-timeout", "120", session="main")
    metrics = Metrics(entry)
    public = Client(site.public)
    public.request("POST", site.path("/", "main"), f"Content-Length: {GIB}")
    push(public)
    assert metrics(UNDER_WAY) == 1
    reset(public)
    wait_until(lambda: metrics(UNDER_WAY) == 0, "the exchange to end", timeout=20)
    begun = time.monotonic()
    assert client.stop(timeout=100) == 0
    assert time.monotonic() - begun < 60


def trickle(client, size, pause, seconds):
    """A byte now and then of a content of that size; until it is answered: the response, or None after so long."""
    client.send(f"POST {client.path} HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n")
    client.sock.settimeout(pause)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.send(b"x")
        try:
            client.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        client.sock.settimeout(20)
        return client.response()
    return None


def test_content_that_trickles_is_answered_408(site, origin):
    """Each byte comes within --body-timeout: in all they are too slow."""
    site.tunneld()
    metrics = Metrics(site.proxyentry("--body-timeout", 2, "--body-rate-min", 100))
    site.tunnelc(origin.target, session="main")
    with Client(site.public) as client:
        client.path = site.path("/echo", "main")
        response = trickle(client, 10000, 0.1, 30)
        assert response and response.status == 408
    wait_until(lambda: metrics(UNDER_WAY) == 0, "its place to be free")
    assert metrics.timeouts("body") == 1


def test_content_that_is_slow_but_fast_enough_gets_through(site, origin):
    site.tunneld()
    metrics = Metrics(site.proxyentry("--body-timeout", 2, "--body-rate-min", 1))
    site.tunnelc(origin.target, session="main")
    with Client(site.public) as client:
        client.path = site.path("/echo", "main")
        response = trickle(client, 50, 0.1, 30)
        assert response and response.status == 200
    assert metrics.timeouts("body") == 0
