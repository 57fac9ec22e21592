"""bench.compare: what compare.sh makes of its measurements, without measuring: the plan, ratios, targets, table and
chart, from made-up rounds."""
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from pathlib import Path

import chart
import plan
import report
from results import Results
from targets import targets

HERE = Path(__file__).parent


def made_up():
    results = Results()
    rates = {"direct": 100000, "nghttpx": 25000, "haproxy-tcp": 30000, "ours": 50000}
    for case in plan.FULL:
        for system, rate in rates.items():
            for i in range(5):
                bulk = case.kind in ("up", "down")
                what = {"bytes_per_second": rate * 1e4} if bulk else {"rate": rate + i, "p50": 4e6 / rate,
                                                                      "p99": 8e6 / rate, "p999": 9e6 / rate}
                results.add(case.name, system, {"requests": 9, "errors": 0, "cpu_us": 1e6 / rate, "cores": 1.5,
                                                "rss x": 5 << 20, "peak x": 6 << 20, **what})
    results.add(plan.FULL[0].name, "ours", None)
    results.facts["ours"] = {"idle_tunnelc_rss": 7 << 20, "first_answer_seconds": 0.05}
    return results


def check_ratios(results):
    found = {target.what: target for target in targets(results)}
    fast = found["requests/s at 64 connections, of the nghttpx pair's"]
    assert fast.met and abs(fast.spread[1] - 2) < 0.01, fast
    assert found["CPU a request at 64 connections, of the nghttpx pair's"].spread[1] == 0.5
    added = found["latency added at one connection, of the nghttpx pair's"]
    assert added.met and abs(added.spread[1] - (80 - 40) / (160 - 40)) < 1e-9, added
    assert found["P99 at a steady 1,000 requests/s, beyond direct's"].met
    assert not found["memory of an idle tunnelc"].met
    assert all(target.spread for target in targets(results)), "a target has no case in the plan"
    assert not any(target.spread and target.met for target in targets(Results()))


def check_plan():
    sides = {name: ["h1", "h2", "h2c", "up"] for name in ("direct", "nghttpx", "haproxy", "haproxy-tcp", "ours")}
    assert plan.estimate(plan.cases(False), sides, 5, 3) <= 25 * 60
    assert plan.estimate(plan.cases(True), sides, 3, 1) <= 3.5 * 60
    assert [case.name for case in plan.cases(False, [1000], ["64K"], ["h1"])] == ["h1 64K c1000"]


def check_output(results):
    again = Results.read(results.data())
    text = report.text(again)
    assert "NOT MET" in text and "1 rounds failed" in text, text
    drawn = tree.fromstring(chart.svg(again))
    panels = [e for e in drawn.iter("{http://www.w3.org/2000/svg}text") if e.get("class") == "title"]
    assert len(panels) == len(list(chart.panels(again))) > len(plan.FULL), len(panels)


def check_command():
    done = subprocess.run([HERE.parent / "compare.sh", "--plan", "--fast"], capture_output=True, text=True, check=True)
    assert "minutes" in done.stdout, done.stdout
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "steady"
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", HERE / "steady.c", "-o",
                        program], check=True)
        assert subprocess.run([program], capture_output=True).returncode == 2


check_plan()
check_ratios(made_up())
check_output(made_up())
check_command()
print("the comparison's own arithmetic: as it should be")
sys.exit(0)
