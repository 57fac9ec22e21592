"""headers.reference: doxygen makes the API reference of the public headers without a warning, and every public
function, member of a struct and value of an enum has its text there."""
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import tree

FUNCTION = re.compile(r"^T2_API [^;]*?\b(t2_\w+)\(", re.M)
problems = []


def said_of(element):
    """Its text: what is in its brief and detailed descriptions."""
    return "".join("".join(element.find(kind).itertext()) for kind in ("briefdescription", "detaileddescription")).strip()


def check(xml):
    documented = set()
    for path in xml.glob("*.xml"):
        for element in ElementTree.parse(path).iter():
            if element.tag not in ("memberdef", "enumvalue"):
                continue
            if element.get("kind") == "function":
                documented.add(element.findtext("name"))
            if not said_of(element):
                problems.append(f"{path.name}: {element.findtext('name')} has no text")
    declared = {name for path in [*tree.files(".h", under=("include",)), Path("include/tunnel2/version.h.in")]
                for name in FUNCTION.findall((tree.ROOT / path).read_text())}
    problems.extend(f"{name} is not in the reference" for name in sorted(declared - documented))
    return len(declared)


with tempfile.TemporaryDirectory() as folder:
    generated = Path(folder) / "include/tunnel2"
    generated.mkdir(parents=True)
    template = (tree.ROOT / "include/tunnel2/version.h.in").read_text()
    (generated / "version.h").write_text(re.sub(r"@\w+@", "0", template))
    done = subprocess.run(["doxygen", tree.ROOT / "docs/Doxyfile"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "T2_SOURCE": str(tree.ROOT), "T2_BUILD": folder, "T2_VERSION": "0"})
    problems += [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        problems.append(f"doxygen ended with {done.returncode}")
    total = check(Path(folder) / "reference/xml") if (Path(folder) / "reference/xml").is_dir() else 0
tree.end(problems, f"the reference of {total} functions")
