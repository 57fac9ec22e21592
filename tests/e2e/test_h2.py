"""HTTP/2 on the public ports: what it carries, and what a peer may not do with it (RFC 9113, 10.5)."""
import itertools
import json
import ssl
import subprocess
import time

import pytest

import pattern
from h2wire import (CANCEL, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, H2, PREFACE, PROTOCOL_ERROR, ContinuationFrame,
                    DataFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame,
                    WindowUpdateFrame, flood)
from programs import Site, wait_until
from wire import Client, ask


@pytest.fixture(scope="module")
def shared(tmp_path_factory, shared_origin):
    """As the shared one, with a TLS port as well."""
    site = Site(tmp_path_factory.mktemp("h2"))
    try:
        site.tunneld()
        site.entry = site.proxyentry("--public-tls", "localhost:0")
        site.client = site.tunnelc(shared_origin.target, session="main")
        site.session = "main"
        site.tls = int(site.entry.ready["public_tls"].rsplit(":", 1)[1])
        yield site
    finally:
        site.close()


@pytest.fixture(params=["clear", "tls"])
def client(request, shared):
    with connect(shared, request.param == "tls") as made:
        yield made


def connect(site, tls=False, **options):
    if not tls:
        return H2(site.public, **options)
    context = ssl.create_default_context(cafile=site.ca)
    context.set_alpn_protocols(["h2"])
    return H2(("127.0.0.1", site.tls), tls=context, name="localhost", **options)


def alive(site):
    """Others are served, and the uplink is the one there was from the start."""
    assert ask(site.public, "GET", site.path("/status/200")).status == 200
    assert [event for event in site.client.events if event["event"] == "lost"] == []


# ---- How it begins ----

def test_curl_by_prior_knowledge(shared):
    out = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-o",
                          "/dev/null", shared.url("/status/200")], capture_output=True, text=True, timeout=30)
    assert out.stdout == "2 200", out.stderr


def test_via_names_http2_both_ways(client, shared):
    _, fields, content = client.ask(shared.path("/inspect"))
    assert dict(json.loads(content)["fields"])["via"] == "2 east" and fields["via"] == "2 east"


def test_preface_in_pieces(shared):
    with connect(shared) as client:
        assert client.ask(shared.path("/status/200"))[0] == 200
    sock = Client(shared.public).sock
    for byte in PREFACE + SettingsFrame(0).serialize():
        sock.sendall(bytes([byte]))
        time.sleep(0.002)
    assert sock.recv(9)[3] == SettingsFrame.type
    sock.close()


@pytest.mark.parametrize("pieces", [(b"P", b"OST "), (b"PRI", b" "), (b"PRI * HTTP/2.0\r\n", b""), (b"", b"GET ")])
def test_what_only_begins_like_a_preface_is_http1(shared, pieces):
    with Client(shared.public) as client:
        for piece in pieces:
            client.send(piece)
            time.sleep(0.05)
        client.send(f"{shared.path('/inspect')} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
                    if pieces[1] else b"Host: x\r\n\r\n")
        response = client.response()
        assert response.status == (200 if pieces[1] else 505), response
        if pieces[1]:
            assert json.loads(response.body)["method"] == b"".join(pieces).decode().strip()


# ---- What it carries ----

def test_scheme_is_the_transport_s(shared, client):
    tls = isinstance(client.sock, ssl.SSLSocket)
    for said in ("http", "https"):
        head = client.head(shared.path("/inspect"))
        head[1] = (":scheme", said)
        frame = client.headers(head)
        client.send(frame)
        seen = json.loads(client.response(frame.stream_id)[1])
        assert dict(seen["fields"])["x-forwarded-proto"] == ("https" if tls else "http")


def test_trailers_pass_both_ways(shared, client):
    stream = client.request(shared.path("/echo"), "POST", [("te", "trailers"), ("trailer", "x-sum")], end=False)
    client.data(stream, b"content")
    client.send(client.headers([("x-sum", "42")], stream))
    heads, content, trailers = client.response(stream)
    assert content == b"content" and trailers == [("x-sum", "42")]


def test_early_hints_pass(shared, client):
    heads, content, _ = client.response(client.request(shared.path("/processing")))
    assert [dict(head)[":status"] for head in heads] == ["102", "103", "103", "200"]
    assert [dict(head).get("link") for head in heads[1:3]] == ["</a>", "</b>"]
    assert content == b"after all of them"


def test_cookie_crumbs_are_one_line_to_the_origin(shared, client):
    _, _, content = client.ask(shared.path("/inspect"), more=[("cookie", "a=1"), ("cookie", "b=2")])
    assert ["cookie", "a=1; b=2"] in json.loads(content)["fields"]


def test_pieces_come_as_they_are_sent(shared, shared_origin, client):
    stream = client.request(shared.path("/gate/h2"))
    client.until(lambda f: isinstance(f, DataFrame) and f.data == b"before;")
    shared_origin.gate("h2").set()
    assert b"".join(f.data for f in [client.until(lambda f: isinstance(f, DataFrame))]) == b"after"
    shared_origin._gates.pop("h2")


def test_client_s_cancellation_reaches_the_origin(shared, shared_origin, client):
    path = f"/drip?{id(client)}"
    stream = client.request(shared.path(path))
    client.until(lambda f: isinstance(f, DataFrame))
    client.send(RstStreamFrame(stream, CANCEL))
    request = [r for r in shared_origin.requests if r.target == path][0]
    shared_origin.wait_aborted(request, timeout=5)
    assert client.ask(shared.path("/status/200"))[0] == 200


@pytest.mark.parametrize("where", ["length", "chunked"])
def test_origin_s_failure_resets_the_stream(shared, client, where):
    stream = client.request(shared.path(f"/cut/{where}"))
    assert client.reset_code(stream) != 0
    assert client.ask(shared.path("/status/200"))[0] == 200


def test_failures_before_the_head_are_problems(shared, client):
    status, fields, content = client.ask(shared.path("/close"))
    assert status == 502 and fields["content-type"] == "application/problem+json" and "proxy-status" in fields
    status, fields, _ = client.ask("/nowhere")
    assert status == 404 and "proxy-status" in fields


def test_methods_and_statuses_without_content(shared, client):
    heads, content, _ = client.response(client.request(shared.path("/bytes/1000"), "HEAD"))
    assert dict(heads[-1])["content-length"] == "1000" and content == b""
    for status in (204, 304):
        assert client.ask(shared.path(f"/status/{status}"))[0] == status


def test_big_download_is_exact_and_waits_for_its_reader(shared, shared_origin, client):
    size = 24 << 20
    stream = client.request(shared.path(f"/bytes/{size}"))
    client.until(lambda f: isinstance(f, HeadersFrame))
    time.sleep(1.0)
    assert shared_origin.sent < 16 << 20  # socket buffers (three of up to 4 MiB) and windows, but not all of it
    checker = pattern.Checker()
    while True:
        frame = client.until(lambda f: isinstance(f, DataFrame) and f.stream_id == stream)
        checker.update(frame.data)
        if "END_STREAM" in frame.flags:
            break
    assert checker.count == size and checker.exact


class Uploader:
    """Sends as the windows allow."""

    def __init__(self, client):
        self.client = client
        self.windows = {0: 65535}
        self.initial = 65535

    def take(self, frame):
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            new = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self.initial)
            for stream in self.windows:
                self.windows[stream] += (new - self.initial) if stream else 0
            self.initial = new
        if isinstance(frame, WindowUpdateFrame):
            self.windows[frame.stream_id] = self.windows.get(frame.stream_id, self.initial) + frame.window_increment

    def send(self, stream, pieces):
        self.windows.setdefault(stream, self.initial)
        for piece in pieces:
            while piece:
                while (room := min(self.windows[0], self.windows[stream], 16384)) <= 0:
                    self.take(self.client.frame())
                part, piece = piece[:room], piece[room:]
                self.windows[0] -= len(part)
                self.windows[stream] -= len(part)
                self.client.data(stream, bytes(part))
        self.client.data(stream, b"", end=True)


def test_big_upload_is_exact_and_waits_for_the_origin(shared, shared_origin, client):
    size = 24 << 20
    client.until(lambda f: isinstance(f, SettingsFrame))
    uploader = Uploader(client)
    for frame in client.seen:
        uploader.take(frame)
    stopped = []

    def throttle(count):
        if count > 1 << 20 and not stopped:
            stopped.append(count)
            time.sleep(1.0)

    shared_origin.throttle = throttle
    try:
        stream = client.request(shared.path("/upload"), "POST", [("content-length", str(size))], end=False)
        uploader.send(stream, pattern.pieces(size))
        _, content, _ = client.response(stream)
        assert json.loads(content) == {"bytes": size, "exact": True}
    finally:
        shared_origin.throttle = None


@pytest.mark.parametrize("said, sent", [(10, b"only"), (3, b"too much")])
def test_content_that_is_not_as_long_as_it_says_resets(shared, client, said, sent):
    stream = client.request(shared.path("/echo"), "POST", [("content-length", str(said))], end=False)
    client.data(stream, sent, end=True)
    assert client.reset_code(stream) == PROTOCOL_ERROR
    assert client.ask(shared.path("/status/200"))[0] == 200


def test_heads_past_the_bound_are_431(shared, client):
    assert client.ask(shared.path("/inspect"), more=[(f"x-{i}", "y") for i in range(200)])[0] == 431
    assert client.ask(shared.path("/status/200"))[0] == 200


# ---- Real clients in numbers ----

def h2load(url, *arguments):
    done = subprocess.run(["h2load", *arguments, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tls", [False, True])
def test_h2load(shared, tls):
    url = f"https://localhost:{shared.tls}{shared.path('/bytes/5000')}" if tls else shared.url("/bytes/5000")
    out = h2load(url, "-n", "2000", "-c", "10", "-m", "32", *([] if tls else ["-p", "h2c"]))
    assert "2000 succeeded, 0 failed, 0 errored" in out and "2000 2xx" in out, out
    alive(shared)


def test_nghttp_gets_many_with_trailers(shared):
    done = subprocess.run(["nghttp", "-n", "-s", "-m", "50", shared.url("/trailers")], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and done.stdout.count(" 200 ") == 50, done.stdout + done.stderr


# ---- Priorities (RFC 9218) ----

def test_priority_field_passes_and_updates_do_no_harm(shared, client):
    client.raw(b"\x00\x00\x08\x10\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x01" + b"u=1, i"[:4])
    client.raw(b"\x00\x00\x07\x10\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x01" + b"\xff=1")
    _, _, content = client.ask(shared.path("/inspect"), more=[("priority", "u=2, i")])
    assert ["priority", "u=2, i"] in json.loads(content)["fields"]


def test_urgent_goes_first(shared):
    with connect(shared, updates=False) as client:
        late = client.request(shared.path("/bytes/400000"), more=[("priority", "u=7")])
        got = 0
        while got < 65535:
            got += len(client.until(lambda f: isinstance(f, DataFrame)).data)
        soon = client.request(shared.path("/bytes/100000"), more=[("priority", "u=0")])
        client.until(lambda f: isinstance(f, HeadersFrame) and f.stream_id == soon)
        time.sleep(0.5)  # until there is content of both that waits for the window
        client.send(WindowUpdateFrame(late, window_increment=1 << 20), WindowUpdateFrame(soon, window_increment=1 << 20),
                    WindowUpdateFrame(0, window_increment=1 << 20))
        order = []
        while order.count(soon) < 100000 // 16384:
            order.append(client.until(lambda f: isinstance(f, DataFrame)).stream_id)
        assert order[:100000 // 16384] == [soon] * (100000 // 16384), order


def test_who_asks_for_no_order_gets_a_bit_of_everything(shared):
    with connect(shared) as client:
        big = client.request(shared.path(f"/bytes/{8 << 20}"))
        client.until(lambda f: isinstance(f, DataFrame))
        small = client.request(shared.path("/bytes/50000"))
        client.until(lambda f: f.stream_id == small and "END_STREAM" in f.flags)
        assert not any(f.stream_id == big and "END_STREAM" in f.flags for f in client.seen)


# ---- Requests that are none ----

def bad_heads(path):
    good = dict([(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.example")])

    def with_(**changes):
        head = {**good, **{f":{name}": value for name, value in changes.items()}}
        return [(name, value) for name, value in head.items() if value is not None]

    fields = [("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "a\rb"), ("x", "a\0b"), ("x\r\ny", "a"), ("x y", "a"), ("X-Upper", "a"),
              ("", "a"), ("connection", "close"), ("connection", "x"), ("keep-alive", "5"), ("proxy-connection", "close"),
              ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("host", "b.example"),
              ("content-length", "1x"), ("content-length", "-1"), (":path", "/again"), (":status", "200"),
              (":unknown", "x")]
    heads = [[*with_(), field] for field in fields]
    heads += [with_(path=value) for value in ("/a b", "/a\r\nX: y", "/a\nb", "/a\0", "a", "", "/a#b", None, "http://x/",
                                              "*")]
    heads += [with_(authority=value) for value in ("a b", "a\r\nX: y", "user@a", "a/b", "a?b", "a:b:c", "a\0", "\xe9")]
    heads += [with_(method=value) for value in ("G T", "GET\r\n", "", None)]
    heads += [with_(scheme=value) for value in (None, "ht tp")]
    heads += [[("x", "before"), *with_()], [*with_(), ("host", "a.example"), ("host", "b.example")]]
    return heads


def test_malformed_requests_are_reset_and_reach_nobody(shared, shared_origin):
    before = len(shared_origin.requests)
    with connect(shared) as client:
        for head in bad_heads(shared.path("/malformed")):
            frame = client.headers(head)
            client.send(frame)
            assert client.reset_code(frame.stream_id) == PROTOCOL_ERROR, head
        assert len(shared_origin.requests) == before
        assert client.ask(shared.path("/status/200"))[0] == 200


def test_bad_trailers_reset(shared):
    with connect(shared) as client:
        stream = client.request(shared.path("/echo"), "POST", end=False)
        client.send(client.headers([("x", "a\r\nb")], stream))
        assert client.reset_code(stream) == PROTOCOL_ERROR
        stream = client.request(shared.path("/echo"), "POST", end=False)
        client.send(client.headers([(":path", "/")], stream))
        assert client.reset_code(stream) == PROTOCOL_ERROR


# ---- Floods: each ends with GOAWAY(ENHANCE_YOUR_CALM), and only for who makes it ----

def rapid_resets(client, path):
    for _ in itertools.count():
        frame = client.headers(client.head(path))
        yield frame
        yield RstStreamFrame(frame.stream_id, CANCEL)


def empty_data(client, path):
    frame = client.headers(client.head(path, "POST"), end=False)
    yield frame
    while True:
        yield DataFrame(frame.stream_id, b"")


def padded_data(client, path):
    frame = client.headers(client.head(path, "POST"), end=False)
    yield frame
    while True:
        yield DataFrame(frame.stream_id, b"", pad_length=1, flags=["PADDED"])


def repeat(frame):
    return lambda client, path: itertools.repeat(frame)


FLOODS = {
    "rapid reset": rapid_resets,
    "settings": repeat(SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 16384})),
    "pings": repeat(PingFrame(0, b"ping ping"[:8])),
    "pongs": repeat(PingFrame(0, b"pong pong"[:8], flags=["ACK"])),
    "empty data": empty_data,
    "padded data": padded_data,
    "window updates": repeat(WindowUpdateFrame(0, window_increment=1)),
    "priorities": repeat(PriorityFrame(1, depends_on=3, stream_weight=1)),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_ends_in_a_goaway(shared, kind):
    with connect(shared, updates=False) as client:
        assert client.ask(shared.path("/status/200"))[0] == 200
        assert flood(client, FLOODS[kind](client, shared.path("/never")), 20000) == ENHANCE_YOUR_CALM
    wait_until(lambda: "is ended: too much of" in shared.entry.log(), "the entry says why")
    alive(shared)


def overflown(client, path):
    frame = client.headers(client.head(path, "POST"), end=False)
    return [frame, WindowUpdateFrame(frame.stream_id, window_increment=0x7fffffff)]


def malformed(client, path):
    return [client.headers([*client.head(path), ("connection", "close")])]


def mismatched(client, path):
    frame = client.headers(client.head(path, "POST", [("content-length", "1")]), end=False)
    return [frame, DataFrame(frame.stream_id, b"", flags=["END_STREAM"])]


@pytest.mark.parametrize("make", [overflown, malformed, mismatched])
def test_server_made_to_reset_ends_in_a_goaway(shared, make):
    """MadeYouReset: never more streams at once than are allowed, and each reset by the server."""
    with connect(shared, updates=False) as client:
        assert client.ask(shared.path("/status/200"))[0] == 200
        for _ in range(500):
            if not client.send(*[frame for _ in range(20) for frame in make(client, shared.path("/never"))]):
                break
            last = client.next_id - 2
            frame = client.until(lambda f: isinstance(f, GoAwayFrame)
                                 or isinstance(f, RstStreamFrame) and f.stream_id == last)
            if isinstance(frame, GoAwayFrame):
                break
        assert [f for f in client.seen if isinstance(f, GoAwayFrame)][0].error_code == ENHANCE_YOUR_CALM
    alive(shared)


def test_tiny_windows_end_in_a_goaway(shared):
    with connect(shared, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1}, updates=False) as client:
        stream = client.request(shared.path("/bytes/1000000"))
        sent = 0
        while sent < 20000 and client.send(*[WindowUpdateFrame(stream, window_increment=1)] * 50):
            sent += 50
            if any(isinstance(frame, GoAwayFrame) for frame in client.seen):
                break
            client.until(lambda f: isinstance(f, (DataFrame, GoAwayFrame)))
        if not any(isinstance(frame, GoAwayFrame) for frame in client.seen):
            client.until(lambda f: isinstance(f, GoAwayFrame))
        assert [f for f in client.seen if isinstance(f, GoAwayFrame)][0].error_code == ENHANCE_YOUR_CALM
    alive(shared)


def test_head_of_endless_continuations_ends_in_a_goaway(shared):
    with connect(shared) as client:
        block = client.encoder.encode(client.head(shared.path("/inspect")))
        frames = [HeadersFrame(1, block, flags=["END_STREAM"]), *[ContinuationFrame(1, b"")] * 20]
        client.send(*frames)
        assert client.goaway_code() == ENHANCE_YOUR_CALM
    alive(shared)


def test_head_in_some_continuations_is_good(shared):
    with connect(shared) as client:
        block = client.encoder.encode(client.head(shared.path("/status/200"), more=[("x", "y" * 100)]))
        parts = [block[i * 20:(i + 1) * 20] for i in range(7)] + [block[140:]]
        frames = [HeadersFrame(1, parts[0], flags=["END_STREAM"]), *[ContinuationFrame(1, part) for part in parts[1:]]]
        frames[-1].flags.add("END_HEADERS")
        client.send(*frames)
        heads, _, _ = client.response(1)
        assert dict(heads[0])[":status"] == "200"


def test_hpack_bomb_ends_in_a_goaway(shared):
    """A field of 4,000 bytes in the table, named by one byte again and again."""
    with connect(shared) as client:
        block = client.encoder.encode([*client.head(shared.path("/inspect")), ("x-bomb", "b" * 3900)])
        frame = HeadersFrame(1, block + b"\xbe" * 10000, flags=["END_STREAM", "END_HEADERS"])
        client.send(frame)
        assert client.goaway_code() == ENHANCE_YOUR_CALM
    alive(shared)


def test_window_that_overflows_is_an_error(shared):
    with connect(shared, updates=False) as client:
        stream = client.request(shared.path("/bytes/100000"))
        client.send(WindowUpdateFrame(stream, window_increment=0x7fffffff))
        assert client.reset_code(stream) == FLOW_CONTROL_ERROR
        client.send(WindowUpdateFrame(0, window_increment=0x7fffffff))
        assert client.goaway_code() == FLOW_CONTROL_ERROR


def test_resets_of_ordinary_measure_do_no_harm(shared):
    """A page that is left: a hundred streams given up at once, a few times."""
    with connect(shared) as client:
        for _ in range(5):
            streams = [client.request(shared.path("/wait/nobody")) for _ in range(100)]
            client.send(*[RstStreamFrame(stream, CANCEL) for stream in streams])
        assert client.ask(shared.path("/status/200"))[0] == 200
    alive(shared)
