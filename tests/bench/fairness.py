#!/usr/bin/env python3
"""Small GETs beside eight bulk downloads, all on one uplink: how much longer they take.

    tests/bench/fairness.py [--rate BYTES] [--rounds N]        with the release build

Each round takes 1,000 small ones alone and 1,000 beside the downloads, which are curl's, as fast as they come or at so
many bytes a second each (K, M as curl has them). Where the downloads keep all processors busy, a small one waits for
a processor at each of its four ways through a program, which is then most of what is added.
"""
import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
os.environ.setdefault("T2_BIN", str(ROOT / "build/release/bin"))

from programs import Site  # noqa: E402

COUNT = 1000
DOWNLOADS = 8
PAUSE = 0.001  # between two small ones


def small(address, path):
    """Milliseconds of each, in order."""
    request = f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\n\r\n".encode()
    times = []
    with socket.create_connection(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(COUNT):
            began = time.perf_counter()
            sock.sendall(request)
            got = b""
            while b"hello, world" not in got:
                piece = sock.recv(65536)
                assert piece, "the connection ended"
                got += piece
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE)
    return sorted(times)


def at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


def beside(address, path, url, rate):
    """The small ones while the downloads run."""
    limit = ["--limit-rate", rate] if rate else []
    downloads = [subprocess.Popen(["curl", "-sS", "-o", "/dev/null", *limit, url]) for _ in range(DOWNLOADS)]
    try:
        time.sleep(1)  # until all have begun
        times = small(address, path)
        assert all(curl.poll() is None for curl in downloads), "a download ended too early"
    finally:
        for curl in downloads:
            curl.terminate()
        for curl in downloads:
            curl.wait()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="t2-fairness-") as folder:
        files = Path(folder) / "files"
        files.mkdir()
        (files / "small").write_text("hello, world\n")
        with open(files / "big", "wb") as big:
            big.truncate(1 << 40)  # of which nothing is on the disk
        site = Site(Path(folder), log_level="error")
        try:
            site.tunneld()
            entry = site.proxyentry()
            site.tunnelc(str(files), session="main", command="files")
            host, port = entry.public
            ratios = []
            for _ in range(arguments.rounds):
                alone = small((host, port), "/session/main/small")
                big = f"http://{host}:{port}/session/main/big"
                loaded = beside((host, port), "/session/main/small", big, arguments.rate)
                ratios.append(at(loaded, 0.99) / at(alone, 0.99))
                print("  ".join(f"{name} P50 {at(times, 0.5):6.2f} P99 {at(times, 0.99):6.2f} ms"
                                for name, times in (("alone", alone), ("beside", loaded))),
                      f" P99 x {ratios[-1]:.1f}", flush=True)
            print(f"median of the P99s' ratios: {statistics.median(ratios):.1f}")
        finally:
            site.close()


if __name__ == "__main__":
    main()
