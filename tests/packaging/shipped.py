"""What the programs say of themselves, for tests of what is shipped beside them."""
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("T2_BIN", ROOT / "build/asan/bin"))
RELEASE = Path(os.environ.get("T2_RELEASE", ROOT / "build/release"))
PROGRAMS = ["tunneld", "proxyentry", "tunnelc"]


def call(*command, timeout=120, **options):
    """Runs a command that has to work; returns what it printed on stdout."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
    return done.stdout


def help_options(program):
    """(name, argument or "") of each option of --help, in its order."""
    rows = re.findall(r"^  --([a-z0-9-]+)(?: (\S.*?))?(?:   *.*)?$", call(BIN / program, "--help"), re.M)
    assert len(rows) > 15, rows
    return rows


def subcommands():
    """Those of tunnelc, as its usage has them: "http TARGET | files DIR  [OPTION]..."."""
    usage = call(BIN / "tunnelc", "--help").splitlines()[0].split("[OPTION]")[0].split("tunnelc", 1)[1]
    return [part.split()[0] for part in usage.split("|")]
