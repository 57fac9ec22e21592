"""tsan.threads BINDIR: the thread tests of the ThreadSanitizer build; any race it reports fails."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import tree

programs = sorted(Path(sys.argv[1]).glob("test_*threads"))
if not programs:
    sys.exit(f"no thread tests in {sys.argv[1]}: build the tsan preset")
environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=0:exitcode=66:second_deadlock_stack=1")
# gcc 12's ThreadSanitizer does not know every address layout of newer kernels; without randomisation it does.
plain = ["setarch", os.uname().machine, "-R"] if shutil.which("setarch") else []
if plain and subprocess.run([*plain, "true"], stderr=subprocess.DEVNULL).returncode:
    plain = []
problems = []
for program in programs:
    print(program.name, flush=True)
    done = subprocess.run([*plain, program], env=environment, cwd=tree.ROOT)
    if done.returncode:
        problems.append(f"{program.name} ended with {done.returncode}")
tree.end(problems, f"{len(programs)} thread tests under ThreadSanitizer")
