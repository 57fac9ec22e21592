"""lint.cppcheck BUILD: cppcheck over lib/, apps/ and examples/ (its own cache in BUILD/cppcheck)."""
import os
import sys
from pathlib import Path

import tree

build = Path(sys.argv[1]).resolve()
cache = build / "cppcheck"
cache.mkdir(exist_ok=True)
sources = tree.files(".c", under=("lib", "apps", "examples"))
status, said = tree.run(
    "cppcheck", "--quiet", "--std=c11", "--language=c", "--platform=unix64", "-j", os.cpu_count(),
    "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1",
    "--suppress=missingInclude", "--suppress=missingIncludeSystem", "--suppress=unmatchedSuppression",
    f"--cppcheck-build-dir={cache}", "-D_GNU_SOURCE", "-D__GNUC__", "-DMBEDTLS_VERSION_NUMBER=0x021c0300",
    "-Iinclude", f"-I{build}/include", "-Ilib", "-Iapps",
    *sources)
tree.end([said.rstrip()] if status else [], f"cppcheck of {len(sources)} files")
