"""lint.symbols LIBDIR: the libraries define t2_ symbols only, and hold no mutable global state."""
import re
import sys
from pathlib import Path

import tree

folder = Path(sys.argv[1])
problems = []


def defined(*arguments):
    """Names of the symbols that nm lists, by address-sorted lines 'VALUE TYPE NAME'."""
    status, said = tree.run("nm", *arguments)
    if status:
        problems.append(said.rstrip())
    return [line.split()[-1] for line in said.splitlines() if re.match(r"^[0-9a-f]+ \w \S", line)]


def check_names(path, *options):
    names = defined(*options, "--defined-only", path)
    if not names:
        problems.append(f"{path}: no symbols in it")
    for name in names:
        if not name.startswith("t2_"):
            problems.append(f"{path.name}: {name} does not start with t2_")


def check_no_globals(path):
    """Nothing may live in .data or .bss; constant tables with addresses in them (.data.rel.ro) are not mutable."""
    _, said = tree.run("objdump", "-t", path)
    for line in said.splitlines():
        found = re.match(r"^[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)", line)
        if not found or int(found.group(2), 16) == 0:
            continue
        section, _, name = found.groups()
        mutable = section in (".data", ".bss", "*COM*", ".tdata", ".tbss") or section.startswith((".data.", ".bss."))
        if mutable and not section.startswith(".data.rel.ro"):
            problems.append(f"{path.name}: {name} is mutable state outside any object ({section})")


shared, static = folder / "libtunnel2.so", folder / "libtunnel2.a"
for library in (shared, static):
    if not library.exists():
        problems.append(f"{library} is not there: build the release preset")
if not problems:
    check_names(shared, "-D")
    check_names(static, "-g")
    check_no_globals(static)
tree.end(problems, "symbols of libtunnel2")
