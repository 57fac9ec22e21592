"""What became of every request: counts, latencies, and for each failure whether the promise allows it."""
import collections
import math
import threading
import time
from dataclasses import dataclass, field

STREAMS = {"websocket", "sse", "tcp", "download", "slow"}  # live in one process: they end with it
GROW = 1.1  # from one latency bucket to the next


@dataclass
class Failure:
    kind: str
    entry: str              # whose public address it was sent to
    how: str                # "status", "connection" (refused, reset, ended), "timeout", "content"
    reason: str             # in words
    opened: float           # when its connection was
    begun: float
    ended: float = 0.0
    method: str = "GET"
    status: int = 0
    carrier: str = ""       # the origin that answered, or that a POST was delivered to; "" when none is known
    answered: bool = False  # a head of an answer had come
    lag: float = 0.0        # how late this process itself was then

    def line(self, base):
        at = f"{self.begun - base:.3f}..{self.ended - base:.3f} s"
        return (f"{at} {self.kind} {self.method} by {self.entry}: {self.how} {self.reason}; connection of "
                f"{self.opened - base:.3f} s, carrier {self.carrier or 'unknown'}, answer begun: {self.answered}, "
                f"own lag {self.lag:.3f} s")


@dataclass
class Fault:
    kind: str
    subject: str
    start: float = field(default_factory=time.monotonic)
    until: float = math.inf  # the end of its effect on requests, as its kind defines it

    def line(self, base):
        return f"{self.start - base:.3f}..{self.until - base:.3f} s {self.kind} {self.subject}"


class Rules:
    """What a fault may do to a request. `slack` is what a busy machine may add to each bound, in seconds."""

    def __init__(self, slack, drain):
        self.slack, self.drain = slack, drain

    def explain(self, failure, faults):
        """The fault's kind that allows the failure, or None."""
        if failure.how == "content":
            return None
        for fault in faults:
            rule = getattr(self, "_" + fault.kind, None)
            if rule and failure.ended >= fault.start - 0.05 and rule(failure, fault):
                return fault.kind
        return None

    def _lost_with(self, failure, fault, within):
        """It was on what the fault took away: a stream, an answer that had begun, or a request not to be sent again."""
        if failure.ended > fault.start + within + self.slack + failure.lag:
            return False
        if failure.carrier not in ("", fault.subject):
            return False
        if failure.answered:
            return failure.how == "connection" and failure.carrier == fault.subject
        if failure.kind in STREAMS and failure.how == "connection":
            return failure.begun <= fault.start + self.slack
        again = failure.method == "GET" and failure.kind != "websocket"
        return failure.status == 502 and not again

    def _client_kill(self, failure, fault):
        late = failure.begun > fault.start + 0.5 + failure.lag and not failure.answered
        return not late and self._lost_with(failure, fault, 1)

    def _client_stop(self, failure, fault):
        return self._lost_with(failure, fault, 5)

    def _drained(self, failure, fault):
        return (failure.kind in STREAMS and failure.how == "connection" and failure.opened <= fault.until and
                fault.start + self.drain - 0.5 <= failure.ended <= fault.until + self.drain + self.slack + 2)

    def _client_restart(self, failure, fault):
        return failure.carrier == fault.subject and self._drained(failure, fault)

    def _entry_handover(self, failure, fault):
        if failure.kind == "udp":  # a datagram has no promise
            return failure.entry == fault.subject and failure.begun <= fault.until + 3
        return failure.entry == fault.subject and self._drained(failure, fault)

    def _entry_kill(self, failure, fault):
        """until: the entry is back. Ports of TCP and UDP sessions are when their client is."""
        late = (4 if failure.kind in ("tcp", "udp") else 0.5) + failure.lag
        return (failure.entry == fault.subject and failure.begun <= fault.until + late and
                (failure.how == "connection" or failure.kind == "udp"))

    def _origin_gone(self, failure, fault):
        """until: its client has taken itself out."""
        if failure.carrier == fault.subject and failure.how == "connection":
            return failure.ended <= fault.start + 1 + self.slack + failure.lag
        return (failure.status == 502 and failure.begun <= fault.until + self.slack and
                failure.carrier in ("", fault.subject))

    def _origin_reset(self, failure, fault):
        if failure.ended > fault.start + 1 + self.slack + failure.lag or failure.carrier not in ("", fault.subject):
            return False
        return failure.status == 502 or (failure.how == "connection" and failure.carrier == fault.subject)

    def _session_revoked(self, failure, fault):
        return failure.kind == fault.subject and failure.begun <= fault.until + self.slack


class Histogram:
    def __init__(self):
        self.buckets, self.count, self.most = collections.Counter(), 0, 0.0

    def add(self, seconds):
        self.buckets[math.ceil(math.log(max(seconds, 1e-4), GROW))] += 1
        self.count += 1
        self.most = max(self.most, seconds)

    def at(self, share):
        left = share * self.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(GROW ** bucket, self.most)
        return 0.0

    def figures(self):
        return {"p50": self.at(0.5), "p90": self.at(0.9), "p99": self.at(0.99), "p999": self.at(0.999),
                "max": self.most}


class Ledger:
    """Of all kinds. Failures wait until every fault that may explain them is known to its end."""

    def __init__(self, rules, note_unexplained):
        self.rules, self.note_unexplained = rules, note_unexplained
        self.base = time.monotonic()
        self.sent, self.answered = collections.Counter(), collections.Counter()
        self.again = collections.Counter()  # kind: sent again by the public, as the server had said it may be
        self.explained = collections.defaultdict(collections.Counter)    # kind: {fault: how many}
        self.unexplained = collections.defaultdict(collections.Counter)  # kind: {reason: how many}
        self.latency = collections.defaultdict(Histogram)
        self.pending = collections.deque()
        self.faults = []
        self.injected = collections.Counter()
        self._lock = threading.Lock()

    def good(self, kind, seconds):
        self.sent[kind] += 1
        self.answered[kind] += 1
        self.latency[kind].add(seconds)

    def bad(self, failure):
        failure.ended = time.monotonic()
        with self._lock:
            self.sent[failure.kind] += 1
            self.pending.append(failure)

    def fault(self, kind, subject):
        fault = Fault(kind, subject)
        with self._lock:
            self.faults.append(fault)
            self.injected[kind] += 1
        return fault

    def end_faults(self):
        """Those that did not go as they should explain nothing from now on."""
        with self._lock:
            for fault in self.faults:
                fault.until = min(fault.until, time.monotonic())

    def settle(self, delivered, older_than=30.0):
        """Judges failures of that age. delivered: {POST's id: origin}."""
        now = time.monotonic()
        with self._lock:
            ripe = []
            while self.pending and self.pending[0].ended <= now - older_than:
                ripe.append(self.pending.popleft())
            faults = list(self.faults)
            self.faults = [f for f in faults if min(f.until, now) > now - 180]
        for failure in ripe:
            if isinstance(failure.carrier, int):  # a POST's id
                failure.carrier = delivered.get(failure.carrier, "")
            why = self.rules.explain(failure, faults)
            if why:
                self.explained[failure.kind][f"{why}: {failure.how} {failure.status or ''}".strip()] += 1
            else:
                self.unexplained[failure.kind][failure.reason[:80]] += 1
                near = [f.line(self.base) for f in faults if f.start < failure.ended and f.start > failure.begun - 40]
                self.note_unexplained(failure, near)

    def totals(self):
        return {"sent": sum(self.sent.values()), "answered": sum(self.answered.values()),
                "explained": sum(sum(c.values()) for c in self.explained.values()),
                "unexplained": sum(sum(c.values()) for c in self.unexplained.values()),
                "judged later": len(self.pending)}
