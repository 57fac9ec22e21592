"""Behind tests/bench/micro.sh, which says what this is for."""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COUNT = 2000                     # operations under callgrind: more than the tables and pools take to fill
COUNT_OF = {"ticket_sign": 20, "ticket_verify": 20}
MARK = 1.0                       # percent of change that is pointed out


def options():
    parser = argparse.ArgumentParser(prog="micro.sh", description="Instructions and time of the parts without sockets.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these benchmarks (all)")
    parser.add_argument("--against", type=Path, metavar="JSON", help="an earlier run, to print the change in percent")
    parser.add_argument("--out", type=Path, default=ROOT / "build/micro.json", metavar="JSON",
                        help="(build/micro.json)")
    parser.add_argument("--ms", type=int, default=300, help="to take the time of each for; 0: not at all (300)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--program", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"micro: {command[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def instructions(program, name):
    """Of one operation: what happens inside t2_bench_measured alone is counted, in a run after a warm one."""
    count = COUNT_OF.get(name, COUNT)
    with tempfile.NamedTemporaryFile(prefix="t2-micro-") as file:
        output("valgrind", "-q", "--tool=callgrind", "--toggle-collect=t2_bench_measured",
               f"--callgrind-out-file={file.name}", program, "--count", count, name)
        for line in Path(file.name).read_text().splitlines():
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1]) / count
    raise SystemExit(f"micro: callgrind counted nothing for {name}")


def measure(program, name, ms):
    found = {"instructions": round(instructions(program, name), 1)}
    if ms:
        _, median, least = output(program, "--ms", ms, name).split()
        found.update(ns=float(median), ns_least=float(least))
    return found


def change(now, before):
    """In percent, marked where it is more than MARK."""
    if not before:
        return "new"
    percent = (now - before) / before * 100
    return f"{percent:+.2f} %" + (" *" if abs(percent) >= MARK else "")


def main():
    given = options()
    known = output(given.program, "--list").split()
    if given.list:
        print("\n".join(known))
        return 0
    unknown = set(given.names) - set(known)
    if unknown:
        print(f"micro: no such benchmark: {', '.join(sorted(unknown))} (see --list)", file=sys.stderr)
        return 2
    before = json.loads(given.against.read_text()) if given.against else None
    found = {}
    print(f"{'':<28}{'instructions':>14}{'ns':>12}{'least ns':>12}{'  instructions changed' if before else ''}")
    for name in given.names or known:
        found[name] = measure(given.program, name, given.ms)
        row = found[name]
        times = "".join(f"{row[key]:>12,.1f}" if key in row else f"{'':>12}" for key in ("ns", "ns_least"))
        changed = f"  {change(row['instructions'], before.get(name, {}).get('instructions'))}" if before else ""
        print(f"{name:<28}{row['instructions']:>14,.0f}{times}{changed}", flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
