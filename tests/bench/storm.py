#!/usr/bin/env python3
"""An entry with COUNT sessions is killed and started anew: when are all back, and how does traffic fare meanwhile?

    tests/bench/storm.py [COUNT] [BUILD]       with the release build, or the one in that folder

The sessions are those of one process, sessions.c; two more, on this entry and on another of the same machine, have
traffic. Nothing else runs meanwhile.
"""
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/bench")]
BUILD = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else ROOT / "build/release"
os.environ.setdefault("T2_BIN", str(BUILD / "bin"))

from programs import Site  # noqa: E402
from sessions import compile_sessions  # noqa: E402
from storm import Storm  # noqa: E402


def main(count):
    folder = Path(tempfile.mkdtemp(prefix="t2-storm-"))
    sites = [Site(folder / name, log_level="error") for name in ("storm", "beside")]
    storm = Storm(compile_sessions(folder, BUILD), *sites, count, 60 + count / 20)
    try:
        storm.prepare()
        storm.run()
        print(storm.report())
    finally:
        for site in sites:
            site.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
