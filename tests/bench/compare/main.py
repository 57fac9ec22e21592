"""Behind tests/bench/compare.sh, which says what this is for."""
import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import chart
import plan
import report
import systems
from load import Load
from results import Results
from site_of import Failed, Site

ROOT = Path(__file__).resolve().parents[3]
SIDES = ("h1", "h2", "h2c", "up")
TCP_ONLY = ("haproxy-tcp", "rathole", "frp", "chisel", "bore")  # they carry HTTP/1.1 to the origin, which speaks it


def words(known):
    """A type for argparse: a list with commas, of what is known."""
    def read(text):
        found = text.split(",")
        for word in found:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word}: not one of {', '.join(known)}")
        return found
    return read


def numbers(text):
    return [int(word) for word in text.split(",")]


def options():
    parser = argparse.ArgumentParser(prog="compare.sh", description="Ours beside other systems, on loopback.")
    parser.add_argument("--rounds", type=int, help="of each case and system (5; with --fast 3)")
    parser.add_argument("--seconds", type=int, help="of each measurement (3; with --fast 1)")
    parser.add_argument("--connections", type=numbers, metavar="LIST", help="only cases with so many")
    parser.add_argument("--bodies", type=words(plan.BODIES), metavar="LIST", help="only these of 13,1K,64K,100M")
    parser.add_argument("--sides", type=words(SIDES[:3]), metavar="LIST", help="only these of h1,h2,h2c")
    parser.add_argument("--systems", type=words(systems.SYSTEMS), metavar="LIST",
                        help=f"only these of {','.join(systems.SYSTEMS)}")
    parser.add_argument("--fast", action="store_true", help="the main cases, in two to three minutes")
    parser.add_argument("--limit", type=float, metavar="MINUTES", help="measure no longer (twice the estimate)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/compare", metavar="FOLDER",
                        help="for compare.json, compare.svg and compare.txt (build/compare)")
    parser.add_argument("--plan", action="store_true", help="say what would be measured, and how long it takes")
    parser.add_argument("--from", dest="source", type=Path, metavar="JSON", help="tables and chart of an earlier run")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.fast else 5)
    given.seconds = given.seconds or (1 if given.fast else 3)
    return given


def chosen_systems(given):
    """Those that can take part; says which can't."""
    found = []
    for name in given.systems or systems.SYSTEMS:
        missing = systems.absent(name)
        if missing:
            print(f"left out: {name} ({' and '.join(missing)} not on the PATH)")
        else:
            found.append(name)
    return found


def machine():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} x {line.split(':', 1)[1].strip()}"
    return f"{os.cpu_count()} x {platform.machine()}"


def announce(cases, sides_of, given):
    seconds = plan.estimate(cases, sides_of, given.rounds, given.seconds)
    print(f"{len(cases)} cases, {len(sides_of)} systems ({', '.join(sides_of)}), {given.rounds} rounds of "
          f"{given.seconds} s: about {seconds / 60:.1f} minutes")
    for case in cases:
        print(f"  {case.name:<20} {', '.join(name for name, sides in sides_of.items() if case.url_side in sides)}")
    sys.stdout.flush()
    return seconds


def start_all(names, site, results):
    """By name those that came up."""
    origin = systems.start_origin(site)
    running = {}
    for name in names:
        before = len(site.processes)
        try:
            running[name] = systems.start(name, site, origin)
        except Failed as failure:
            print(f"left out: {name}: {failure}")
            for process in site.processes[before:]:
                site.end(process)
            continue
        results.facts[name] = running[name].facts
    return running


def measure_all(cases, running, given, load, results, until):
    """Rounds of a case are interleaved: one of each system, then the next of each."""
    for case in cases:
        taking_part = {name: system for name, system in running.items() if case.url_side in system.urls}
        for i in range(given.rounds):
            for name, system in taking_part.items():
                if time.monotonic() > until:
                    print(f"the time is up: {case.name} has {i} rounds, and what comes after it none")
                    return
                try:
                    results.add(case.name, name, load.measure(case, system))
                except Failed as failure:
                    results.add(case.name, name, None)
                    print(f"  {case.name}: {name}: {failure}")
        parts = []
        for name in taking_part:
            for figure, scale, unit in (("bytes_per_second", 1e-6, " MB/s"), ("rate", 1, "/s")):
                value = results.median(case.name, name, figure)
                if value is not None:
                    parts.append(f"{name} {report.plain(value * scale)}{unit}")
                    break
        print(f"{case.name:<20} {', '.join(parts)}", flush=True)


def warm(running, load):
    for system in running.values():
        for case in (plan.Case("h1", "rate", "13", 64), plan.Case("h2", "rate", "13", 64)):
            if case.url_side in system.urls:
                try:
                    load.measure(case, system)
                except Failed:
                    pass  # it will be said where it counts


def write(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    text = report.text(results)
    (folder / "compare.json").write_text(json.dumps(results.data(), indent=1) + "\n")
    (folder / "compare.svg").write_text(chart.svg(results))
    (folder / "compare.txt").write_text(text + "\n")
    print(f"\n{text}\n\nwritten: {folder}/compare.json, compare.svg, compare.txt")


def version():
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip()


def ended(number, _):
    raise SystemExit(128 + number)


def main():
    given = options()
    if given.source:
        write(Results.read(json.loads(given.source.read_text())), given.out)
        return 0
    cases = plan.cases(given.fast, given.connections, given.bodies, given.sides)
    names = chosen_systems(given)
    expected = {name: [side for side in SIDES if name not in TCP_ONLY or side in ("h1", "up")] for name in names}
    seconds = announce(cases, expected, given)
    if given.plan:
        return 0
    signal.signal(signal.SIGTERM, ended)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    began = time.monotonic()
    results = Results()
    results.about = {"rounds": given.rounds, "seconds": given.seconds, "machine": machine(), "version": version(),
                     "date": time.strftime("%Y-%m-%d"), "load_before": os.getloadavg()[0]}
    with Site() as site:
        running = start_all(names, site, results)
        load = Load(site, given.seconds)
        warm(running, load)
        measure_all(cases, running, given, load, results, began + (given.limit * 60 if given.limit else 2 * seconds))
    results.about["took_seconds"] = round(time.monotonic() - began)
    write(results, given.out)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(f"compare: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
