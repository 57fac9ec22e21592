#!/usr/bin/env python3
"""What idle sessions cost, and how long they take to come back when their entry is started anew.

    tests/bench/sessions.py [COUNT]        with the release build

Prints resident memory of tunneld and proxyentry per session, and the time of the first attaching (full TLS handshakes)
and of the second (resumed ones). Nothing else runs meanwhile.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
os.environ.setdefault("T2_BIN", str(ROOT / "build/release/bin"))

from metrics import Metrics  # noqa: E402
from programs import Site  # noqa: E402

IDLE = 40  # seconds: what is silent for a while holds less
BUILD = ROOT / "build/release"


def compile_sessions(folder, build=BUILD):
    program = Path(folder) / "sessions"
    subprocess.run(["cc", "-O2", "-std=gnu11", ROOT / "tests/bench/sessions.c", f"-I{ROOT}/include",
                    f"-I{build}/include", f"-L{build}/lib", f"-Wl,-rpath,{build}/lib", "-ltunnel2", "-luv",
                    "-o", program], check=True)
    return program


def await_line(process, word):
    for line in process.stdout:
        if line.split()[0] == word:
            return time.monotonic()
    raise SystemExit("the sessions ended")


def main(count):
    folder = tempfile.mkdtemp(prefix="t2-sessions-")
    program = compile_sessions(folder)
    site = Site(folder, log_level="error")
    site.tunneld()
    entry = site.proxyentry()
    public, uplink = (f"{host}:{port}" for host, port in (entry.public, entry.uplink))
    control = Metrics(site.programs[0])

    def memory(metrics):
        return metrics("process_resident_memory_bytes")

    before = memory(control), memory(Metrics(entry))
    began = time.monotonic()
    sessions = subprocess.Popen([program, str(count), f"https://{site.control}", site.state], stdout=subprocess.PIPE,
                                text=True)
    took = await_line(sessions, "up") - began
    idle = control("process_cpu_seconds_total")
    time.sleep(IDLE)
    idle = control("process_cpu_seconds_total") - idle
    after = memory(control), memory(Metrics(entry))
    print(f"{count} sessions registered and attached in {took:.1f} s")
    for name, a, b in zip(("tunneld", "proxyentry"), before, after):
        print(f"{name}: {a / 2**20:.1f} MiB before, {b / 2**20:.1f} MiB after: {(b - a) / count / 1024:.1f} KiB each")
    channels, parked = control("tunnel2_control_channels", 'of="sessions"'), control("tunnel2_control_parked")
    print(f"tunneld: {channels:.0f} channels, {parked:.0f} clients parked; {idle / IDLE * 100:.1f} % of a processor"
          " while idle")
    processor = Metrics(site.programs[0])("process_cpu_seconds_total")
    entry.kill()
    site.programs.remove(entry)
    began = time.monotonic()
    again = site.proxyentry(public=public, uplink=uplink)
    up = time.monotonic()
    took = await_line(sessions, "up") - up
    used = Metrics(again)("process_cpu_seconds_total")
    tunneld = Metrics(site.programs[0])("process_cpu_seconds_total") - processor
    print(f"entry started anew in {up - began:.1f} s; all {count} back {took:.1f} s later, for {used:.1f} s of its"
          f" processor time ({used / count * 1000:.2f} ms a session); tunneld {tunneld:.1f} s")
    sessions.terminate()
    sessions.wait()
    site.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
