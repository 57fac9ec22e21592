#!/usr/bin/env python3
"""How soon COUNT tunnelc processes, each with a session, are back after their entry was killed and started anew.

    tests/bench/reattach.py [COUNT] [DOWN]       with the release build; the entry is down for DOWN seconds (0)

Five times. tests/bench/storm.py has the sessions in one process instead.
"""
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
os.environ.setdefault("T2_BIN", str(ROOT / "build/release/bin"))

from metrics import Metrics  # noqa: E402
from programs import Site, wait_until  # noqa: E402

ROUNDS = 5


def main(count, down):
    site = Site(Path(tempfile.mkdtemp(prefix="t2-reattach-")), log_level="error")
    site.tunneld()
    entry = site.proxyentry()
    public, uplink = (f"{host}:{port}" for host, port in (entry.public, entry.uplink))
    clients = [site.tunnelc(1, session=f"pool-{n}", ready=False) for n in range(count)]
    for client in clients:
        client.event("ready", timeout=60 + count / 4)
    for _ in range(ROUNDS):
        entry.kill()
        site.programs.remove(entry)
        time.sleep(down)
        entry = site.proxyentry(public=public, uplink=uplink, registered=False)
        begun, metrics = time.monotonic(), Metrics(entry)
        wait_until(lambda metrics=metrics: metrics("tunnel2_entry_uplinks") == count, "all uplinks", timeout=60,
                   every=0.01)
        took = time.monotonic() - begun
        resumed = metrics("tunnel2_entry_uplink_handshakes_resumed_total")
        print(f"{count} back {took:.2f} s after the entry's return, {resumed:.0f} resumed;"
              f" {metrics('process_cpu_seconds_total'):.2f} s of its processor time")
        time.sleep(1)
    site.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40, float(sys.argv[2]) if len(sys.argv) > 2 else 0)
