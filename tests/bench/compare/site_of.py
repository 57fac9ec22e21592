"""Processes that run while the measuring goes on: started, waited for, ended; and what the kernel says of them."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 15  # seconds for a system to come up


class Failed(Exception):
    """A system did not come up, or a measurement of it failed."""


def descendants(pids):
    """These processes and all below them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], list(pids)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def cpu_us(pids):
    """User and system time of these processes, in microseconds."""
    total = 0
    for pid in pids:
        # The name in field 2 may hold anything: what counts begins after its closing parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total * 1000000 // TICKS


def forget_peak(pid):
    """VmHWM begins anew (proc(5), clear_refs); where that is not allowed it stays the peak of all time."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass


def memory(pid):
    """(RSS now, RSS at its peak) in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(rest.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


class Site:
    """A folder for what is written, and the processes, which end with it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="t2-compare-"))
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ports(self, n):
        """Ports that are free now, for those who can't choose one themselves."""
        socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
        numbers = [s.getsockname()[1] for s in socks]
        for s in socks:
            s.close()
        return numbers

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, label, *command):
        """Its output goes to LABEL.out and LABEL.log."""
        with open(self.folder / f"{label}.out", "wb") as out, open(self.folder / f"{label}.log", "wb") as log:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=log, cwd=self.folder)
        process.label = label
        self.processes.append(process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def output(self, process):
        return (self.folder / f"{process.label}.out").read_text(errors="replace")

    def said(self, process):
        text = self.output(process) + (self.folder / f"{process.label}.log").read_text(errors="replace")
        return text[-500:].strip()

    def until(self, condition, what, *processes, every=0.05):
        """Returns condition()'s first true value."""
        end = time.monotonic() + DEADLINE
        while True:
            value = condition()
            if value:
                return value
            gone = [p for p in processes if p.poll() is not None]
            if gone or time.monotonic() > end:
                raise Failed(f"{what}: {'; '.join(self.said(p) for p in gone or processes) or 'too late'}")
            time.sleep(every)

    def answers(self, url, *processes, data=None):
        """Waits until a request to the URL is answered with success."""
        def asked():
            try:
                with urllib.request.urlopen(url, data=data, timeout=2) as answer:
                    answer.read()
                    return answer.status < 300
            except (OSError, urllib.error.URLError):
                return False
        self.until(asked, f"no answer from {url}", *processes)
