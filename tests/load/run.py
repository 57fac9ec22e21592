#!/usr/bin/env python3
"""Load tests with the real programs (the release build's, built if missing), and reports of them.

    tests/load/run.py ramp                       reports in build/load/ramp
    tests/load/run.py all --out /tmp/reports     each scenario in a folder of its own there
    tests/load/run.py ultra --fast               a second a step: does it work at all

Requests are sent by an open schedule and their latency counts from the planned time, so that waiting is not hidden.
The exit status is 0 when every threshold is met, 1 when one is not, 2 when a run could not be made.
"""
import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

import report
from deployment import ROOT, Churn, Deployment, Generator, Sampler, build_release, build_tools
from scenarios import SCENARIOS, judge, shortened

PROGRESS_EVERY = 5  # seconds, where the line can't be written over


def arguments(given=None):
    names = "\n".join(f"  {scenario.name:<10} {scenario.what}" for scenario in SCENARIOS.values())
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=f"scenarios:\n{names}\n  all",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"], metavar="SCENARIO")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the reports (build/load/SCENARIO)")
    parser.add_argument("--fast", action="store_true", help="a second a step; only correctness is asked")
    parser.add_argument("--poisson", action="store_true", help="random gaps between requests (equal ones)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random gaps (1)")
    parser.add_argument("--p99", type=float, metavar="MS", help="P99 to stay under (the scenario's)")
    parser.add_argument("--success", type=float, metavar="PERCENT", help="of requests, at least (the scenario's)")
    parser.add_argument("--connections", type=int, default=512, metavar="N", help="of the load, at most (512)")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS",
                        help="for a connection, and then for the answer (10)")
    parser.add_argument("--bin", type=Path, metavar="FOLDER",
                        help="other programs ($T2_BIN_RELEASE, build/release/bin)")
    parser.add_argument("--tools", type=Path, metavar="FOLDER", help="load_generator and load_origin (built)")
    parser.add_argument("--entry-options", default="", metavar="'...'", help="more options of proxyentry")
    parser.add_argument("--client-options", default="", metavar="'...'", help="more options of tunnelc")
    return parser.parse_args(given)


class Progress:
    """A line on stderr: each second over the one before on a terminal, else every five seconds."""

    def __init__(self, name, length):
        self.name, self.length = name, length
        self.planned = self.good = self.failed = 0
        self.terminal = sys.stderr.isatty()
        self.last = time.monotonic()

    def second(self, one):
        self.planned, self.good = self.planned + one["planned"], self.good + one["good"]
        self.failed += one["failed"]
        if not self.terminal and time.monotonic() - self.last < PROGRESS_EVERY:
            return
        self.last = time.monotonic()
        self._write(f"{self.name} {one['t'] + 1}/{self.length:g} s: {self.planned:,} planned, {self.good:,} good, "
                    f"{self.failed:,} failed; now {one['planned']:,}/s, P50 {one['p50_us'] / 1000:.2f} ms, "
                    f"P99 {one['p99_us'] / 1000:.2f} ms, {one['connections']} connections")

    def _write(self, text):
        sys.stderr.write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self):
        if self.terminal:
            sys.stderr.write("\n")


def run_part(part, options, binaries, tools):
    """Everything that was measured of a part: what report.py takes."""
    result = {"part": part, "seconds": [], "steps": [], "total": None}
    progress = Progress(part.name, sum(step.seconds for step in part.steps))

    def on_line(line):
        kind = line["type"]
        if kind == "second":
            result["seconds"].append(line)
            progress.second(line)
        elif kind == "step":
            result["steps"].append(line)
        else:
            result[kind] = line

    with tempfile.TemporaryDirectory(prefix="t2-load-") as folder, Deployment(
            part, folder, binaries, tools, shlex.split(options.entry_options),
            shlex.split(options.client_options)) as deployment:
        generator = Generator(deployment, part.steps, on_line, options.poisson, options.seed, options.connections,
                              options.timeout)

        def processes():
            return [*deployment.processes(), ("load_generator", generator.process.pid)]

        with Sampler(processes) as sampler, Churn(deployment, part.churn, part.churn_every) as churn:
            generator.run()
        result.update(samples=sampler.samples, cpu=dict(sampler.cpu), churned=churn.count)
    progress.end()
    result["verdicts"] = judge(part, result, options.success, options.p99)
    return result


def run_scenario(scenario, options, folder, binaries, tools):
    """Runs and reports; True when all that is asked is met."""
    parts = [shortened(part) if options.fast else part for part in scenario.parts]
    begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    results = [run_part(part, options, binaries, tools) for part in parts]
    command = "tests/load/run.py " + shlex.join([scenario.name, *options.given])
    report.write(folder, scenario, results, {"begun": begun, "command": command, "fast": options.fast})
    print(report.summary(scenario, results), end="")
    print(f"reports: {folder}")
    return all(met for result in results for _, met in result["verdicts"])


def main(given):
    options = arguments(given)
    options.given = [word for word in given if word != options.scenario]
    named = options.bin or os.environ.get("T2_BIN_RELEASE")
    binaries = Path(named) if named else build_release()
    tools = options.tools or build_tools(ROOT / "build/load/bin")
    out = options.out or ROOT / "build/load" / options.scenario
    if options.scenario != "all":
        return 0 if run_scenario(SCENARIOS[options.scenario], options, out, binaries, tools) else 1
    met = {name: run_scenario(scenario, options, out / name, binaries, tools) for name, scenario in SCENARIOS.items()}
    report.write_index(out, met)
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (AssertionError, OSError, RuntimeError) as problem:
        print(f"run.py: {problem}", file=sys.stderr)
        sys.exit(2)
