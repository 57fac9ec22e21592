"""What ours is held to beside the others: ratios of one run, and a few absolute figures."""
from dataclasses import dataclass

MIB = 1 << 20
C64, C1, C1000 = "h1 13 c64", "h1 13 c1", "h1 13 c1000"


@dataclass
class Target:
    what: str
    goal: str
    spread: tuple  # (least, median, most), or None: not measured
    unit: str
    met: bool = None

    def reached(self):
        if not self.spread:
            return "not measured"
        least, median, most = self.spread
        return f"{median:.2f}{self.unit} ({least:.2f} to {most:.2f})" if least != most else f"{median:.2f}{self.unit}"


def at_least(what, bound, spread, unit=""):
    return Target(what, f"at least {bound:g}{unit}", spread, unit, spread and spread[1] >= bound)


def at_most(what, bound, spread, unit=""):
    return Target(what, f"at most {bound:g}{unit}", spread, unit, spread and spread[1] <= bound)


def ratio(results, case, figure, ours, peer):
    return results.by_round(case, figure, lambda row: row[ours] / row[peer])


def added(row, system):
    return row[system] - row["direct"]


def most_memory(results, case, ours, what):
    """Of the process that holds the most, at its peak."""
    names = results.figures(case, ours) if ours in results.rounds.get(case, {}) else []
    spreads = [results.spread(case, ours, name) for name in names if name.startswith(f"{what} ")]
    if not spreads:
        return None
    return tuple(value / MIB for value in max(spreads, key=lambda spread: spread[1]))


def once(results, ours, fact, scale):
    value = results.facts.get(ours, {}).get(fact)
    return None if value is None else (value * scale,) * 3


def targets(results, ours="ours", clear="ours-plaintext"):
    """For one variant of ours; `clear` is the one whose uplink is not encrypted."""
    found = [
        at_least("requests/s at 64 connections, of the nghttpx pair's", 1.6,
                 ratio(results, C64, "rate", ours, "nghttpx")),
        at_most("CPU a request at 64 connections, of the nghttpx pair's", 0.55,
                ratio(results, C64, "cpu_us", ours, "nghttpx")),
        at_least("requests/s at 64 connections, of the TCP pair's", 1,
                 ratio(results, C64, "rate", ours, "haproxy-tcp")),
        at_most("latency added at one connection, of the nghttpx pair's", 0.6,
                results.by_round(C1, "p50", lambda row: added(row, ours) / added(row, "nghttpx"))),
        at_most("P99 at a steady 1,000 requests/s, beyond direct's", 1,
                results.by_round("steady h1 13 c32", "p99", lambda row: added(row, ours) / 1000), " ms"),
    ]
    for way, name in (("down", "download"), ("up", "upload")):
        for n in (1, 8):
            case = f"{way} h1 100M c{n}"
            found.append(at_least(f"bulk {name}, {n} at once, of the nghttpx pair's", 1,
                                  ratio(results, case, "bytes_per_second", ours, "nghttpx")))
            if clear in results.rounds.get(case, {}):
                found.append(at_least(f"bulk {name} over a clear uplink, {n} at once, of the TCP pair's", 1,
                                      ratio(results, case, "bytes_per_second", clear, "haproxy-tcp")))
    found += [
        at_most("memory of the larger process at 64 connections", 16, most_memory(results, C64, ours, "peak"), " MiB"),
        at_most("memory of the larger process at 1,000 connections", 64, most_memory(results, C1000, ours, "peak"),
                " MiB"),
        at_most("memory of an idle tunnelc", 6, once(results, ours, "idle_tunnelc_rss", 1 / MIB), " MiB"),
        at_most("tunnelc's start to the first answered request", 100, once(results, ours, "first_answer_seconds", 1000),
                " ms"),
    ]
    return found
