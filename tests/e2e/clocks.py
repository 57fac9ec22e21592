"""Programs whose wall clocks a test moves while they run, each on its own (release build: the shim is preloaded)."""
import os
import struct
import subprocess
from pathlib import Path

from programs import BIN_RELEASE, Site

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")


def build_shim(folder):
    """clock_shim.c, compiled."""
    shim = Path(folder) / "clock_shim.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, HERE / "clock_shim.c"], check=True)
    return shim


class Clock:
    """How far ahead of the machine's clock a program's is, in seconds."""

    def __init__(self, path, ahead=0):
        self.path = path
        self.set(ahead)

    def set(self, ahead):
        """At once, also for a program that runs."""
        if not self.path.exists():
            self.path.write_bytes(struct.pack("=q", ahead))
            return
        with open(self.path, "r+b", buffering=0) as file:
            file.write(struct.pack("=q", ahead))


class ClockSite(Site):
    """A site whose programs each have `clock`; `ahead` says by name how theirs begin."""

    def __init__(self, folder, shim, own=False, **ahead):
        super().__init__(folder, binaries=BIN_RELEASE, own=own)
        self.shim, self.ahead = shim, ahead

    def start(self, name, *arguments, **options):
        clock = Clock(self.folder / f"{name}-{self.counts.get(name, 0) + 1}.clock", self.ahead.get(name, 0))
        environment = {"LD_PRELOAD": str(self.shim), "T2_CLOCK": str(clock.path)}
        program = super().start(name, *arguments, environment=environment, **options)
        program.clock = clock
        return program


def cpu_seconds(program):
    """What it has used of the processor."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK
