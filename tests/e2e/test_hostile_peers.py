"""What HTTP/2 peers other than the public may do, and when it ends: origins, tunnel clients, entries, clients of the API."""
import re
import socket
import ssl
import threading

import pytest

import ptth_client
from api import call, register
from fake_entry import FakeEntry
from h2_hostile import BAD_FIELDS, FLOODS, Caller, RstStreamFrame, Server, head
from h2wire import ENHANCE_YOUR_CALM, H2, PROTOCOL_ERROR, flood
from hyperframe.frame import SettingsFrame
from programs import Site, wait_until
from wire import Closed, ask

ANSWER = [(":status", "200")]
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "x")]
TOO_MUCH = "is ended: too much of "


class Asking:
    """A public request on a thread of its own; `status` once it is joined, None when it was cut."""

    def __init__(self, site, session, method="GET", body=b""):
        self.status = self.problem = None
        self.thread = threading.Thread(target=self._ask, args=(site, session, method, body))
        self.thread.start()

    def _ask(self, site, session, method, body):
        try:
            response = ask(site.public, method, f"/session/{session}/", body=body)
            self.status = response.status if response.whole else None
        except (Closed, OSError) as problem:
            self.problem = problem

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.status


def asking(site, session, kind):
    """The request that the flood answers: one with content, where that is what it is about."""
    return Asking(site, session, "POST", b"x" * 60000) if kind == "tiny windows" else Asking(site, session)


def said_why(program, name, mark):
    wait_until(lambda: re.search(TOO_MUCH + name, program.log()[mark:]), f"{program.label} says why")


def settings_for(kind):
    return {SettingsFrame.INITIAL_WINDOW_SIZE: 1} if kind == "tiny windows" else None


def alive(site):
    assert ask(site.public, "GET", site.path("/status/200")).status == 200


# ---- Origins: tunnelc is the client ----

@pytest.fixture(scope="module")
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(30)
        yield made


@pytest.fixture(scope="module")
def to_origin(shared, listener):
    """A client whose origin is the listener."""
    program = shared.tunnelc(f"h2c://127.0.0.1:{listener.getsockname()[1]}", session="hostile")
    program.site = shared
    return program


@pytest.mark.parametrize("kind", FLOODS)
def test_origin_that_floods_is_left(to_origin, listener, kind):
    name, frames = FLOODS[kind]
    mark = len(to_origin.log())
    request = asking(to_origin.site, "hostile", kind)
    origin = Server(listener.accept()[0], settings=settings_for(kind))
    assert origin.flood(frames(origin.asked(), ANSWER)) == ENHANCE_YOUR_CALM
    said_why(to_origin, name, mark)
    origin.close()
    assert request.join() in (502, None)
    alive(to_origin.site)


def test_origin_s_malformed_heads_are_reset(to_origin, listener):
    origin = None
    for number, field in enumerate(BAD_FIELDS):
        request = Asking(to_origin.site, "hostile")
        origin = origin or Server(listener.accept()[0])
        stream = origin.asked(number)
        origin.send(head(stream, [*ANSWER, field], end=True))
        reset = origin.until(RstStreamFrame, lambda frame, stream=stream: frame.stream_id == stream)
        assert reset and reset.error_code == PROTOCOL_ERROR, field
        assert request.join() == 502
    request = Asking(to_origin.site, "hostile")
    origin.send(head(origin.asked(len(BAD_FIELDS)), ANSWER, end=True))  # all on one connection
    assert request.join() == 200
    origin.close()


# ---- Uplinks: the entry is the client ----

def attach(site, session, kind=None):
    given = register(site, session)
    context = ssl.create_default_context(cafile=str(site.ca))
    sock, rest = ptth_client.attach(given["entries"][0]["uplink"], context, given["ticket"])
    return Server(sock, rest, settings=settings_for(kind))


@pytest.mark.parametrize("kind", FLOODS)
def test_tunnel_client_that_floods_is_cut_off(shared, kind):
    name, frames = FLOODS[kind]
    session = "flood-" + kind.replace(" ", "-")
    client = attach(shared, session, kind)
    entry = shared.programs[1]
    mark = len(entry.log())
    request = asking(shared, session, kind)
    assert client.flood(frames(client.asked(), ANSWER)) == ENHANCE_YOUR_CALM
    said_why(entry, name, mark)
    client.close()
    assert request.join() in (502, 503, None)
    alive(shared)


def test_tunnel_client_s_malformed_heads_are_reset(shared):
    client = attach(shared, "malformed")
    for number, field in enumerate(BAD_FIELDS):
        request = Asking(shared, "malformed")
        stream = client.asked(number)
        client.send(head(stream, [*ANSWER, field], end=True))
        reset = client.until(RstStreamFrame, lambda frame, stream=stream: frame.stream_id == stream)
        assert reset and reset.error_code == PROTOCOL_ERROR, field
        assert request.join() == 502
    request = Asking(shared, "malformed")
    client.send(head(client.asked(len(BAD_FIELDS)), ANSWER, end=True))
    assert request.join() == 200
    client.close()


# ---- Uplinks: tunnelc is the server ----

@pytest.fixture(scope="module")
def faked(tmp_path_factory, shared_origin):
    site = Site(tmp_path_factory.mktemp("faked"), own=True)
    try:
        site.tunneld()
        site.fake = FakeEntry(site)
        site.client = site.tunnelc(shared_origin.target, "--log-level", "info", session="main", ready=False)
        yield site
    finally:
        site.close()
        site.fake.listener.close()


@pytest.mark.parametrize("kind", ["settings", "pings", "empty data", "padded data", "continuations", "bomb"])
def test_entry_that_floods_is_left(faked, kind):
    name, frames = FLOODS[kind]
    entry = faked.fake.accept()
    mark = len(faked.client.log())
    assert entry.flood(frames(1, REQUEST)) == ENHANCE_YOUR_CALM
    said_why(faked.client, name, mark)
    entry.close()


# Each would be another request, or two, on a request line of HTTP/1.1.
BAD_REQUESTS = [{":path": "/a b"}, {":path": "/ HTTP/1.1\r\nx: y"}, {":path": "a"}, {":path": ""}, {":method": "GET /"},
                {":authority": "x\r\ny: z"}, {":authority": "x/y"}, {":authority": "a@x"}]


def test_entry_s_malformed_heads_are_reset(faked, shared_origin):
    entry = faked.fake.accept()
    heads = [[*REQUEST, field] for field in BAD_FIELDS] + [list({**dict(REQUEST), **bad}.items()) for bad in BAD_REQUESTS]
    before = len(shared_origin.requests)
    for number, fields in enumerate(heads):
        entry.send(head(2 * number + 1, fields, end=True))
        reset = entry.until(RstStreamFrame, lambda frame, stream=2 * number + 1: frame.stream_id == stream)
        assert reset and reset.error_code == PROTOCOL_ERROR, fields
    assert len(shared_origin.requests) == before
    entry.close()


# ---- The control plane's API ----

@pytest.mark.parametrize("kind", ["settings", "pings", "pongs", "priorities", "updates", "empty data", "padded data",
                                  "continuations", "bomb"])
def test_api_client_that_floods_is_cut_off(shared, kind):
    context = ssl.create_default_context(cafile=str(shared.ca))
    context.set_alpn_protocols(["h2"])
    host, port = shared.control.rsplit(":", 1)
    sock = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
    client = Caller(sock)
    name, frames = FLOODS[kind]
    control = shared.programs[0]
    mark = len(control.log())
    assert client.flood(frames(1, REQUEST)) == ENHANCE_YOUR_CALM
    said_why(control, name, mark)
    client.close()
    assert call(shared, "GET", "/v1/keys").status == 200


def test_api_client_that_resets_rapidly_is_cut_off(shared):
    context = ssl.create_default_context(cafile=str(shared.ca))
    context.set_alpn_protocols(["h2"])
    host, port = shared.control.rsplit(":", 1)
    with H2((host, int(port)), tls=context, name=host) as client:
        def frames():
            while True:
                frame = client.headers(client.head("/v1/keys"))
                yield frame
                yield RstStreamFrame(frame.stream_id, 8)
        assert flood(client, frames(), 20000) == ENHANCE_YOUR_CALM
    assert call(shared, "GET", "/v1/keys").status == 200
