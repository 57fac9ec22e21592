"""lint.tidy BUILD: clang-tidy over lib/ and apps/, as many at once as there are processors.

A file that passed is not looked at again until it, any header, its command or .clang-tidy changes (BUILD/tidy).
"""
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tree

build = Path(sys.argv[1]).resolve()
stamps = build / "tidy"
stamps.mkdir(exist_ok=True)

common = hashlib.sha256((tree.ROOT / ".clang-tidy").read_bytes())
for header in tree.files(".h", under=("lib", "include", "apps")):
    common.update(str(header).encode() + (tree.ROOT / header).read_bytes())


def commands():
    """One compile command a source file; objects are compiled once but may be listed for several targets."""
    chosen = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = Path(entry["file"])
        if source.is_relative_to(tree.ROOT / "lib") or source.is_relative_to(tree.ROOT / "apps"):
            chosen[source] = entry["command"]
    return sorted(chosen.items())


def check(item):
    source, command = item
    digest = common.copy()
    digest.update(command.encode() + source.read_bytes())
    stamp = stamps / digest.hexdigest()
    if stamp.exists():
        return None
    status, said = tree.run("clang-tidy", "--quiet", "-p", build, source)
    if status:
        return said.rstrip()
    stamp.touch()
    return None


todo = commands()
with ThreadPoolExecutor(os.cpu_count()) as pool:
    problems = [said for said in pool.map(check, todo) if said]
tree.end(problems, f"clang-tidy of {len(todo)} files")
