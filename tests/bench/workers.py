#!/usr/bin/env python3
"""What a request costs an entry of one worker, one of several, and one of several that it crosses in.

    tests/bench/workers.py [--bin DIR] [REQUESTS]    counts instructions, with valgrind
    tests/bench/workers.py [--bin DIR] --load SECONDS    measures throughput with wrk, on a machine without other work

Of a client with one uplink and public connections that are dealt to two workers half of the requests cross.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

CONNECTIONS = 16  # for each worker: what is gathered in a turn is alike


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("requests", nargs="?", type=int, default=4096)
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--load", type=int, metavar="SECONDS")
    return parser.parse_args()


GIVEN = arguments()
os.environ["T2_BIN"] = GIVEN.bin

from origin import Origin  # noqa: E402
from programs import Site, wait_until  # noqa: E402
from wire import Client  # noqa: E402

# Name, workers of the entry, arguments of the client, and how many uplinks that has.
CASES = [
    ("one worker", 1, [], 1),
    ("two, an uplink each: none crosses", 2, ["--uplinks", "2"], 2),
    ("two, one uplink: half cross", 2, [], 1),
    ("eight, an uplink each: none crosses", 8, ["--uplinks", "8"], 8),
    ("eight, one uplink: 7 of 8 cross", 8, [], 1),
]


def wrapped(folder):
    """A folder of programs, of which proxyentry runs under callgrind."""
    for name in ("tunneld", "tunnelc", "proxyentry"):
        tool = "" if name != "proxyentry" else (
            f"valgrind --tool=callgrind --callgrind-out-file={folder}/out.%p --instr-atstart=yes ")
        script = Path(folder) / name
        script.write_text(f"#!/bin/sh\nexec {tool}{GIVEN.bin}/{name} \"$@\"\n")
        script.chmod(0o755)
    return folder


def open_site(binaries, workers, client, uplinks, origin):
    site = Site(tempfile.mkdtemp(prefix="t2-workers-"), binaries=binaries, log_level="info")
    site.tunneld()
    entry = site.proxyentry("--workers", workers, "--uplink-ping", "600")  # valgrind is slow
    tunnel = site.tunnelc(origin.target, *client, session="main")
    wait_until(lambda: len([e for e in tunnel.events if e["event"] == "connected"]) == uplinks, "uplinks", timeout=60)
    site.session = "main"
    return site, entry


def ask(site, count, connections):
    clients = [Client(site.public, timeout=120) for _ in range(connections)]
    for _ in range(count // connections):
        for client in clients:
            client.request("GET", site.path("/bytes/13"))
        for client in clients:
            assert client.response().status == 200
    for client in clients:
        client.close()


def instructions(workers, client, uplinks, count):
    """All that the entry has done, from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="t2-callgrind-") as folder:
        origin = Origin()
        site, entry = open_site(wrapped(folder), workers, client, uplinks, origin)
        ask(site, count, CONNECTIONS * workers)
        entry.stop(timeout=120)
        site.close()
        origin.close()
        return int(re.search(r"Collected : (\d+)", entry.log())[1])


def count():
    n = GIVEN.requests
    costs = []
    for name, *case in CASES:
        few, many = instructions(*case, n // 4), instructions(*case, n)
        costs.append((many - few) / (n - n // 4))
        print(f"{name:40} {costs[-1]:9.0f} instructions a request", flush=True)
    print(f"{'one that crosses, of two':40} {2 * costs[2] - costs[1]:9.0f}")
    print(f"{'one that crosses, of eight':40} {(8 * costs[4] - costs[3]) / 7:9.0f}")


def load():
    for name, workers, client, uplinks in [*CASES[:3], ("two, and a client of two", 2, ["--workers", "2"], 2)]:
        nginx = Nginx()
        site, _ = open_site(GIVEN.bin, workers, client, uplinks, nginx)
        said = subprocess.run(["wrk", "-t1", "-c64", f"-d{GIVEN.load}", "--latency", site.url("/")],
                              capture_output=True, text=True, check=True).stdout
        rate = re.search(r"Requests/sec:\s*([\d.]+)", said)[1]
        print(f"{name:40} {float(rate):9.0f} requests/s", flush=True)
        site.close()
        nginx.close()


class Nginx:
    """A server that answers with 13 bytes."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="t2-nginx-")
        self.target = f"unix:{self.folder}/sock"
        config = Path(self.folder) / "nginx.conf"
        config.write_text(f"""daemon off; pid {self.folder}/pid; error_log {self.folder}/log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; server {{ listen unix:{self.folder}/sock; keepalive_requests 100000000;
location / {{ return 200 "hello, world\\n"; }} }} }}
""")
        self.process = subprocess.Popen(["nginx", "-c", config], stderr=subprocess.DEVNULL)
        wait_until(lambda: (Path(self.folder) / "sock").exists(), "nginx")

    def close(self):
        self.process.terminate()
        self.process.wait()



if __name__ == "__main__":
    load() if GIVEN.load else count()
