"""What is measured: the cases, which systems take part in each, and how long it all takes."""
from dataclasses import dataclass

BODIES = {"13": 13, "1K": 1 << 10, "64K": 64 << 10, "100M": 100_000_000}
# Estimates, in seconds: a system's start, what a measurement takes beside its own time, bulk at this many bytes/s.
START, OVERHEAD, BULK_RATE = 2.0, 0.35, 150e6
STEADY_RATE, STEADY_CONNECTIONS, STEADY_SECONDS = 1000, 32, 2  # at least: P99 wants some thousands
BULK_TIMEOUT = 30
STREAMS = 8  # requests at once on each connection of HTTP/2


@dataclass(frozen=True)
class Case:
    side: str  # "h1", "h2", "h2c"
    kind: str  # "rate" (as fast as it goes), "steady", "down", "up"
    body: str  # of BODIES
    connections: int  # requests at once, too: of HTTP/2 there are fewer connections, with STREAMS each

    @property
    def name(self):
        rest = f"{self.side} {self.body} c{self.connections}"
        return rest if self.kind == "rate" else f"{self.kind} {rest}"

    @property
    def url_side(self):
        return "up" if self.kind == "up" else self.side

    def seconds(self, each):
        """Of one measurement, about."""
        if self.kind in ("down", "up"):
            return BODIES[self.body] * self.requests / BULK_RATE + OVERHEAD
        if self.kind == "steady":
            return max(each, STEADY_SECONDS) + OVERHEAD
        return each + OVERHEAD + (0.3 if self.side != "h1" else 0)

    @property
    def requests(self):
        """Of bulk: how many there are."""
        return self.connections


# Which of all combinations tell something. 13 B is what a request costs, at every number of connections; 1 KiB and
# 64 KiB are what its bytes cost; 100 MB is bulk; HTTP/2 outside is another parser at the entry.
FULL = [
    *(Case("h1", "rate", "13", n) for n in (1, 64, 256, 1000)),
    Case("h1", "rate", "1K", 64), Case("h1", "rate", "64K", 64),
    Case("h2", "rate", "13", 64), Case("h2c", "rate", "13", 64), Case("h2", "rate", "64K", 64),
    Case("h1", "steady", "13", STEADY_CONNECTIONS),
    Case("h1", "down", "100M", 1), Case("h1", "down", "100M", 8), Case("h2", "down", "100M", 1),
    Case("h1", "up", "100M", 1), Case("h1", "up", "100M", 8),
]
FAST = [
    Case("h1", "rate", "13", 1), Case("h1", "rate", "13", 64), Case("h1", "rate", "64K", 64),
    Case("h2", "rate", "13", 64), Case("h1", "steady", "13", STEADY_CONNECTIONS),
    Case("h1", "down", "100M", 1), Case("h1", "up", "100M", 1),
]


def cases(fast, connections=None, bodies=None, sides=None):
    """Those of the plan with these connections, bodies and sides; a rate of HTTP/1.1 that was asked for and is not in
    it is added (three bodies at 1,000 connections, say)."""
    chosen = [case for case in (FAST if fast else FULL)
              if (not bodies or case.body in bodies) and (not sides or case.side in sides)
              and (not connections or case.kind == "steady" or case.connections in connections)]
    for n in connections or ():
        for body in bodies or ():
            if body != "100M" and (not sides or "h1" in sides):
                case = Case("h1", "rate", body, n)
                if case not in chosen:
                    chosen.append(case)
    return chosen


def estimate(chosen, sides_of, rounds, each):
    """Seconds for all of it; sides_of: by system's name the sides that it has."""
    total = len(sides_of) * (START + each)
    for case in chosen:
        total += rounds * case.seconds(each) * sum(case.url_side in sides for sides in sides_of.values())
    return total
