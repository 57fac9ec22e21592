"""The table at the end of a soak, for people and as JSON."""
import json
from pathlib import Path

MIB = 1 << 20


def write(soak):
    """Prints it and writes the JSON. True when nothing is unexplained, nothing came twice and nothing grew."""
    ledger, watch = soak.ledger, soak.watch
    kinds = sorted(set(ledger.sent) | set(ledger.unexplained))
    totals = ledger.totals()
    twice = len(soak.deliveries.twice)
    good = not soak.problems and not totals["unexplained"] and not twice
    found = {
        "seed": soak.options.seed, "minutes": soak.options.minutes, "rate": soak.options.rate, "good": good,
        "totals": {**totals, "retried": watch.retried(), "duplicates": twice,
                   "posts_delivered": len(soak.deliveries.at), "own_stalls": soak.traffic.stalls,
                   "own_worst_lag_seconds": soak.traffic.worst},
        "kinds": {kind: {"sent": ledger.sent[kind], "answered": ledger.answered[kind],
                         "reissued_by_the_public": ledger.again[kind], "explained": dict(ledger.explained[kind]),
                         "unexplained": dict(ledger.unexplained[kind]),
                         "latency_seconds": ledger.latency[kind].figures()} for kind in kinds},
        "faults": dict(ledger.injected), "programs": watch.table(soak.begun, soak.ended) if watch.warm else {},
        "problems": soak.problems,
    }
    text = json.dumps(found, indent=1)
    for path in (soak.folder / "report.json", soak.options.json and Path(soak.options.json)):
        if path:
            path.write_text(text + "\n")
    show(found, ledger)
    if good:
        print("good: no unexplained failure, no duplicate, no growth")
    else:
        print(f"NOT GOOD; logs of the first failures: {soak.kept}, all: {soak.folder}")
    return good


def show(found, ledger):
    totals = found["totals"]
    print(f"\nseed {found['seed']}, {sum(found['faults'].values())} faults: "
          + ", ".join(f"{count} {kind}" for kind, count in sorted(found["faults"].items())))
    print(f"\n{'kind':10} {'sent':>9} {'answered':>9} {'explained':>9} {'UNEXPL.':>8}"
          f" {'p50 ms':>8} {'p90':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
    for kind, row in found["kinds"].items():
        times = " ".join(f"{row['latency_seconds'][key] * 1000:8.1f}" for key in ("p50", "p90", "p99", "p999", "max"))
        print(f"{kind:10} {row['sent']:9} {row['answered']:9} {sum(row['explained'].values()):9} "
              f"{sum(row['unexplained'].values()):8} {times}")
    print(f"{'all':10} {totals['sent']:9} {totals['answered']:9} {totals['explained']:9} {totals['unexplained']:8}")
    print(f"retried by entries: {totals['retried']}; reissued by the public after GOAWAY or REFUSED_STREAM: "
          f"{sum(ledger.again.values())}; POSTs delivered: {totals['posts_delivered']}; "
          f"duplicates: {totals['duplicates']}")
    print(f"the soak's own process was late by more than 0.25 s {totals['own_stalls']} times, "
          f"at worst by {totals['own_worst_lag_seconds']:.2f} s")
    for title in ("explained", "unexplained"):
        for kind, row in found["kinds"].items():
            for reason, count in sorted(row[title].items()):
                print(f"  {title}: {kind}: {reason}: {count}")
    print(f"\n{'program':10} {'RSS MiB start':>13} {'end':>7} {'peak':>7}  {'quarters':28}"
          f" {'fds before':>10} {'start':>6} {'end':>6} {'peak':>6}")
    for role, row in found["programs"].items():
        quarters = " ".join(f"{value / MIB:6.1f}" for value in row["rss_quarters"])
        print(f"{role:10} {row['rss_start'] / MIB:13.1f} {row['rss_end'] / MIB:7.1f} {row['rss_peak'] / MIB:7.1f}  "
              f"{quarters:28} {row['fds_before']:10} {row['fds_start']:6} {row['fds_end']:6} {row['fds_peak']:6}")
    for text in found["problems"]:
        print(f"problem: {text}")
