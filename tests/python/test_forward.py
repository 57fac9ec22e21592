"""forward: what is elsewhere is published; events, statistics, log, errors, and the end."""
import asyncio
import logging
import pickle
import socket
import ssl
import threading
import time

import api
import certificates
import pytest
import tcp

import tunnel2
import udp
from asking import get, threads, until
from conftest import start_site
from tunnel2 import _abi, _client


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    certificates.make_ca(folder, "ca")
    certificates.issue(folder, "ca", "own", "DNS:own.example.test")
    return folder


def test_a_port_is_published_until_the_block_ends(options, origin):
    with tunnel2.forward(origin.target, session="port", **options) as t:
        assert t.session == "port" and t.url == t.urls[0] and "/session/port/" in t.url and not t.closed
        answer = get(t, "/inspect")
        assert answer.status == 200
        assert t.stats().requests == 1 and t.stats().uplinks == 1
        assert threads() == ["tunnel2"]
    assert t.closed and t.error is None
    assert threads() == []
    assert get(t, "/inspect").status in (404, 503)


def test_a_session_that_was_made_is_gone_at_once(options, origin, site):
    with tunnel2.forward(origin.target, **options) as t:
        assert len(t.session) == 36
    assert t.session not in api.call(site, "GET", "/v1/sessions", token=site.token).body


def test_two_at_once_are_on_one_thread(options, origin):
    with tunnel2.forward(origin.target, **options) as a, tunnel2.forward(origin.target, **options) as b:
        assert a.url != b.url and threads() == ["tunnel2"]
        a.close()
        assert get(b, "/inspect").status == 200
    assert threads() == []


def test_options_reach_the_library(options, origin, tmp_path):
    (tmp_path / "hello.txt").write_text("from a file")
    with tunnel2.forward(origin.target, routes={"/files": f"files:{tmp_path}"}, add_headers={"X-Added": "yes"},
                         remove_headers=["X-Gone"], host_header="origin.example", basic_auth=("user", "secret"),
                         **options) as t:
        assert get(t, "/inspect").status == 401
        auth = "Authorization: Basic dXNlcjpzZWNyZXQ="
        assert get(t, "/files/hello.txt", auth).body == b"from a file"
        get(t, "/inspect", auth, "X-Gone: 1")
        fields = origin.requests_for("/inspect")[-1].fields
        assert fields.get("x-added") == "yes" and "x-gone" not in fields and fields.get("host") == "origin.example"


def test_a_tcp_port(options):
    origin = tcp.TcpOrigin(tcp.echo)
    try:
        with tunnel2.forward(origin.target, kind="tcp", **options) as t:
            host, port = t.url.split("//")[1].split(":")
            with socket.create_connection((host, int(port)), 10) as conn:
                conn.sendall(b"through")
                assert tcp.exactly(conn, 7) == b"through"
    finally:
        origin.close()


def test_a_udp_port(options):
    with udp.echo() as target, tunnel2.forward(target, kind="udp", **options) as t:
        host, port = t.url.split("//")[1].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(b"datagram", (host, int(port)))
            assert sock.recv(100) == b"datagram"


def test_a_name_for_tls(options, pki):
    """What is published decrypts by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "own.pem", pki / "own-key.pem")

    def handle(conn):
        with context.wrap_socket(conn, server_side=True) as tls:
            tls.sendall(tls.recv(100))

    origin = tcp.TcpOrigin(handle)
    try:
        with tunnel2.forward(origin.target, kind="tls", hostnames=["own.example.test"], **options) as t:
            assert t.url.startswith("tls://own.example.test:")
            trust = ssl.create_default_context(cafile=str(pki / "ca.pem"))
            with socket.create_connection(("127.0.0.1", int(t.url.rpartition(":")[2])), 10) as conn, \
                    trust.wrap_socket(conn, server_hostname="own.example.test") as tls:
                tls.sendall(b"sealed")
                assert tcp.exactly(tls, 6) == b"sealed"
    finally:
        origin.close()


# ---- events ----

def test_events_come_from_the_beginning_to_the_end(options, origin):
    with tunnel2.forward(origin.target, session="events", **options) as t:
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(t.events()))
        thread.start()
        late = t.events()
        assert [next(late).type for _ in range(3)] == ["registered", "connected", "ready"]
    thread.join(10)
    assert [e.type for e in seen] == ["registered", "connected", "ready", "draining", "ended"]
    assert seen[0].session == "events" and seen[0].lease_seconds > 0
    assert seen[1].entry and seen[2].urls == t.urls
    assert seen[-1].error is None
    assert [e.type for e in late] == ["draining", "ended"]


def test_events_for_coroutines(options, origin):
    async def main():
        async with tunnel2.forward_async(origin.target, **options) as t:
            types = []
            async for event in t.events():
                types.append(event.type)
                if event.type == "ready":
                    break
            assert t.stats().uplinks == 1

            async def rest():
                return [event.type async for event in t.events()]
            task = asyncio.create_task(rest())
        assert types == ["registered", "connected", "ready"]
        assert (await task)[-1] == "ended"
        t = await tunnel2.forward_async(origin.target, **options)
        assert t.url
        await t.aclose()
        assert t.closed
    asyncio.run(main())
    assert threads() == []


def test_the_loop_of_coroutines_is_not_held_up(options):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1
        task = asyncio.create_task(tick())
        with pytest.raises(tunnel2.Timeout):
            await tunnel2.forward_async("1", **{**options, "server": "https://127.0.0.1:9", "timeout": 0.5})
        task.cancel()
        assert ticks > 10
    asyncio.run(main())


def test_a_coroutine_that_is_cancelled_leaves_nothing(options):
    async def main():
        task = asyncio.create_task(tunnel2.forward_async("1", **{**options, "server": "https://127.0.0.1:9"})._tunnel
                                   ._open_async())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    asyncio.run(main())
    until(lambda: threads() == [], "the thread's end")


def test_a_lost_entry_is_told_and_found_again(tmp_path, origin):
    site = start_site(tmp_path)
    try:
        with tunnel2.forward(origin.target, retry_max=0.2, **site.options) as t:
            events = t.events()
            site.program.kill()
            lost = next(e for e in events if e.type == "lost")
            assert lost.error is not None and lost.reason
            retrying = next(e for e in events if e.type == "retrying")
            assert 0 <= retrying.delay <= 0.2
            assert not t.closed
            t.close()
    finally:
        site.close()


# ---- errors ----

@pytest.mark.parametrize("options, word", [
    ({"token": "short"}, "token"), ({"session": "No Name"}, "session"), ({"kind": "smtp"}, "kind"),
    ({"server": "ftp://x"}, "ftp"), ({"remote_port": 65536}, "65535"), ({"allow_ips": ["nonsense"]}, "nonsense"),
    ({"allow_ips": "192.0.2.1"}, "list"), ({"connect_timeout": -1}, "seconds"), ({"host_header": "a\0b"}, "NUL"),
])
def test_a_wrong_option_is_an_invalid_error(options, word):
    given = {"token": "t" * 20, **options}
    with pytest.raises(tunnel2.InvalidError, match=f"(?i){word}"):
        tunnel2.forward("8000", **given)
    assert threads() == []


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="colour"):
        tunnel2.forward("8000", token="t" * 20, colour="red")


def test_a_token_that_is_refused_is_an_auth_error(site, options):
    given = {**options, "ca_file": site.ca}
    del given["state_dir"]
    with pytest.raises(tunnel2.AuthError) as caught:
        tunnel2.forward("8000", token="t" * 20, **given)
    assert caught.value.name in ("AUTH", "FORBIDDEN") and caught.value.code < 0 and caught.value.detail
    assert threads() == []


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(tunnel2.NotFoundError, match=str(tmp_path)):
        tunnel2.forward("8000", state_dir=tmp_path)
    with pytest.raises(tunnel2.Error, match="nowhere.pem"):
        tunnel2.forward("8000", token="t" * 20, ca_file=tmp_path / "nowhere.pem")


def test_a_control_plane_out_of_reach_is_a_timeout_that_says_why(options):
    started = time.monotonic()
    with pytest.raises(tunnel2.Timeout, match="refused") as caught:
        tunnel2.forward("8000", **{**options, "server": "https://127.0.0.1:9", "timeout": 0.5})
    assert isinstance(caught.value, TimeoutError) and time.monotonic() - started < 5


def test_an_error_can_be_pickled():
    error = tunnel2.AuthError(-14, "why")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, again.name, again.detail, str(again)) == (
        tunnel2.AuthError, -14, "AUTH", "why", "why (AUTH)")


def test_sessions_are_listed_and_ended(options, origin):
    where = {name: options[name] for name in ("server", "state_dir")}
    with tunnel2.forward(origin.target, session="listed", **options) as t:
        found = {s.session: s for s in tunnel2.sessions(**where)}
        assert (found["listed"].owner, found["listed"].kind, found["listed"].channels) == ("dev", "http", 1)
        tunnel2.end_session("listed", **where)
        with pytest.raises(tunnel2.Error):
            t.wait(20)
        assert t.closed and t.error is not None and list(t.events())[-1].type == "ended"
    with pytest.raises(tunnel2.NotFoundError):
        tunnel2.end_session("listed", **where)


def test_who_may_not_list_sessions(site, options):
    with pytest.raises(tunnel2.AuthError, match="token"):
        tunnel2.sessions(server=options["server"], ca_file=site.ca, token="t" * 20)
    with pytest.raises(tunnel2.CertificateError):
        tunnel2.sessions(server=options["server"], token="t" * 20)
    with pytest.raises(tunnel2.UnavailableError):
        tunnel2.sessions(server="https://127.0.0.1:9", ca_file=site.ca, token="t" * 20)
    with pytest.raises(tunnel2.InvalidError):
        tunnel2.sessions(server="http://127.0.0.1:9", token="t" * 20)


def test_after_the_end_there_is_nothing_to_ask(own_site, origin):
    with tunnel2.forward(origin.target, **own_site.options) as t:
        assert not t.wait(0.05)
        t.close()
        assert t.wait(1) and t.error is None
        t.close()
        with pytest.raises(tunnel2.StateError):
            t.stats()


# ---- the log ----

def test_the_log_goes_to_logging(options, origin, caplog):
    with caplog.at_level(logging.DEBUG, "tunnel2"), tunnel2.forward(origin.target, **options) as t:
        get(t, "/drop")
    names = {r.name for r in caplog.records}
    assert "tunnel2.client" in names
    assert not any(options["state_dir"].joinpath("token").read_text().strip() in r.getMessage() for r in caplog.records)


def test_pairs_of_a_log_record_are_in_its_text_and_beside_it(caplog):
    pairs = (_abi.LogPair * 2)((b"session", b"main"), (b"status", b"200"))
    with caplog.at_level(logging.DEBUG, "tunnel2"):
        _client._on_log(3, b"net", b"a sentence with 100%", pairs, 2, None)
    record, = caplog.records
    assert record.getMessage() == "a sentence with 100% session=main status=200" and record.name == "tunnel2.net"
    assert record.tunnel2 == {"session": "main", "status": "200"} and record.levelno == logging.DEBUG


def test_the_level_of_the_logger_is_the_threshold(options, origin, caplog):
    with caplog.at_level(logging.ERROR, "tunnel2"), tunnel2.forward(origin.target, **options) as t:
        get(t, "/inspect")
    assert not caplog.records


def test_of_very_many_events_the_last_are_kept():
    client = _client.Client({"token": "t" * 20})
    for i in range(_client.EVENTS_KEPT + 10):
        client.on_event(_abi.ClientEvent(type=5, delay_ms=i * 1000))
    assert client.event(0)[0].delay == 10 and client.event(20)[0].delay == 20
    assert client.event(_client.EVENTS_KEPT + 9)[0].delay == _client.EVENTS_KEPT + 9
    assert client.event(_client.EVENTS_KEPT + 10) == (None, _client.EVENTS_KEPT + 10)
