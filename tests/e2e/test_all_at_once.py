"""Everything at once on one uplink: a 1 GiB download, WebSockets, a gRPC stream, SSH and small requests; each byte is right.

The release build's programs, whose memory is looked at too.
"""
import asyncio
import concurrent.futures
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as connect_async

import pattern
import ports
from grpc_service import Calls, Service, start_server
from origin import Origin
from programs import BIN_RELEASE, Site
from sshd import sshd_here
from tcp import TcpOrigin, publish
from websocket_origin import WebSocketOrigin
from wire import Client

MIB = 1 << 20
GIB = 1 << 30
RSS_MAX = 48 * MIB
SOCKETS, GETS, GETTERS = 50, 1000, 4
SSH_BYTES = 64 * MIB


class Running:
    """Has the download ended? What else is at work goes on for as long as it has not."""

    def __init__(self):
        self.over = threading.Event()

    def rounds(self, least):
        number = 0
        while number < least or not self.over.is_set():
            yield number
            number += 1


def upgraded(port):
    """A handler for TcpOrigin: grants an Upgrade, and pipes to the port."""
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def handle(conn):
        head = b""
        while b"\r\n\r\n" not in head:
            head += conn.recv(1)
        assert b"upgrade: raw" in head.lower()
        conn.settimeout(None)
        with socket.create_connection(("127.0.0.1", port)) as server:
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, conn), daemon=True)
            back.start()
            pump(conn, server)
            back.join()
    return handle


@pytest.fixture
def release(tmp_path):
    assert (BIN_RELEASE / "tunneld").exists(), f"{BIN_RELEASE} has no programs: build the release preset"
    site = Site(tmp_path / "release", binaries=BIN_RELEASE, log_level="info")
    try:
        yield site
    finally:
        site.close()


def download(site, running):
    checker = pattern.Checker()
    try:
        with Client(site.public, timeout=60) as client:
            client.request("GET", site.path(f"/bytes/{GIB}"))
            response = client.final_head()
            assert response.status == 200
            for piece in client.pieces(response):
                checker.update(piece)
    finally:
        running.over.set()
    assert checker.count == GIB and checker.exact


def websockets(site, running):
    """All are open before the first says a word, and stay open until the download has ended."""
    url = f"ws://{site.public[0]}:{site.public[1]}{site.path('/ws')}"
    opened = []

    async def one(number, everybody):
        async with connect_async(url, open_timeout=60, ping_interval=None) as ws:
            opened.append(number)
            if len(opened) == SOCKETS:
                everybody.set()
            await asyncio.wait_for(everybody.wait(), 60)
            for turn in running.rounds(20):
                message = f"{number} {turn} " + "x" * (turn * 97 % 20000)
                await ws.send(message)
                assert await asyncio.wait_for(ws.recv(), 60) == message
                await asyncio.sleep(0.05)

    async def main():
        everybody = asyncio.Event()
        await asyncio.gather(*(one(number, everybody) for number in range(SOCKETS)))

    asyncio.run(main())


def grpc_stream(site, running):
    """Each message is answered before the next one goes, in one call."""
    calls = Calls("{}:{}".format(*site.public), "main.localhost")
    answered = threading.Event()
    sent = []

    def talk():
        for number in running.rounds(200):
            sent.append(number)
            yield b"%d" % number
            assert answered.wait(60)
            answered.clear()

    try:
        count = 0
        for answer in calls.both("Chat")(talk(), timeout=240):
            assert answer == b"you said %d" % count
            count += 1
            answered.set()
        assert count == len(sent) >= 200
    finally:
        calls.close()


def ssh(options, host, *more):
    """Bytes there and back through `cat`."""
    data = b"".join(pattern.pieces(SSH_BYTES))
    done = subprocess.run(["ssh", *options, *more, host, "cat; echo the end >&2"], input=data, capture_output=True, timeout=240)
    assert done.returncode == 0 and done.stderr == b"the end\n", done.stderr
    assert done.stdout == data


def small_gets(site):
    with Client(site.public, timeout=60) as client:
        for number in range(GETS // GETTERS):
            size = 100 + number * 37 % 4000
            response = client.ask("GET", site.path(f"/bytes/{size}"))
            assert response.status == 200 and response.whole and response.body == bytes(pattern.piece(0, size))


def test_one_uplink_carries_everything_at_once(release, tmp_path):
    running, origin, sockets, (grpc, grpc_port) = Running(), Origin(), WebSocketOrigin(), start_server(Service())
    first = ports.free(1)
    with sshd_here(tmp_path / "ssh") as (ssh_port, options):
        shell = TcpOrigin(upgraded(ssh_port))
        release.tunneld()
        entry = release.proxyentry("--tcp-ports", f"{first}-{first}")
        client = release.tunnelc(origin.target, "--route", f"/ws=127.0.0.1:{sockets.port}", "--route", f"/ssh={shell.target}",
                                 "--route", f"/tunnel.Test=h2c://127.0.0.1:{grpc_port}", session="main")
        release.session = client.session
        beside = publish(release, ssh_port, session="shell")
        proxy = f"{sys.executable} {Path(__file__).parent}/upgrade_pipe.py {{}} {{}} {release.path('/ssh')}".format(*release.public)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            work = [pool.submit(download, release, running), pool.submit(websockets, release, running),
                    pool.submit(grpc_stream, release, running),
                    pool.submit(ssh, options, "entry.example", "-o", f"ProxyCommand={proxy}"),
                    pool.submit(ssh, options, beside.address[0], "-p", str(beside.address[1])),
                    *(pool.submit(small_gets, release) for _ in range(GETTERS))]
            concurrent.futures.wait(work)
        for done in work:
            done.result()
        uplinks = [event for program in (client, beside) for event in program.events if event["event"] == "connected"]
        assert len(uplinks) == 2  # one a session
        peaks = {program.label: round(program.rss_peak() / MIB, 1) for program in (entry, client, beside)}
        print("peak RSS in MiB:", peaks)
        assert max(peaks.values()) < RSS_MAX / MIB, peaks
        for program in (entry, client, beside):
            assert not [line for line in program.log().splitlines() if " WARN " in line or " ERROR " in line], program.log()
        shell.close()
    grpc.stop(0)
    sockets.close()
    origin.close()
