"""The ABI of libtunnel2.so against what abi/ has on record.

abi.symbols LIBRARY   it exports t2_ functions only: all that were recorded, and none that was not
abi.layout LIBRARY    public structs and enums are as recorded: sizes, offsets, values
abi.diff LIBRARY      abidiff finds no change: types of arguments, members and results too
record LIBRARY        writes the record (by tests/abi/record.sh)
"""
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "abi/libtunnel2.abi"
TEXT = ROOT / "abi/abi.txt"
SUPPRESSIONS = ROOT / "abi/suppressions.ini"
HEADERS = ROOT / "include/tunnel2"
HOW = "When it is meant, record it: tests/abi/record.sh (docs/API.md says what may change)."


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def fail(*lines):
    sys.exit("\n".join([*lines, HOW]))


def exported(library):
    status, said = run("nm", "-D", "--defined-only", library)
    if status:
        sys.exit(said)
    return sorted(line.split()[-1] for line in said.splitlines())


def dump(library):
    status, said = run("abidw", "--headers-dir", HEADERS, "--drop-private-types", "--exported-interfaces-only",
                       "--type-id-style", "hash", "--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", library)
    if status:
        sys.exit(f"abidw ended with {status}: {said}")
    return re.sub(r" path='[^']*/(?=lib/)", " path='", said)  # wherever it was built


def enums():
    """{"enum t2_x": ["value name", ...]} of the public headers, which give every value."""
    found = {}
    for header in sorted(HEADERS.glob("*.h")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        for name, values in re.findall(r"typedef enum (t2_\w+) \{(.*?)\}", text, re.S):
            found[f"enum {name}"] = [f"{int(value):>6} {item}" for item, value in re.findall(r"(\w+) = (-?\d+)", values)]
            if len(found[f"enum {name}"]) != len(re.findall(r"\bT2_\w+", values)):
                sys.exit(f"{header.name}: a value of {name} is not given as a number")
    return found


def layout(dumped):
    """The same, and {"struct t2_x": ["size", "offset member", ...]}, in bytes."""
    found = enums()
    for element in ElementTree.fromstring(dumped).iter():
        name = element.get("name", "")
        if element.tag == "class-decl" and name.startswith("t2_") and element.findall("data-member"):
            members = [f"{int(member.get('layout-offset-in-bits', 0)) // 8:>6} {member.find('var-decl').get('name')}"
                       for member in element.findall("data-member")]
            found[f"struct {name}"] = [f"{int(element.get('size-in-bits')) // 8} bytes", *members]
    return found


def text_of(symbols, types):
    parts = [f"# {platform.machine()}; written by tests/abi/record.sh\n\nfunctions\n" + "".join(f"  {name}\n" for name in symbols)]
    for name in sorted(types):
        parts.append(f"{name}\n" + "".join(f"  {line}\n" for line in types[name]))
    return "\n".join(parts)


def recorded():
    """The machine, the functions and the types of abi.txt."""
    head, *parts = TEXT.read_text().split("\n\n")
    sections = {part.split("\n")[0]: [line[2:] for line in part.split("\n")[1:] if line] for part in parts}
    return head.split()[1].rstrip(";"), sections.pop("functions"), sections


def check_symbols(library):
    names = exported(library)
    foreign = [name for name in names if not name.startswith("t2_")]
    if foreign:
        sys.exit(f"not ours to export: {' '.join(foreign)}")
    _, old, _ = recorded()
    gone, new = sorted(set(old) - set(names)), sorted(set(names) - set(old))
    if gone:
        fail(f"gone, which breaks programs that use them: {' '.join(gone)}")
    if new:
        fail(f"new, and not on record: {' '.join(new)}")
    print(f"{len(names)} functions: as recorded")


def check_layout(library):
    machine, _, old = recorded()
    if machine != platform.machine():
        print(f"the record is of {machine}: nothing to compare on {platform.machine()}")
        return
    now, problems = layout(dump(library)), []
    for name, lines in old.items():
        have = now.get(name)
        if have is None:
            problems.append(f"{name} is gone")
        elif [line for line in lines if not line.endswith(" bytes") and line not in have]:
            problems.append(f"{name}: what was there has moved or is gone, which breaks programs")
        elif have != lines:
            problems.append(f"{name} has grown")
    problems += [f"{name} is new" for name in now if name not in old]
    if problems:
        fail(*problems)
    print(f"{len(now)} structs and enums: as recorded")


def compare(dumped):
    """Status and words of abidiff, dump against dump: abidiff 2.2 misses changes of members when it is to drop private
    types by itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".abi") as now:
        now.write(dumped)
        now.flush()
        return run("abidiff", "--no-show-locs", "--suppressions", SUPPRESSIONS, RECORD, now.name)


def check_diff(library):
    machine, _, _ = recorded()
    if machine != platform.machine():
        print(f"the record is of {machine}: nothing to compare on {platform.machine()}")
        return
    status, said = compare(dump(library))
    if status:
        fail(said.rstrip(), "", "the ABI is incompatible with the record" if status & 8 else "the ABI is not as recorded")
    print("abidiff: no change")


def record(library):
    dumped = dump(library)
    text = text_of(exported(library), layout(dumped))
    # abidw's order is another in each build: what says the same is left as it is.
    if RECORD.exists() and TEXT.exists() and TEXT.read_text() == text and compare(dumped)[0] == 0:
        print("there is nothing new to record")
        return
    RECORD.write_text(dumped)
    TEXT.write_text(text)
    print(f"written: {RECORD.relative_to(ROOT)} ({len(dumped) // 1024} KiB), {TEXT.relative_to(ROOT)}")


what, path = sys.argv[1], Path(sys.argv[2]).resolve()
if not path.exists():
    sys.exit(f"{path} is not there: build the release preset")
{"symbols": check_symbols, "layout": check_layout, "diff": check_diff, "record": record}[what](path)
