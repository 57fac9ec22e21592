"""Rolling restarts under a steady load: no request fails, and no WebSocket ends before the time for draining has."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame

import tcp
import test_udp
from activation import Activation
from api import call
from h2wire import H2
from metrics import Metrics
from programs import DEADLINE, wait_until
from steady import Steady
from test_drain import begin
from websocket_origin import WebSocketOrigin
from wire import Client, Closed

DRAIN = ("--drain-timeout", "60")
AFTER = 1.5  # seconds of load behind each restart


@pytest.fixture
def sockets():
    origin = WebSocketOrigin()
    yield origin
    origin.close()


def is_head(frame):
    return isinstance(frame, HeadersFrame)


def serve(site, origin, sockets):
    """Two clients of the session, so that it is one of many, and one for WebSockets."""
    site.session = "main"
    for target, session in ((origin.target, "main"), (origin.target, "main"), (sockets.port, "sockets")):
        site.tunnelc(target, session=session)
    return Steady(site.public, "/session/main/bytes/100", "/session/sockets/")


def go_on(load, seconds=AFTER):
    end, before = time.monotonic() + seconds, load.total()
    wait_until(lambda: time.monotonic() > end and load.total() > before + 50, "a load")


def check(load):
    print(f"requests: {load.done}, slowest {load.slowest:.3f} s, WebSockets: {load.open_websockets}")
    assert not load.failures, f"{len(load.failures)} of {load.total()}: {load.failures[:8]}"


def test_entry_by_handover(site, origin, sockets):
    site.tunneld()
    old = site.proxyentry(*DRAIN)
    olds = []
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        for _ in range(2):
            new = site.proxyentry("--handover", *DRAIN)
            new.event("serving")
            old.event("draining")
            assert (new.public, new.uplink, new.admin) == (old.public, old.uplink, old.admin)
            olds.append(old)
            old = new
            go_on(load)
        assert olds[0].process.poll() is None  # its WebSockets go on
    check(load)
    for program in olds:
        assert program.wait() == 0


def test_tunneld_with_an_entry_by_handover(site, origin, sockets):
    old = site.tunneld("--entry", "--entry-id", "east", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0", *DRAIN)
    sessions = []
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        for _ in range(2):
            new = site.tunneld("--entry", "--entry-id", "east", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0",
                               "--handover", *DRAIN)
            old.event("draining")
            assert (new.ready["control"], new.public) == (old.ready["control"], old.public)
            old = new
            go_on(load)
            sessions.append({s["session"] for s in call(site, "GET", "/v1/sessions", token=site.token).json["sessions"]})
    check(load)
    assert sessions == [{"main", "sockets"}] * 2


@pytest.mark.parametrize("how", ["handover", "stop and start"])
def test_tunneld_with_entries_apart(site, origin, sockets, how):
    old = site.tunneld()
    entry = site.proxyentry()
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        for _ in range(2):
            mark = entry.mark()
            if how == "handover":
                new = site.tunneld("--handover", listen=site.control)
            else:
                assert old.stop() == 0
                new = site.tunneld(listen=site.control)
            entry.event("registered", after=mark)
            assert old.wait() == 0
            old = new
            go_on(load)
    check(load)


@pytest.fixture
def activation():
    activation = Activation()
    yield activation
    activation.close()


def test_sockets_of_systemd_are_taken_by_name(site, origin, activation):
    site.tunneld()
    entry = activation.start(site)
    assert [site.public[1], site.uplink[1], int(entry.ready["admin"].rsplit(":", 1)[1])] == [
        s.getsockname()[1] for s in activation.sockets]
    site.tunnelc(origin.target, session="main")
    site.session = "main"
    with Client(site.public) as client:
        assert client.ask("GET", site.path("/echo")).status == 200
    assert entry.stop() == 0
    with Client(site.public) as client:  # which nobody accepts now, and nobody refuses
        client.request("GET", site.path("/echo"))
        activation.start(site)
        wait_until(lambda: client.wire.buffer or client.wire.more() is None, "an answer from the next one")


def test_restart_by_activation_alone_keeps_who_comes_waiting(site, origin, activation):
    """The old process ends, as systemctl restart has it, and then the new one begins: who was connected is told to come
    again, who comes in between waits in the sockets' queues, refused or reset is nobody."""
    site.session = "main"
    site.tunneld()
    old = activation.start(site)
    site.tunnelc(origin.target, session="main")
    path = site.path("/echo")
    with ExitStack() as stack:
        kept = [stack.enter_context(Client(site.public)) for _ in range(10)]
        streams = [stack.enter_context(H2(site.public)) for _ in range(5)]
        for client in kept:
            assert client.ask("GET", path).status == 200
        for h2 in streams:
            h2.request(path)
            assert dict(h2.until(is_head).fields)[":status"] == "200"
        slow, pieces = begin(site, origin, "slow")
        old.signal()
        old.event("draining")
        for client in kept:  # on their way when it began
            response = client.ask("GET", path)
            assert response.status == 200 and response.fields.get("connection") == "close" and client.closed()
        for h2 in streams:
            assert h2.until(lambda frame: isinstance(frame, GoAwayFrame)).error_code == 0
        early = [stack.enter_context(Client(site.public)) for _ in range(20)]  # the old one still finishes
        for client in early:
            client.request("GET", path)
        origin.gate("slow").set()
        assert b"".join(pieces) == b"after"
        slow.close()
        for h2 in streams:
            h2.close()
        assert old.wait() == 0
        late = [stack.enter_context(Client(site.public)) for _ in range(20)]  # there is none
        for client in late:
            client.request("GET", path)
        waiting_h2 = [stack.enter_context(H2(site.public)) for _ in range(5)]
        for h2 in waiting_h2:
            h2.request(path)
        time.sleep(0.3)
        for client in early + late:
            client.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.sock.recv(1)
            client.sock.settimeout(DEADLINE)
        activation.start(site)
        assert [client.final_head().status for client in early + late] == [200] * 40
        for h2 in waiting_h2:
            assert dict(h2.until(is_head).fields)[":status"] == "200"


def test_entry_by_activation_and_handover(site, origin, sockets, activation):
    site.tunneld()
    old = activation.start(site, *DRAIN)
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        for _ in range(2):
            new = activation.start(site, "--handover", *DRAIN)
            new.event("serving")
            old.event("draining")
            old = new
            go_on(load)
    check(load)


def test_a_ticket_that_is_revoked_ends_its_uplinks_in_an_entry_that_drains(site, origin):
    """Whose place another process has: it has no registration any more, and hears of it all the same."""
    site.session = "main"
    site.tunneld()
    old = site.proxyentry("--uplink-ping", 60, *DRAIN)
    client = site.tunnelc(origin.target, session="main")
    asker, pieces = begin(site, origin, "long")
    new = site.proxyentry("--handover", "--uplink-ping", 60, *DRAIN)
    new.event("serving")
    old.event("draining")
    client.signal(signal.SIGSTOP)  # or it would end its uplinks by itself, being told as well
    try:
        begun = time.monotonic()
        assert call(site, "DELETE", "/v1/sessions/main", token=site.token).status == 204
        for program in (old, new):
            wait_until(lambda: "its ticket was revoked" in program.log(), f"{program.label} to close its uplinks")
        print(f"closed in {time.monotonic() - begun:.3f} s")
        with pytest.raises((Closed, ValueError, OSError)):
            for _ in pieces:
                pass
    finally:
        client.signal(signal.SIGCONT)
    asker.close()
    client.expected_end = client.wait()
    assert [entry["id"] for entry in call(site, "GET", "/v1/entries", token=site.token).json["entries"]] == ["east"]
    assert old.wait() == 0
    assert call(site, "GET", "/v1/entries", token=site.token).json["entries"]  # its end is no leave of the new one's


# ---- Ports of sessions ----

def talk(sock, text):
    sock.sendall(text)
    return tcp.exactly(sock, len(text)) == text


def test_tcp_ports_go_along_in_a_handover(site):
    """Connections live on in the old process until its drain ends; new ones go to the new one; none is refused."""
    origin = tcp.TcpOrigin(tcp.echo)
    tcp.tcp_site(site, 4)
    drain = ("--tcp-ports", f"{site.first}-{site.last}", "--drain-timeout", "5")
    client = tcp.publish(site, origin.target)
    old = site.entry
    refused, made, stopping = [], [], threading.Event()

    def dial():
        while not stopping.wait(0.02):
            try:
                with tcp.connect(client) as sock:
                    made.append(talk(sock, b"hello"))
            except (OSError, AssertionError) as error:
                refused.append(repr(error))

    dialler = threading.Thread(target=dial, daemon=True)
    dialler.start()
    with ExitStack() as stack:
        first = stack.enter_context(tcp.connect(client))
        assert talk(first, b"one")
        for n in range(2):
            new = site.proxyentry("--handover", *drain)
            new.event("serving")
            old.event("draining")
            second = stack.enter_context(tcp.connect(client))
            assert talk(second, b"two") and talk(first, b"still there")
            wait_until(lambda: Metrics(new)("tunnel2_entry_tcp_connections") >= 1, "connections at the new one")
            if n == 0:
                assert old.process.poll() is None  # for the first connection
            first, old = second, new
        stopping.set()
        dialler.join(DEADLINE)
        assert not refused and len(made) > 20 and all(made), refused[:5]
        assert talk(first, b"three")
    origin.close()


def test_udp_flows_go_on_through_a_handover(site):
    """From the same remote address, at the same port: datagrams that were on their way may be lost, as ever."""
    origin = test_udp.UdpOrigin()
    test_udp.udp_site(site, 4)
    client = tcp.publish(site, origin.target, kind="udp")
    old = site.entry
    lost = 0
    with test_udp.bound() as flow:
        flow.settimeout(0.5)
        flow.connect(client.address)

        def answered(n):
            text = b"%d" % n
            flow.send(text)
            try:
                while flow.recv(100) != text:  # one that was late
                    pass
            except TimeoutError:
                return False
            return True

        assert wait_until(lambda: answered(0), "a flow")
        for n in range(2):
            new = site.proxyentry("--handover", "--udp-ports", f"{site.first}-{site.last}")
            for i in range(50):
                lost += not answered(1000 * n + i)
            new.event("serving")
            assert old.wait() == 0
            wait_until(lambda: answered(1000 * n + 999), "the flow to go on")
            assert Metrics(new)("tunnel2_entry_udp_flows") == 1
            old = new
    print(f"datagrams lost in two handovers: {lost} of 100")
    assert lost <= 10
    origin.close()


def test_handover_that_fails_leaves_all_as_it_was(site, origin, sockets):
    """The next one can't start, or goes before it serves."""
    site.tunneld()
    old = site.proxyentry(*DRAIN)
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        failing = site.start("proxyentry", *site.common("--control", f"https://{site.control}", "--entry-id", "east",
                                                        "--handover", "--public-tls", "127.0.0.1:0", "--public-cert",
                                                        site.state / "token"))
        failing.expected_end = failing.wait()
        assert failing.expected_end == 1
        go_on(load)
        mark = old.mark()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:  # it dies before it serves
            other.settimeout(DEADLINE)
            other.connect(str(site.state / "east.handover"))
            other.send(b"take 1")
            names, fds, _, _ = socket.recv_fds(other, 4096, 64)
            assert names.split() == [b"public", b"uplink", b"admin"] and len(fds) == 3
            assert other.recv(100) == b"end 2"
            other.send(b"attached")
            go_on(load, 0.3)
            for fd in fds:
                os.close(fd)
        old.event("registered", after=mark)
        go_on(load)
        assert old.process.poll() is None and not [e for e in old.events if e["event"] == "draining"]
    check(load)


def test_handover_socket_is_for_its_own_user_alone(site):
    site.tunneld()
    site.proxyentry()
    path = site.state / "east.handover"
    assert path.stat().st_mode & 0o777 == 0o600
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(DEADLINE)
    sock.connect(str(path))
    sock.send(b"give me all")
    assert sock.recv(100) == b""  # what is not understood ends it
    sock.close()
    if os.geteuid() != 0:
        pytest.skip("another user is for root to be")
    os.chmod(path, 0o777)
    for folder in (site.state, *site.state.parents):
        if str(folder).startswith("/tmp/"):
            os.chmod(folder, 0o755)
    code = ("import os,socket,sys;os.setuid(65534);s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);"
            "s.settimeout(10);s.connect(sys.argv[1]);s.send(b'take 1');print(len(s.recv(100)))")
    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=DEADLINE)
    assert answer.stdout.strip() == "0" or "Error" in answer.stderr


def test_first_process_finds_nobody_to_take_from(site, origin):
    site.tunneld("--handover")
    site.proxyentry("--handover")
    site.tunnelc(origin.target, session="main")
    site.session = "main"
    with Client(site.public) as client:
        assert client.ask("GET", site.path("/echo")).status == 200


def test_draining_entry_answers_on_idle_connections_and_says_close(site, origin):
    site.tunneld()
    entry = site.proxyentry()
    site.tunnelc(origin.target, session="main")
    site.session = "main"
    with Client(site.public) as idle, Client(site.public) as fresh:
        assert idle.ask("GET", site.path("/echo")).status == 200
        entry.signal()
        entry.event("draining")
        response = idle.ask("GET", site.path("/echo"))
        assert response.status == 200 and response.fields.get("connection") == "close" and idle.closed()
        assert fresh.ask("GET", site.path("/echo")).fields.get("connection") == "close"
    with pytest.raises((OSError, Closed)):
        Client(site.public)
    assert entry.wait() == 0


def test_keys_and_certificates_anew_under_load(site, origin, sockets):
    """SIGHUP of both, and a key rotation: nothing is lost, and a new client gets in by the new key."""
    tunneld = site.tunneld()
    entry = site.proxyentry()
    with serve(site, origin, sockets) as load:
        wait_until(load.ready, "a load")
        for _ in range(3):
            assert call(site, "POST", "/v1/keys", token=site.token).status in (200, 201)
            for program in (tunneld, entry):
                mark = program.mark()
                program.signal(signal.SIGHUP)
                assert program.event("reloaded", after=mark)["ok"]
            site.tunnelc(origin.target, session="main")
            go_on(load, 0.5)
    check(load)
