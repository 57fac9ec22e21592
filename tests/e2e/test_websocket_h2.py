"""WebSockets between every pair of versions: the public by HTTP/1.1 (`websockets`) or by HTTP/2 (`h2` and `wsproto`), the
origin (`hypercorn`) by HTTP/1.1, by HTTP/2 with prior knowledge, or by HTTP/2 over TLS."""
import asyncio
import os

import pytest
import websockets
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

from asgi_origin import AsgiOrigin
from certificates import issue, make_ca
from h2_websocket import H2Client, Refused
from programs import Site, wait_until
from wire import ask

ORIGINS = {"http": "1.1", "h2c": "2", "https": "2"}  # by scheme: what it is asked by


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    make_ca(folder, "ca")
    return issue(folder, "ca", "origin")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """tunneld and proxyentry."""
    site = Site(tmp_path_factory.mktemp("websockets"))
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


def serve(site, origin, scheme, pair):
    """The public path of a tunnelc for it."""
    trust = ["--origin-ca", pair[0].parent / "ca.pem"] if scheme == "https" else []
    return f"/session/{site.tunnelc(f'{scheme}://127.0.0.1:{origin.port}', *trust).session}"


@pytest.fixture(scope="module", params=sorted(ORIGINS))
def origin(request, deployed, pair):
    origin = AsgiOrigin(pair if request.param == "https" else None)
    origin.path, origin.version = serve(deployed, origin, request.param, pair), ORIGINS[request.param]
    yield origin
    origin.close()


class Http1:
    """The public side by HTTP/1.1, as h2_websocket has it."""

    def __init__(self, address):
        self.base = f"ws://{address[0]}:{address[1]}"

    def connect(self, path, subprotocol=None, deflate=False):
        try:
            # hypercorn does not end a stream whose WebSocket the public has closed: it is not waited for.
            ws = connect(self.base + path, subprotocols=[subprotocol] if subprotocol else None, max_size=8 << 20,
                         compression="deflate" if deflate else None, origin="http://page.example", close_timeout=0.2)
        except websockets.InvalidStatus as refusal:
            raise Refused(refusal.response.status_code) from refusal
        return Http1WebSocket(ws)

    def close(self):
        pass


class Http1WebSocket:
    def __init__(self, ws):
        self.ws, self.subprotocol = ws, ws.subprotocol
        self.fields = {name.lower(): value for name, value in ws.response.headers.raw_items()}

    def send(self, message):
        self.ws.send(message)

    def recv(self):
        return self.ws.recv(timeout=30)

    def ping(self, payload):
        assert self.ws.ping(payload).wait(30)

    def close(self, code=1000, reason=""):
        self.ws.close(code, reason)

    def closed(self):
        with pytest.raises(websockets.ConnectionClosed):
            self.recv()
        return self.ws.close_code, self.ws.close_reason


@pytest.fixture(params=["http1", "http2"])
def public(request, deployed):
    client = (Http1 if request.param == "http1" else H2Client)(deployed.public)
    client.version = request.param
    yield client
    client.close()


# ---- every pair ----

def test_messages_pass(public, origin):
    ws = public.connect(origin.path + "/chat?room=1", subprotocol="chat")
    assert ws.subprotocol == "chat" and ws.fields["x-answer"] == "yes"
    for message in ("hello", "späße", b"\x00\xff" * 100, "x" * 70000, b""):
        ws.send(message)
        assert ws.recv() == message
    scope = origin.seen[-1]
    assert scope["http_version"] == origin.version and scope["raw_path"] == b"/chat" and scope["query_string"] == b"room=1"
    fields = dict(scope["headers"])
    assert fields[b"origin"] == b"http://page.example" and fields[b"x-forwarded-for"] == b"127.0.0.1"
    ws.close()


def test_keys_and_acceptances_stay_with_http1(public, origin):
    """RFC 8441, 5: who speaks HTTP/2 neither sends a key nor is told that it was accepted."""
    ws = public.connect(origin.path + "/")
    assert (b"sec-websocket-key" in dict(origin.seen[-1]["headers"])) == (origin.version == "1.1")
    assert ("sec-websocket-accept" in ws.fields) == (public.version == "http1")
    ws.close()


@pytest.mark.parametrize("code, reason", [(1000, "done"), (1001, "away"), (3000, "x" * 100), (4999, "mine")])
def test_close_codes_pass_both_ways(public, origin, code, reason):
    ws = public.connect(origin.path + "/")
    ws.send(f"close {code} {reason}")
    assert ws.closed() == (code, reason)
    count = len(origin.closed)
    ws = public.connect(origin.path + "/")
    ws.close(code, reason)
    wait_until(lambda: origin.closed[count:], "the close at the origin")


def test_pings_are_answered(public, origin):
    ws = public.connect(origin.path + "/")
    ws.ping(b"from the public")
    ws.close()


def test_fragments_pass(public, origin):
    ws = public.connect(origin.path + "/")
    ws.send(iter(["a", "b" * 70000, "c"]))
    assert ws.recv() == "a" + "b" * 70000 + "c"
    ws.close()


@pytest.mark.parametrize("deflate", [False, True])
def test_messages_of_a_mebibyte_pass(public, origin, deflate):
    ws = public.connect(origin.path + "/", deflate=deflate)
    assert ("permessage-deflate" in ws.fields.get("sec-websocket-extensions", "")) == deflate
    for message in (os.urandom(1 << 20), b"z" * (1 << 20), "t" * (1 << 20)):
        ws.send(message)
        assert ws.recv() == message
    ws.send(f"big {4 << 20}")
    assert ws.recv() == b"B" * (4 << 20)
    ws.close()


def test_refusals_pass(public, origin):
    with pytest.raises(Refused) as refusal:
        public.connect(origin.path + "/refuse")
    assert refusal.value.status == 403
    ws = public.connect(origin.path + "/")
    ws.send("still here")
    assert ws.recv() == "still here"
    ws.close()


def test_requests_pass_beside_websockets(public, origin, deployed):
    ws = public.connect(origin.path + "/")
    answer = ask(deployed.public, "GET", origin.path + "/")
    assert (answer.status, answer.body.decode()) == (200, origin.version)
    ws.send("beside")
    assert ws.recv() == "beside"
    ws.close()


def test_a_public_client_that_goes_away_ends_it_at_the_origin(deployed, origin):
    client = H2Client(deployed.public)
    client.connect(origin.path + "/")
    count = len(origin.closed)
    client.close()
    wait_until(lambda: origin.closed[count:], "the end at the origin")


# ---- many at once ----

def test_a_hundred_on_one_public_connection(deployed, origin):
    origin.open_most = 0
    with H2Client(deployed.public) as client:
        many = [client.websocket(f"{origin.path}/{number}") for number in range(100)]
        for ws in many:
            ws.opened()
        for turn in range(3):
            for number, ws in enumerate(many):
                ws.send(f"{number} {turn}")
            assert [ws.recv() for ws in many] == [f"{number} {turn}" for number in range(100)]
    assert origin.open_most == 100


def test_three_hundred_by_http1(deployed, origin):
    count, opened = 300, 0
    base = f"ws://{deployed.public[0]}:{deployed.public[1]}{origin.path}"

    async def one(number, everybody):
        nonlocal opened
        async with connect_async(f"{base}/{number}", open_timeout=60, close_timeout=0.5, ping_interval=None) as ws:
            opened += 1
            if opened == count:
                everybody.set()
            await asyncio.wait_for(everybody.wait(), 60)
            await ws.send(str(number))
            assert await asyncio.wait_for(ws.recv(), 60) == str(number)

    async def main():
        everybody = asyncio.Event()
        await asyncio.gather(*(one(number, everybody) for number in range(count)))

    asyncio.run(main())


# ---- origins whose HTTP/2 takes none ----

def test_over_tls_it_is_asked_by_http1_then(public, deployed, pair):
    origin = AsgiOrigin(pair, declines=True)
    path = serve(deployed, origin, "https", pair)
    for _ in range(2):
        ws = public.connect(path + "/")
        ws.send("hello")
        assert ws.recv() == "hello"
        assert origin.seen[-1]["http_version"] == "1.1"
        assert ask(deployed.public, "GET", path + "/").body == b"2"
        ws.close()
    origin.close()


def test_by_prior_knowledge_it_is_refused_then(public, deployed, pair):
    origin = AsgiOrigin(declines=True)
    path = serve(deployed, origin, "h2c", pair)
    with pytest.raises(Refused) as refusal:
        public.connect(path + "/")
    assert refusal.value.status == 501
    assert ask(deployed.public, "GET", path + "/").body == b"2"
    origin.close()

