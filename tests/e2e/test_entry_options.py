"""Options that bound what the public may do: HTTP/2's numbers, each at its bound, and the oldest TLS."""
import signal
import subprocess

import pytest

from h2wire import (ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, H2, PROTOCOL_ERROR, GoAwayFrame, HeadersFrame, PingFrame,
                    RstStreamFrame, SettingsFrame, WindowUpdateFrame)
from programs import Site, address, run
from wire import ask

STREAMS, WINDOW, HEAD, FACTOR = 3, 16384, 4096, 2
UPLINK_WINDOW = 512 * 1024  # of a stream


@pytest.fixture(scope="module")
def bounded(tmp_path_factory, shared_origin):
    site = Site(tmp_path_factory.mktemp("bounded"))
    try:
        site.tunneld()
        site.entry = site.proxyentry("--public-tls", "localhost:0", "--h2-max-streams", STREAMS, "--h2-window", WINDOW,
                                     "--h2-max-header-list", HEAD, "--h2-flood-factor", FACTOR)
        site.client = site.tunnelc(shared_origin.target, session="main")
        site.session = "main"
        yield site
    finally:
        site.close()


def test_settings_say_what_was_given(bounded):
    with H2(bounded.public) as client:
        said = client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" not in f.flags).settings
        assert said[SettingsFrame.MAX_CONCURRENT_STREAMS] == STREAMS
        assert said[SettingsFrame.INITIAL_WINDOW_SIZE] == WINDOW
        assert said[SettingsFrame.MAX_HEADER_LIST_SIZE] == HEAD


def test_one_stream_too_many_ends_the_connection(bounded, shared_origin):
    """Of a peer that has said that it knows the bound (RFC 9113, 5.1.2)."""
    with H2(bounded.public) as client:
        client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" in f.flags)
        streams = [client.request(bounded.path(f"/gate/streams-{n}")) for n in range(STREAMS)]
        for _ in streams:  # all of them are answered at once, and go on
            client.until(lambda f: isinstance(f, HeadersFrame))
        client.request(bounded.path("/status/200"))
        assert client.goaway_code() == PROTOCOL_ERROR
        for n in range(STREAMS):
            shared_origin.gate(f"streams-{n}").set()


def test_a_head_may_be_as_large_as_said_and_no_larger(bounded):
    with H2(bounded.public) as client:
        head = client.head(bounded.path("/status/200"))
        size = sum(len(name) + len(value) + 32 for name, value in head)  # RFC 9113, 6.5.2
        for length, status in ((HEAD - size - 32 - 3, 200), (HEAD - size - 32 - 3 + 1, 431)):
            assert client.ask(bounded.path("/status/200"), more=[("x-f", "y" * length)])[0] == status


def test_content_that_nobody_takes_is_held_up_to_the_window(bounded):
    """With a client that stands still, an uplink's window fills, and then the public's: one byte more is an error."""
    with H2(bounded.public) as client:
        client.until(lambda f: isinstance(f, SettingsFrame) and "ACK" in f.flags)
        bounded.client.signal(signal.SIGSTOP)
        try:
            stream, sent, window = client.request(bounded.path("/echo"), "POST", end=False), 0, WINDOW
            client.sock.settimeout(2)
            try:
                while True:  # there is an update for each half of the window, as long as what lies before the client takes some
                    client.data(stream, bytes(window - sent))
                    sent = window
                    window += client.until(lambda f: isinstance(f, WindowUpdateFrame) and f.stream_id == stream).window_increment
            except TimeoutError:
                client.sock.settimeout(30)
            assert sent <= UPLINK_WINDOW + 2 * WINDOW
            client.send(PingFrame(0, b"standing"))
            client.until(lambda f: isinstance(f, PingFrame) and f.opaque_data == b"standing")
            client.data(stream, b"!")
            end = client.until(lambda f: isinstance(f, GoAwayFrame) or isinstance(f, RstStreamFrame))
            assert end.error_code == FLOW_CONTROL_ERROR
        finally:
            bounded.client.signal(signal.SIGCONT)
    assert ask(bounded.public, "GET", bounded.path("/status/200")).status == 200


def test_floods_are_borne_so_many_times(bounded):
    """Of PINGs 100 at once are borne by default."""
    pings = 100 * FACTOR
    with H2(bounded.public) as client:
        client.send(*[PingFrame(0, n.to_bytes(8, "big")) for n in range(pings)])
        client.until(lambda f: isinstance(f, PingFrame) and f.opaque_data == (pings - 1).to_bytes(8, "big"))
        client.send(*[PingFrame(0, bytes(8)) for _ in range(pings)])
        assert client.goaway_code() == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("option, wrong", [
    ("--h2-max-streams", "0"), ("--h2-max-streams", "1001"), ("--h2-window", "16383"), ("--h2-window", "16777217"),
    ("--h2-max-header-list", "4095"), ("--h2-max-header-list", "65537"), ("--h2-flood-factor", "0"),
    ("--h2-flood-factor", "many"), ("--tls-min", "1.1"), ("--tls-min", "")])
def test_what_is_past_its_range_is_a_usage_error(tmp_path, option, wrong):
    for program, entry in (("proxyentry", []), ("tunneld", ["--entry"])):
        status, _, said = run(program, "--dev", "--state-dir", tmp_path / "s", *entry, option, wrong)
        assert status == 2 and option in said


# ---- TLS ----

def handshake(where, version):
    """openssl's exit status and words, for that version alone."""
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % where, f"-tls{version}", "-cipher",
                           "DEFAULT@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("listener", ["public", "uplink", "control"])
def test_tls_before_1_2_is_refused(bounded, listener):
    where = {"public": ("127.0.0.1", address(bounded.entry.ready["public_tls"])[1]), "uplink": bounded.uplink,
             "control": address(bounded.control)}[listener]
    for version in ("1", "1_1"):
        status, said = handshake(where, version)
        assert status != 0 and "Cipher is (NONE)" in said, said
    status, said = handshake(where, "1_2")
    assert status == 0 and "Cipher is ECDHE" in said, said


def test_tls_1_3_alone_or_a_word_about_it(tmp_path, origin):
    """What this build's mbedTLS can do: 3.x has TLS 1.3."""
    state = tmp_path / "probe"
    status, _, said = run("tunneld", "--dev", "--state-dir", state, "--tls-min", "1.3", "--listen", "127.0.0.1:1")
    if "has no TLS 1.3" in said:
        assert status == 2
        for program, more in (("tunneld", []), ("tunneld", ["--entry"]), ("proxyentry", [])):
            addresses = ["--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0"] if program == "proxyentry" or more else []
            status, _, said = run(program, "--dev", "--state-dir", state, *more, *addresses, "--tls-min", "1.3")
            assert status == 2 and "this build's mbedTLS has no TLS 1.3" in said
        return
    site = Site(tmp_path)
    try:
        site.tunneld("--tls-min", "1.3")
        entry = site.proxyentry("--tls-min", "1.3", "--public-tls", "localhost:0")
        site.client = site.tunnelc(origin.target, session="main")
        for where in (("127.0.0.1", address(entry.ready["public_tls"])[1]), site.uplink, address(site.control)):
            assert "Cipher is (NONE)" in handshake(where, "1_2")[1]
            assert "Cipher is TLS_" in handshake(where, "1_3")[1]
        assert ask(site.public, "GET", "/session/main/status/200").status == 200
    finally:
        site.close()


# ---- tunneld ----

@pytest.mark.parametrize("option", ["--public", "--uplink", "--tcp-ports", "--trusted-proxy", "--h2-window",
                                    "--accept-proxy-protocol", "--domain"])
def test_options_of_an_entry_without_one_are_a_usage_error(tmp_path, option):
    value = {"--accept-proxy-protocol": [], "--h2-window": ["65536"], "--tcp-ports": ["20000-20001"]}.get(option, ["127.0.0.1"])
    status, out, said = run("tunneld", "--dev", "--state-dir", tmp_path / "s", "--listen", "127.0.0.1:0", option, *value)
    assert status == 2 and f"{option} needs --entry" in said and out == ""


def test_options_of_an_entry_with_the_value_they_have_by_default_are_seen_too(tmp_path):
    status, _, said = run("tunneld", "--dev", "--state-dir", tmp_path / "s", "--h2-max-streams=128")
    assert status == 2 and "--h2-max-streams needs --entry" in said
