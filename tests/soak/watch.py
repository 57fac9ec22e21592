"""Memory and descriptors of the programs, and what they count, through the whole run."""
import collections
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from metrics import Metrics

EVERY = 5.0
FDS_MORE = 8          # descriptors that may be left over when all is quiet again
RSS_SHARE = 1.15      # the last quarter's median over the second's may be that, and
RSS_MORE = 3 << 19    # so much more
MIB = 1 << 20


@dataclass
class Sample:
    when: float
    rss: int
    fds: int


def look(program):
    """(resident bytes, most resident bytes, descriptors) of a program; None when it is gone."""
    try:
        lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
        values = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)
                  if key in ("VmRSS", "VmHWM")}
        fds = len(list(Path(f"/proc/{program.pid}/fd").iterdir()))
        return values["VmRSS"], values["VmHWM"], fds
    except (OSError, KeyError, ValueError):
        return None


class Watch(threading.Thread):
    """Takes a sample of each role's program now and then, and its entries' count of requests asked again."""

    def __init__(self, deployment):
        super().__init__(daemon=True)
        self.deployment = deployment
        self.samples = collections.defaultdict(list)
        self.first, self.warm, self.last = {}, {}, {}
        self.peak_rss, self.peak_fds = collections.Counter(), collections.Counter()
        self.counts = {}  # pid: {metric: value}, for they begin anew with each process
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.wait(EVERY):
            self.sample()

    def stop(self):
        self._stopping.set()
        self.join()

    def sample(self):
        now = {}
        for role, program in list(self.deployment.live.items()):
            seen = look(program)
            if seen is None:
                continue
            rss, most, fds = seen
            now[role] = Sample(time.monotonic(), rss, fds)
            self.samples[role].append(now[role])
            self.peak_rss[role] = max(self.peak_rss[role], most)
            self.peak_fds[role] = max(self.peak_fds[role], fds)
        self.last = now
        for name in ("east", "west"):
            program = self.deployment.live[name]
            try:
                found = Metrics(program).all()
            except Exception:  # noqa: BLE001 - it is being killed, or its successor has the address
                continue
            self.counts[program.pid] = {metric: value for (metric, _), value in found.items() if "retried" in metric}
        return now

    def retried(self):
        return int(sum(sum(counts.values()) for counts in self.counts.values()))

    def quiet(self, seconds):
        """Waits until descriptors are as few as in the beginning; returns the last look."""
        end = time.monotonic() + seconds
        while True:
            now = self.sample()
            over = [role for role, sample in now.items() if sample.fds > self.first[role].fds + FDS_MORE]
            if not over or time.monotonic() > end:
                return now
            time.sleep(1)

    def quarters(self, role, begun, ended):
        """The median resident memory of each quarter of the run."""
        step = (ended - begun) / 4
        parts = [[s.rss for s in self.samples[role] if begun + n * step <= s.when < begun + (n + 1) * step]
                 for n in range(4)]
        return [statistics.median(part) if part else 0 for part in parts]

    def growth(self, begun, ended):
        """What grew: a list of problems."""
        problems = []
        for role, sample in self.last.items():
            if sample.fds > self.first[role].fds + FDS_MORE:
                problems.append(f"descriptors of {role}: {self.first[role].fds} before the load, {sample.fds} after it")
            quarters = self.quarters(role, begun, ended)
            if quarters[1] and quarters[3] > quarters[1] * RSS_SHARE + RSS_MORE:
                problems.append(f"memory of {role}: medians of the quarters "
                                f"{', '.join(f'{q / MIB:.1f}' for q in quarters)} MiB")
        return problems

    def table(self, begun, ended):
        return {role: {"rss_start": self.warm[role].rss, "rss_end": self.last[role].rss,
                       "rss_peak": self.peak_rss[role], "rss_quarters": self.quarters(role, begun, ended),
                       "fds_before": self.first[role].fds, "fds_start": self.warm[role].fds,
                       "fds_end": self.last[role].fds, "fds_peak": self.peak_fds[role]} for role in self.last}
