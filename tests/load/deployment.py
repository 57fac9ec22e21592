"""The programs of a run, what they use, and clients that come and go."""
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from programs import Program, Site  # noqa: E402

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PATIENCE = 120  # seconds past a plan's end after which the generator is given up
TOOLS = {
    "load_generator": ("generator.c", "histogram.c", "message.c", "plan.c", "pool.c", "tally.c", "target.c"),
    "load_origin": ("origin.c", "message.c"),
}


def build_tools(folder):
    """Compiles generator and origin into the folder, if they are older than their sources."""
    folder.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in HERE.glob("*.[ch]"))
    for name, sources in TOOLS.items():
        program = folder / name
        if program.exists() and program.stat().st_mtime >= newest:
            continue
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=gnu11", "-D_GNU_SOURCE",
                        *(str(HERE / source) for source in sources), "-lm", "-o", str(program)], check=True)
    return folder


def build_release():
    """The folder of the release build's programs, which are built if one is missing."""
    binaries = ROOT / "build/release/bin"
    if all((binaries / name).exists() for name in ("tunneld", "proxyentry", "tunnelc")):
        return binaries
    (ROOT / "build").mkdir(exist_ok=True)
    log_path = ROOT / "build/load-build.log"
    with open(log_path, "wb") as log:
        for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release"]):
            if subprocess.run(command, cwd=ROOT, stdout=log, stderr=log).returncode:
                raise SystemExit(f"the release build failed: see {log_path}")
    return binaries


def usage(pid):
    """(seconds of processor time, bytes resident) of a process, or None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        resident = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK, int(resident.split()[1]) * PAGE


class Deployment:
    """What a part of a scenario stands on, as a context manager."""

    def __init__(self, part, folder, binaries, tools, entry_options=(), client_options=()):
        self.part, self.tools = part, tools
        self.entry_options, self.client_options = entry_options, client_options
        self.site = Site(folder, binaries=binaries, log_level="error")
        self.clients = []  # the oldest first
        self.lock = threading.Lock()

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        self.origin = Program("load_origin", (), self.site.folder, binaries=self.tools)
        self.port = self.origin.event("ready")["port"]
        self.site.tunneld()
        self.site.proxyentry(*self.entry_options)
        begun = [self.start_client(session) for _ in range(self.part.clients) for session in self.sessions]
        for client in begun:
            client.event("ready")

    @property
    def sessions(self):
        return [f"load-{i}" for i in range(self.part.sessions)]

    @property
    def urls(self):
        host, port = self.site.public
        return [f"http://{host}:{port}/session/{session}/" for session in self.sessions]

    def start_client(self, session):
        client = self.site.tunnelc(str(self.port), *self.client_options, session=session, ready=False)
        with self.lock:
            self.clients.append(client)
        return client

    def take_oldest(self):
        with self.lock:
            return self.clients.pop(0)

    def forget(self, client):
        with self.lock:
            self.site.programs.remove(client)

    def processes(self):
        """[(role, pid)] of what runs now."""
        with self.lock:
            programs = [self.origin, *self.site.programs]
        return [(program.label.rstrip("0123456789").rstrip("-"), program.pid) for program in programs
                if program.process.poll() is None]

    def close(self):
        """Ends everything; an end that was not in order is an AssertionError."""
        try:
            self.site.close()
        finally:
            if hasattr(self, "origin"):
                self.origin.stop()


class Sampler:
    """Processor time and memory of each role, every second, as {"t", "roles": {role: {cpu, rss, n}}}."""

    def __init__(self, processes):
        self.processes = processes  # a function: [(role, pid)]
        self.samples = []
        self.cpu = defaultdict(float)  # seconds of each role
        self._last = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.begun = time.monotonic()
        self._sample(first=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        while not self._stopping.wait(max(0.0, self.begun + len(self.samples) - time.monotonic())):
            self._sample()
        self._sample()

    def _sample(self, first=False):
        """Of a process that was not there before all its time counts, but for the first sample."""
        now = time.monotonic()
        roles = defaultdict(lambda: {"cpu": 0.0, "rss": 0, "n": 0})
        for role, pid in self.processes():
            used = usage(pid)
            if used is None:
                continue
            before = self._last.get(pid, used[0] if first else 0.0)
            self._last[pid] = used[0]
            self.cpu[role] += used[0] - before
            roles[role]["cpu"] += used[0] - before
            roles[role]["rss"] += used[1]
            roles[role]["n"] += 1
        lasted = now - self.samples[-1]["at"] if self.samples else 0
        for one in roles.values():
            one["cpu"] = one["cpu"] / lasted if lasted > 0 else 0.0  # of one processor
        self.samples.append({"at": now, "t": now - self.begun, "roles": dict(roles)})


class Churn:
    """Clients of a part that come and go until the with block ends."""

    def __init__(self, deployment, how, every):
        self.deployment, self.how, self.every = deployment, how, every
        self.count = 0
        self.problem = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        if self.how:
            self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stopping.set()
        if self.how:
            self._thread.join()
        if self.problem and kind is None:
            raise self.problem

    def _run(self):
        try:
            while not self._stopping.wait(self.every):
                self._one()
        except Exception as problem:  # shown by the thread that waits for this one
            self.problem = problem

    def _one(self):
        """One comes, and when it is ready the oldest goes; one that is killed goes first."""
        if self.how == "kill":
            oldest = self.deployment.take_oldest()
            oldest.kill()
        self.deployment.start_client(self.deployment.sessions[0]).event("ready")
        if self.how == "stop":
            oldest = self.deployment.take_oldest()
            oldest.stop()
            oldest.check_end()
        self.deployment.forget(oldest)
        self.count += 1


class Generator:
    """The generator while it runs: each line it writes goes to on_line as an object."""

    def __init__(self, deployment, steps, on_line, poisson=False, seed=1, connections=512, timeout=10):
        self.length = sum(step.seconds for step in steps)
        command = [str(deployment.tools / "load_generator"), "--seed", str(seed), "--connections", str(connections),
                   "--timeout", str(timeout)]
        command += ["--poisson"] if poisson else []
        for step in steps:
            command += ["--step", f"{step.rate:g}:{step.seconds:g}" + (f":{step.body}" if step.body else "")]
        self.on_line = on_line
        self.process = subprocess.Popen([*command, *deployment.urls], stdout=subprocess.PIPE, text=True)
        self._watch = threading.Timer(self.length + timeout + PATIENCE, self.process.kill)
        self._watch.daemon = True

    def run(self):
        self._watch.start()
        try:
            for line in self.process.stdout:
                self.on_line(json.loads(line))
            if self.process.wait():
                raise RuntimeError(f"the generator ended with {self.process.returncode}")
        finally:
            self._watch.cancel()
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
