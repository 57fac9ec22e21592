"""The source tree as the lint scripts see it: its root, its files, and how they say what is wrong."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("lib", "apps", "include", "tests", "examples")


def files(*suffixes, under=FOLDERS):
    """All files below the named folders with one of the suffixes, sorted, relative to the root."""
    found = []
    for folder in under:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes and path.is_file():
                found.append(path.relative_to(ROOT))
    return sorted(found)


def run(*command, **options):
    """Runs a command in the root; returns its exit status and all it printed."""
    done = subprocess.run([str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options)
    return done.returncode, done.stdout


def end(problems, checked):
    """Prints the problems and ends the process: 1 if there are any."""
    for problem in problems:
        print(problem)
    print(f"{checked}: {len(problems)} problem{'' if len(problems) == 1 else 's'}")
    sys.stdout.flush()
    os._exit(1 if problems else 0)
