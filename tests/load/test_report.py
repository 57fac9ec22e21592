"""Reports and verdicts, from figures that are made up."""
import csv
import io
import xml.etree.ElementTree as ElementTree

import report
from scenarios import KB, SCENARIOS, Limits, Part, Scenario, Step, judge, shortened

KEYS = [key for _, key in report.PERCENTILES]


def counted(planned, errors=None, **more):
    failed = sum((errors or {}).values())
    latency = {key: 250.0 * (i + 1) for i, key in enumerate(KEYS)}
    return {"planned": planned, "sent": planned, "late": planned // 2, "starved": planned // 4,
            "answered": planned - failed, "good": planned - failed, "errors": errors or {}, "failed": failed,
            "mean_us": 300.0, **latency, **more}


def made_up(part):
    """A result in which every step but the first has a timeout and a 503."""
    steps = [counted(int(step.rate * step.seconds), {"timeout": 1, "status_5xx": 1} if i else None, rate=step.rate,
                     seconds=step.seconds, body=step.body, index=i) for i, step in enumerate(part.steps)]
    errors = {kind: sum(step["errors"].get(kind, 0) for step in steps) for kind in ("timeout", "status_5xx")}
    total = counted(sum(step["planned"] for step in steps), {kind: n for kind, n in errors.items() if n})
    seconds = [counted(step.rate, {"timeout": 1} if t else None, t=t, connections=3, busy=1)
               for t, step in enumerate(part.steps)]
    samples = [{"t": t, "roles": {role: {"cpu": 0.25, "rss": 5 << 20, "n": 1} for role in report.ROLES}}
               for t in range(len(seconds) + 1)]
    result = {"part": part, "steps": steps, "seconds": seconds, "total": total, "samples": samples,
              "cpu": dict.fromkeys(report.ROLES, 1.0), "churned": 2 if part.churn else 0}
    result["verdicts"] = judge(part, result)
    return result


META = {"begun": "2026-01-01 00:00:00 UTC", "command": "tests/load/run.py <ramp> & more", "fast": False}


def parse(path):
    """The page as XML, which it is but for its first line."""
    text = path.read_text()
    assert text.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(text.split("\n", 1)[1])


def test_every_scenario_has_all_reports(tmp_path):
    for scenario in SCENARIOS.values():
        folder = tmp_path / scenario.name
        results = [made_up(part) for part in scenario.parts]
        report.write(folder, scenario, results, META)
        page = parse(folder / "report.html")
        text = " ".join(page.itertext())
        for word in ("P99.9", "proxyentry", "RSS", "CPU us a request", "99.66 at best, 55 at worst",
                     "25-30", "43", "5.9"):
            assert word in text, word
        svg = "{http://www.w3.org/2000/svg}"
        plots = list(page.iter(f"{svg}svg"))
        assert len(plots) == 6 * len(results)
        for plot in plots:
            assert list(plot.iter(f"{svg}polyline")) or list(plot.iter(f"{svg}circle")), plot.get("aria-label")
        assert "prefers-color-scheme: dark" in text
        markdown = (folder / "report.md").read_text()
        assert all(f"| {report.step_name(step)} |" in markdown for result in results for step in result["steps"])
        rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
        assert [float(row["rate"]) for row in rows] == [step.rate for part in scenario.parts for step in part.steps]
        seconds = list(csv.DictReader(io.StringIO((folder / "seconds.csv").read_text())))
        assert len(seconds) == sum(len(result["seconds"]) for result in results)
        assert all(row["tunnelc_cpu"] == "0.25" and row["tunnelc_rss"] == str(5 << 20) for row in seconds)
        verdicts = [verdict for result in results for verdict in result["verdicts"]]
        said = (folder / "summary.txt").read_text()
        assert all(f"{'met' if met else 'NOT MET'}: {text}\n" in said for text, met in verdicts)
    met = dict.fromkeys(SCENARIOS, True)
    report.write_index(tmp_path, met)
    assert [link.get("href") for link in parse(tmp_path / "report.html").iter("a")] == [
        f"{name}/report.html" for name in SCENARIOS]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + sum(
        len(part.steps) for scenario in SCENARIOS.values() for part in scenario.parts)


def test_a_run_without_an_answer_has_a_report(tmp_path):
    part = Part("dead", (Step(10, 1),), Limits(p99_ms=5))
    result = made_up(part)
    dead = {"planned": 10, "good": 0, "answered": 0, "failed": 10, "errors": {"connect": 10},
            **dict.fromkeys(KEYS, 0.0)}
    for one in (*result["steps"], *result["seconds"], result["total"]):
        one.update(dead)
    result["verdicts"] = judge(part, result)
    assert [met for _, met in result["verdicts"]] == [False, False]
    report.write(tmp_path, Scenario("dead", "nobody answers", (part,)), [result], META)
    assert "connect 10" in " ".join(parse(tmp_path / "report.html").itertext())


def test_one_error_misses_and_p99_is_judged():
    part = Part("two", (Step(100, 10), Step(1000, 10)), Limits(p99_ms=5))
    result = made_up(part)
    assert [met for _, met in judge(part, result)] == [False, True]  # two errors of 11,000
    assert [met for _, met in judge(part, result, success=99.9)] == [True, True]
    assert [met for _, met in judge(part, result, p99_ms=1.25)] == [False, False]  # it is that, not under it
    upto = Part("two", part.steps, Limits(up_to_rate=100))
    assert [met for _, met in judge(upto, result)] == [True]  # errors of the step past it do not count


def test_the_scenarios_are_those_that_were_asked_for():
    def rates(name):
        return [(step.rate, step.seconds) for step in SCENARIOS[name].parts[0].steps]
    assert list(SCENARIOS) == ["baseline", "post", "ramp", "sustained", "max", "ultra", "clients", "churn"]
    assert rates("baseline") == [(10, 120)]
    assert [step.body for step in SCENARIOS["post"].parts[0].steps] == [KB, 10 * KB, 100 * KB]
    assert sum(rate * seconds for rate, seconds in rates("ramp")) == 56_100
    assert rates("sustained")[0] == (100, 60) and rates("sustained")[-1] == (800, 60)
    assert rates("max")[0][0] == 500 and rates("max")[-1][0] == 3000
    assert rates("ultra") == [(1000, 20), (5000, 20), (10000, 20), (20000, 20), (50000, 20)]
    assert [(part.sessions, part.clients) for part in SCENARIOS["clients"].parts] == [(1, 40), (40, 1)]
    assert all(sum(step.seconds for part in scenario.parts for step in shortened(part).steps) <= 8
               for scenario in SCENARIOS.values())
