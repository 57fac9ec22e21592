"""A storm: many sessions of one process lose their entry by kill -9 and come back, while others have traffic."""
import threading
import time

from metrics import Metrics
from programs import DEADLINE, Program, wait_until
from wire import Client, Closed

PAUSE = 0.01  # seconds between a request and the next of the same probe


class Many(Program):
    """tests/bench/sessions.c: `count` sessions NAME-0, NAME-1 ... that answer "ok" themselves."""

    def __init__(self, program, site, count, name="idle"):
        super().__init__(program.name, [count, f"https://{site.control}", site.state, name], site.folder,
                         label=f"sessions-{name}", binaries=program.parent)
        self.expected_end = -15

    def said(self, word, after=0, timeout=DEADLINE):
        """The first line behind the mark that begins with the word, in words."""
        def find():
            assert self.process.poll() is None, f"{self.label} ended: {self.log()[-2000:]}"
            return next((line.split() for line in self.lines[after:] if line.split()[0] == word), None)
        return wait_until(find, f"{self.label}: {word}", timeout, every=0.002)


class Probe:
    """Asks for a path again and again on one kept connection, from start() to stop(); what took how long."""

    def __init__(self, address, session):
        self.address, self.path = address, f"/session/{session}/"
        self.samples = []  # (begun, seconds), of those that were answered with 200
        self.failures = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stopping.set()
        self._thread.join(DEADLINE)

    def _run(self):
        client = None
        while not self._stopping.wait(PAUSE):
            begun = time.monotonic()
            try:
                client = client or Client(self.address)
                response = client.ask("GET", self.path)
                took = time.monotonic() - begun
                if response.status == 200 and response.whole:
                    self.samples.append((begun, took))
                else:
                    self.failures.append((took, f"{response}"))
            except (OSError, Closed, ValueError) as error:
                self.failures.append((time.monotonic() - begun, repr(error)))
                client = None
        if client:
            client.close()

    def between(self, begin, end):
        """Sorted seconds of those that were begun then."""
        return sorted(took for begun, took in self.samples if begin <= begun < end)


def percentile(values, percent):
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")


def line(name, values):
    if not values:
        return f"  {name}: none"
    p50, p99 = (percentile(values, percent) * 1000 for percent in (50, 99))
    return f"  {name}: {len(values)} requests, P50 {p50:.1f} ms, P99 {p99:.1f} ms, longest {values[-1] * 1000:.1f} ms"


class Storm:
    """run() kills the entry of `site`, starts it again on its ports, and measures until all sessions are back.

    `other` is a site with an entry of its own, on the same machine: it has traffic all along. A session of the
    entry that is killed, in a process of its own, has traffic from when it is back; so has the first of the many.
    """

    def __init__(self, program, site, other, count, timeout):
        self.program, self.site, self.other, self.count, self.timeout = program, site, other, count, timeout

    def prepare(self):
        for site in (self.site, self.other):
            site.tunneld()
        self.entry, elsewhere = self.site.proxyentry(), self.other.proxyentry()
        self.steady = Many(self.program, self.site, 1, "steady")
        self.beside = Many(self.program, self.other, 1, "beside")
        began = time.monotonic()
        self.many = Many(self.program, self.site, self.count)
        self.site.programs += [self.steady, self.many]
        self.other.programs.append(self.beside)
        for many in (self.many, self.steady, self.beside):
            many.said("up", timeout=self.timeout)
        self.attached = time.monotonic() - began
        self.probes = {"another entry": Probe(elsewhere.public, "beside-0").start()}

    def run(self, quiet=1.0):
        """`quiet`: seconds of traffic before and after."""
        public, uplink = (f"{host}:{port}" for host, port in (self.entry.public, self.entry.uplink))
        marks = {many: len(many.lines) for many in (self.many, self.steady)}
        begun = time.monotonic()
        wait_until(lambda: len(self.probes["another entry"].between(begun, time.monotonic())) > 20 * quiet, "traffic")
        self.killed = time.monotonic()
        self.entry.kill()
        self.site.programs.remove(self.entry)
        self.many.said("lost", marks[self.many])
        self.entry = self.site.proxyentry(public=public, uplink=uplink, registered=False)
        self.up = time.monotonic()
        first = self.many.said("first", marks[self.many], self.timeout)[1]
        self.first = time.monotonic() - self.up
        self.probes["the first that is back"] = Probe(self.entry.public, first).start()
        self.steady.said("first", marks[self.steady], self.timeout)
        self.probes["a session of another process"] = Probe(self.entry.public, "steady-0").start()
        _, _, *self.quarters = self.many.said("up", marks[self.many], self.timeout)
        self.over = time.monotonic()
        self.took = self.over - self.up
        metrics = Metrics(self.entry)
        self.processor = metrics("process_cpu_seconds_total")
        wait_until(lambda: all(len(p.between(self.over, time.monotonic())) > 20 * quiet for p in self.probes.values()),
                   "traffic behind the storm")
        for probe in self.probes.values():
            probe.stop()
        self.handshakes = metrics("tunnel2_entry_uplink_handshakes_total")
        self.resumed = metrics("tunnel2_entry_uplink_handshakes_resumed_total")

    def failures(self):
        return {name: probe.failures for name, probe in self.probes.items() if probe.failures}

    def report(self):
        lines = [f"{self.count} sessions registered and attached in {self.attached:.1f} s",
                 f"all back {self.took:.2f} s after the entry's return (the first {self.first:.2f} s), a quarter, half,"
                 f" three quarters {', '.join(self.quarters)} ms after the first; {self.resumed:.0f} of {self.handshakes:.0f}"
                 f" handshakes resumed; {self.processor:.1f} s of the entry's processor time",
                 "traffic before the storm:",
                 line("another entry", self.probes["another entry"].between(0, self.killed)),
                 "in the storm, from the entry's return to the last session's:"]
        lines += [line(name, probe.between(self.up, self.over)) for name, probe in self.probes.items()]
        lines += ["and after it:"]
        lines += [line(name, probe.between(self.over, time.monotonic())) for name, probe in self.probes.items()]
        lines += [f"failed: {self.failures() or 'none'}"]
        return "\n".join(lines)
