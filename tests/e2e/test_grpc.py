"""gRPC through the tunnel, with grpcio's own client and server: all four kinds of call, deadlines, cancellation, errors.

The client speaks HTTP/2 in the clear to the entry's public port by prior knowledge, the server stands behind h2c:// or
https://.
"""
import hashlib
import queue
import threading
import time
from concurrent import futures

import grpc
import pytest

import certificates
from grpc_service import STREAMS, Calls, Service, start_server
from programs import Site, wait_until

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("grpc"))
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module", params=["h2c", "https"])
def published(request, site, tmp_path_factory):
    """A gRPC server behind the tunnel: (service, calls through it)."""
    service = Service()
    arguments = []
    credentials = None
    if request.param == "https":
        folder = tmp_path_factory.mktemp("certificates")
        certificates.make_ca(folder, "ca")
        cert, key = certificates.issue(folder, "ca", "server")
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
        arguments = ["--origin-ca", folder / "ca.pem"]
    server, port = start_server(service, credentials)
    name = f"grpc-{request.param}"
    site.tunnelc(f"{request.param}://127.0.0.1:{port}", *arguments, session=name)
    calls = Calls("{}:{}".format(*site.public), f"{name}.localhost")
    yield service, calls
    calls.close()
    server.stop(0)


@pytest.fixture
def calls(published):
    published[0].cancelled.clear()
    return published[1]


@pytest.fixture
def service(published):
    return published[0]


# ---- the four kinds ----

def test_unary(calls):
    for message in (b"", b"hello", bytes(100_000)):
        assert calls.unary("Echo")(message, timeout=20) == message


def test_server_streaming(calls):
    assert [int(message) for message in calls.down("Count")(b"1000", timeout=20)] == list(range(1000))
    assert list(calls.down("Count")(b"0", timeout=20)) == []


def test_client_streaming(calls):
    assert calls.up("Sum")((b"%d" % number for number in range(1000)), timeout=20) == b"499500"
    assert calls.up("Sum")(iter(()), timeout=20) == b"0"


def test_bidirectional_streaming_alternates(calls):
    """Each message is answered before the next one is sent: nothing waits for more."""
    answered = threading.Event()

    def talk():
        for number in range(100):
            yield b"%d" % number
            assert answered.wait(20)
            answered.clear()

    for number, answer in enumerate(calls.both("Chat")(talk(), timeout=60)):
        assert answer == b"you said %d" % number
        answered.set()
    assert number == 99


# ---- how calls end ----

def test_error_in_trailers(calls):
    with pytest.raises(grpc.RpcError) as raised:
        calls.unary("Fail")(b"", timeout=20)
    error = raised.value
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "no: ü, \n and %"
    trailing = dict(error.trailing_metadata())
    assert trailing["x-why"] == "because" and trailing["x-bytes-bin"] == b"\x00\xff"


def test_error_after_messages(calls):
    got = []
    with pytest.raises(grpc.RpcError) as raised:
        for message in calls.down("FailLate")(b"", timeout=20):
            got.append(message)
    assert got == [b"one", b"two"] and raised.value.code() == grpc.StatusCode.DATA_LOSS


def test_unknown_method(calls):
    with pytest.raises(grpc.RpcError) as raised:
        calls.unary("Nothing")(b"", timeout=20)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_deadline_reaches_the_server_and_ends_the_call(calls, service):
    assert 1000 < int(calls.unary("Deadline")(b"", timeout=10)) < 11000  # it is rounded up on its way
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        calls.unary("Never")(b"", timeout=0.5)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 5
    assert service.cancelled.wait(5)


def test_cancellation_reaches_the_server(calls, service):
    call = calls.down("Forever")(b"", timeout=60)
    assert next(call) == b"0"
    call.cancel()
    with pytest.raises(grpc.RpcError) as raised:
        list(call)
    assert raised.value.code() == grpc.StatusCode.CANCELLED
    assert service.cancelled.wait(5)


def test_metadata_both_ways(calls):
    answer, call = calls.unary("Metadata").with_call(b"", timeout=20, metadata=(("x-asked", "a b"), ("x-asked-bin", b"\x01\x00")))
    assert answer == b"ok"
    assert dict(call.initial_metadata())["x-initial"] == "a b"
    assert dict(call.trailing_metadata())["x-trailing-bin"] == b"\x01\x00"


# ---- much, and many ----

def test_stream_of_a_hundred_megabytes(calls):
    size = 0
    digest = hashlib.sha256()
    for piece in calls.down("Bulk")(b"100", timeout=200):
        size += len(piece)
        digest.update(piece)
    expected = hashlib.sha256(bytes(range(256)) * 4096 * 100)
    assert size == 100 << 20 and digest.digest() == expected.digest()


def test_hundred_megabytes_up(calls):
    piece = bytes(range(256)) * 4096
    expected = hashlib.sha256(piece * 100).hexdigest()
    answer = calls.up("Hash")((piece for _ in range(100)), timeout=200)
    assert answer == b"%d %s" % (100 << 20, expected.encode())


def test_a_thousand_calls_at_once(calls):
    waiting = [calls.unary("Echo").future(b"%d" % number, timeout=100) for number in range(1000)]
    assert [int(call.result()) for call in waiting] == list(range(1000))


def test_streams_at_once(calls):
    """STREAMS streams open together, each answered in turn."""
    gate = threading.Event()

    def talk(number):
        yield b"%d first" % number
        gate.wait(60)
        yield b"%d second" % number

    open_calls = [calls.both("Chat")(talk(number), timeout=100) for number in range(STREAMS)]
    for number, call in enumerate(open_calls):
        assert next(call) == b"you said %d first" % number
    gate.set()
    for number, call in enumerate(open_calls):
        assert list(call) == [b"you said %d second" % number]


def test_quiet_stream_lives(site):
    """Both sides open and nothing said for longer than anything waits for content."""
    server, port = start_server(Service())
    site.tunnelc(f"h2c://127.0.0.1:{port}", session="quiet")
    calls = Calls("{}:{}".format(*site.public), "quiet.localhost")
    said = queue.Queue()
    answers = calls.both("Chat")(iter(said.get, None), timeout=200)
    for word in (b"before", b"after"):
        said.put(word)
        assert next(answers) == b"you said " + word
        time.sleep(65 if word == b"before" else 0)
    said.put(None)
    assert list(answers) == []
    calls.close()
    server.stop(0)


# ---- the server ends, and comes again ----

def test_server_that_restarts_is_found_again(site):
    service = Service()
    server, port = start_server(service)
    site.tunnelc(f"h2c://127.0.0.1:{port}", session="restarts")
    calls = Calls("{}:{}".format(*site.public), "restarts.localhost")
    assert calls.unary("Echo")(b"1", timeout=20) == b"1"
    server.stop(0).wait()
    with pytest.raises(grpc.RpcError) as raised:
        calls.unary("Echo")(b"2", timeout=20)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    again = grpc.server(futures.ThreadPoolExecutor(4))
    again.add_generic_rpc_handlers((service.handlers(),))
    assert again.add_insecure_port(f"127.0.0.1:{port}") == port
    again.start()

    def works():
        try:
            return calls.unary("Echo")(b"3", timeout=20) == b"3"
        except grpc.RpcError:
            return False

    wait_until(works, "the server to be found again")
    calls.close()
    again.stop(0)


def test_server_that_drains_loses_no_call(site):
    """GOAWAY with calls under way: they end well, and the next ones get a new connection."""
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.max_connection_age_ms", 300),
                                                                   ("grpc.max_connection_age_grace_ms", 20000)])
    server.add_generic_rpc_handlers((service.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    site.tunnelc(f"h2c://127.0.0.1:{port}", session="drains")
    calls = Calls("{}:{}".format(*site.public), "drains.localhost")
    end = time.monotonic() + 3
    count = 0
    while time.monotonic() < end:
        waiting = [calls.unary("Echo").future(b"%d" % number, timeout=20) for number in range(20)]
        assert [int(call.result()) for call in waiting] == list(range(20))
        count += 20
    assert count > 100
    calls.close()
    server.stop(0)
