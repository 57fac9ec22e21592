"""Event streams and long polls: every byte is forwarded when it comes, and quiet is no failure."""
import threading
import time

import pytest

from h2_origin import H2Origin
from origin import Origin
from wire import Client

PROMPT = 0.5  # seconds in which an event has to be through; it takes a few milliseconds


class Events:
    """An event stream the test drives: send() puts one event on it."""

    def __init__(self):
        self.events = []
        self.changed = threading.Condition()
        self.over = False

    def send(self, text):
        with self.changed:
            self.events.append(f"data: {text}\n\n".encode())
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def take(self, write):
        """Writes events as they come, until end()."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.events or self.over)
                if not self.events:
                    return
                event = self.events.pop(0)
            write(event)


def make_origin(kind, events):
    """An origin with an event stream at /events."""
    if kind == "http":
        origin = Origin()

        def serve(wire, sock, asked, _):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            events.take(lambda event: origin._chunk(sock, event))
            sock.sendall(b"0\r\n\r\n")
    else:
        origin = H2Origin()

        def serve(stream):
            stream.head(200, ("content-type", "text/event-stream"))
            events.take(stream.data)
            stream.data(b"", end=True)

    origin._do_events = serve
    return origin


@pytest.fixture(params=["http", "h2c"])
def streamed(request, shared):
    """(site, prefix, events, origin)."""
    events = Events()
    origin = make_origin(request.param, events)
    session = shared.tunnelc(origin.target).session
    yield shared, f"/session/{session}", events, origin
    events.end()
    origin.close()


def test_each_event_is_forwarded_when_it_comes(streamed):
    site, prefix, events, _ = streamed
    with Client(site.public) as client:
        client.request("GET", prefix + "/events", "Accept: text/event-stream")
        response = client.final_head()  # before any event
        assert response.fields.get("content-type") == "text/event-stream" and "content-length" not in response.fields
        pieces = client.pieces(response)
        for number in range(50):
            began = time.monotonic()
            events.send(number)
            assert next(pieces) == f"data: {number}\n\n".encode()
            assert time.monotonic() - began < PROMPT
        events.end()
        assert b"".join(pieces) == b""


def test_events_of_many_streams_do_not_wait_for_each_other(streamed):
    """One reader that has stopped does not keep the others waiting."""
    site, prefix, events, _ = streamed
    clients = [Client(site.public) for _ in range(10)]
    readers = []
    for client in clients:
        client.request("GET", prefix + "/events")
        readers.append(client.pieces(client.final_head()))
    got = []
    lock = threading.Lock()

    def read(pieces):
        for piece in pieces:
            with lock:
                got.append(piece)

    threads = [threading.Thread(target=read, args=(pieces,), daemon=True) for pieces in readers]
    for thread in threads:
        thread.start()
    for number in range(100):
        events.send(number)
    events.end()
    for thread in threads:
        thread.join(20)
    assert sorted(b"".join(got).split(b"\n\n")) == sorted([b"data: %d" % number for number in range(100)] + [b""])
    for client in clients:
        client.close()


class Quiet:
    """An event stream that was begun and then says nothing."""

    def __init__(self, site, kind):
        self.events = Events()
        self.origin = make_origin(kind, self.events)
        self.client = Client(site.public, timeout=120)
        self.client.request("GET", f"/session/{site.tunnelc(self.origin.target).session}/events")
        self.pieces = self.client.pieces(self.client.final_head())
        self.expect("before")

    def expect(self, text):
        self.events.send(text)
        assert next(self.pieces) == f"data: {text}\n\n".encode()

    def close(self):
        self.client.close()
        self.events.end()
        self.origin.close()


def test_quiet_streams_and_long_polls_live(shared, shared_origin):
    """Longer than any time in which something has to happen: pings of the uplink (15 s), a request's content (60 s); a
    poll is answered within the response timeout, which the client's owner chooses (30 s by default)."""
    poller = shared.tunnelc(shared_origin.target, "--response-timeout", "50")
    quiet = [Quiet(shared, kind) for kind in ("http", "h2c")]
    with Client(shared.public, timeout=60) as poll:
        poll.request("GET", f"/session/{poller.session}/wait/poll")
        shared_origin.wait_request("/wait/poll")
        time.sleep(33)
        shared_origin.gate("poll").set()
        assert poll.response().body == b"waited"
    time.sleep(32)
    for stream in quiet:
        stream.expect("after")
        stream.close()


def test_times_of_the_entry_are_options(site, shared_origin):
    site.tunneld()
    site.proxyentry("--response-timeout", "1", "--keep-alive-timeout", "1")
    client = site.tunnelc(shared_origin.target)
    with Client(site.public) as public:
        began = time.monotonic()
        response = public.ask("GET", f"/session/{client.session}/wait/nobody-{client.session}")
        assert response.status == 504 and "east" in response.fields.get("proxy-status")
        assert 0.9 < time.monotonic() - began < 10
    with Client(site.public) as public:
        assert public.ask("GET", f"/session/{client.session}/status/200").status == 200
        began = time.monotonic()
        assert public.closed()
        assert 0.9 < time.monotonic() - began < 10


def test_reader_that_leaves_ends_the_stream(streamed):
    site, prefix, events, origin = streamed
    with Client(site.public) as client:
        client.request("GET", prefix + "/events")
        next_piece = client.pieces(client.final_head())
        events.send("one")
        next(next_piece)
    began = time.monotonic()
    if isinstance(origin, H2Origin):
        stream = origin.wait_request("/events")
        while stream.ended_by is None and time.monotonic() - began < 5:
            time.sleep(0.01)
        assert stream.ended_by == 8
    else:
        request = origin.wait_request("/events")
        while request.aborted_at is None and time.monotonic() - began < 5:
            events.send("nobody")
            time.sleep(0.02)
            if not origin.open:
                return
        assert request.aborted_at


def test_upload_is_forwarded_as_it_comes(shared):
    """The same the other way: an origin sees each piece of a request's content when it was sent."""
    seen = []
    origin = Origin()

    def pieces(wire, sock, request, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in origin._content(wire, request):
            seen.append(piece)
            origin._chunk(sock, b"got " + piece)
        sock.sendall(b"0\r\n\r\n")

    origin._answer = lambda wire, sock, request: pieces(wire, sock, request, None)
    session = shared.tunnelc(origin.target).session
    with Client(shared.public) as client:
        client.request("POST", f"/session/{session}/pieces", "Transfer-Encoding: chunked")
        answer = None
        for number in range(20):
            client.send(b"3\r\n%03d\r\n" % number)
            answer = answer or client.pieces(client.final_head())
            assert next(answer) == b"got %03d" % number
        client.send(b"0\r\n\r\n")
        assert b"".join(answer) == b""
    origin.close()
