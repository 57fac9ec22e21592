"""A gigabyte each way, to a slow reader and from a slow writer: byte-exact, and no process grows (release build)."""
import json
import threading
import time

import pytest

import pattern
from origin import Origin
from programs import BIN_RELEASE, Site, wait_until
from wire import Client

GIB = 1 << 30
RSS_MAX = 32 << 20
# What may lie between an origin and a reader who stopped: kernel socket buffers of three hops, both sides, and ours.
AHEAD_MAX = 48 << 20


@pytest.fixture(scope="module")
def release_origin():
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture(scope="module")
def release(tmp_path_factory, release_origin):
    assert (BIN_RELEASE / "tunneld").exists(), f"{BIN_RELEASE} has no programs: build the release preset"
    site = Site(tmp_path_factory.mktemp("release"), binaries=BIN_RELEASE, log_level="info")
    try:
        site.all(release_origin)
        yield site
    finally:
        site.close()


@pytest.fixture(autouse=True)
def bounded_memory(release):
    yield
    peaks = {program.label: program.rss_peak() for program in release.programs}
    print("peak RSS in MiB:", {label: round(peak / 2**20, 1) for label, peak in peaks.items()})
    assert all(peak < RSS_MAX for peak in peaks.values()), peaks


def download(release, path, stops=()):
    """Reads an answer as fast as it comes, but stops at the given counts of bytes and calls what is there."""
    checker = pattern.Checker()
    stops = sorted(stops, key=lambda stop: stop[0])
    with Client(release.public) as client:
        client.request("GET", release.path(path))
        response = client.final_head()
        assert response.status == 200
        for piece in client.pieces(response):
            checker.update(piece)
            if stops and checker.count >= stops[0][0]:
                stops.pop(0)[1](checker.count)
    return checker


def upload(release, size, stops=()):
    stops = sorted(stops, key=lambda stop: stop[0])
    sent = 0
    with Client(release.public, timeout=120) as client:
        client.request("POST", release.path("/upload"), f"Content-Length: {size}")
        for piece in pattern.pieces(size):
            client.sock.sendall(piece)
            sent += len(piece)
            if stops and sent >= stops[0][0]:
                stops.pop(0)[1](sent)
        response = client.response()
    assert response.status == 200
    return json.loads(response.body)


def settled(value, quiet=1.5):
    """Waits until value() has not changed for that many seconds; returns it."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < quiet:
        time.sleep(0.05)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


def test_download_of_a_gibibyte_to_a_reader_that_stops(release, release_origin):
    ahead = []

    def stop(count):
        ahead.append(settled(lambda: release_origin.sent) - count)

    def crawl(count):
        time.sleep(0.01)

    stops = [(32 << 20, stop), (600 << 20, stop)] + [((100 << 20) + n * 65536, crawl) for n in range(200)]
    checker = download(release, f"/bytes/{GIB}", stops)
    assert checker.count == GIB and checker.exact
    print("bytes ahead of the stopped reader:", ahead)
    assert max(ahead) < AHEAD_MAX


def test_upload_of_a_gibibyte_to_an_origin_that_stops(release, release_origin):
    """The origin reads in fits and starts: the public writer is held back."""
    sent = [0]
    ahead = []
    marks = [32 << 20, 600 << 20]

    def throttle(count):
        if marks and count >= marks[0]:
            marks.pop(0)
            ahead.append(settled(lambda: sent[0]) - count)

    release_origin.throttle = throttle
    with Client(release.public, timeout=120) as client:
        client.request("POST", release.path("/upload"), f"Content-Length: {GIB}")
        for piece in pattern.pieces(GIB):
            client.sock.sendall(piece)
            sent[0] += len(piece)
        response = client.response()
    release_origin.throttle = None
    assert json.loads(response.body) == {"bytes": GIB, "exact": True}
    print("bytes ahead of the stopped origin:", ahead)
    assert max(ahead) < AHEAD_MAX


def test_upload_from_a_slow_writer(release):
    """Some MiB in small writes with pauses, then the rest at once."""
    def crawl(count):
        time.sleep(0.01)

    assert upload(release, 64 << 20, [(n * 65536, crawl) for n in range(200)]) == {"bytes": 64 << 20, "exact": True}


def test_download_from_a_slow_writer(release, release_origin):
    def trickle(wire, sock, request, count):
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n".encode())
        for number, piece in enumerate(pattern.pieces(int(count), most=65536)):
            sock.sendall(piece)
            if number < 200:
                time.sleep(0.01)

    release_origin._do_trickle = trickle
    checker = download(release, f"/trickle/{64 << 20}")
    assert checker.count == 64 << 20 and checker.exact


def test_chunked_transfers_each_way(release):
    size = 64 << 20
    checker = download(release, f"/chunked/{size}")
    assert checker.count == size and checker.exact
    with Client(release.public, timeout=60) as client:
        client.request("POST", release.path("/upload"), "Transfer-Encoding: chunked")
        for piece in pattern.pieces(size, most=100_000):
            client.sock.sendall(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
        client.send(b"0\r\n\r\n")
        assert json.loads(client.response().body) == {"bytes": size, "exact": True}


def test_stopped_reader_does_not_hold_back_others(release):
    """Several readers that stop on one uplink, and a neighbour that gets its answers."""
    stopped = []
    for _ in range(8):
        client = Client(release.public)
        client.request("GET", release.path(f"/bytes/{GIB}"))
        client.final_head()
        stopped.append(client)
    time.sleep(1)  # let every buffer on their way fill
    with Client(release.public) as neighbour:
        begun = time.monotonic()
        for _ in range(20):
            response = neighbour.ask("GET", release.path("/bytes/100000"))
            assert response.whole and len(response.body) == 100000
        assert time.monotonic() - begun < 5
    for client in stopped:
        client.close()


def test_readers_that_leave_cancel_their_transfers(release, release_origin):
    """Stopped in the middle of an answer, then gone: the origin's connection ends within a second."""
    requests = len(release_origin.requests_for(f"/bytes/{GIB}"))
    client = Client(release.public)
    client.request("GET", release.path(f"/bytes/{GIB}"))
    client.final_head()
    request = release_origin.wait_request(f"/bytes/{GIB}", count=requests + 1)
    settled(lambda: release_origin.sent, quiet=0.5)
    client.close()
    left = time.monotonic()
    assert release_origin.wait_aborted(request) - left < 1


def test_sixty_four_transfers_at_once(release):
    """4 MiB to each of 64 readers: memory is bounded for all together."""
    problems = []

    def one():
        try:
            checker = download(release, f"/bytes/{4 << 20}")
            if checker.count != 4 << 20 or not checker.exact:
                problems.append(checker.count)
        except Exception as error:  # noqa: BLE001 - reported below
            problems.append(repr(error))

    threads = [threading.Thread(target=one) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not problems
    wait_until(lambda: all(not t.is_alive() for t in threads), "all readers to end")


def test_a_hundred_stopped_readers_stop_nobody(release):
    """More than the uplink's connection window could hold for all of them."""
    stopped = []
    for _ in range(100):
        client = Client(release.public)
        client.request("GET", release.path(f"/bytes/{GIB}"))
        stopped.append(client)
    for client in stopped:
        client.final_head()
    time.sleep(1)  # let every buffer on their way fill
    with Client(release.public) as neighbour:
        response = neighbour.ask("GET", release.path(f"/bytes/{3 << 20}"))
        assert response.whole and len(response.body) == 3 << 20
    for client in stopped:
        client.close()
