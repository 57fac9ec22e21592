"""Starts the real programs and waits for what they say: one state directory, free ports, a deadline on every wait."""
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

import certificates

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("T2_BIN", ROOT / "build/asan/bin"))
BIN_RELEASE = Path(os.environ.get("T2_BIN_RELEASE", ROOT / "build/release/bin"))
DEADLINE = float(os.environ.get("T2_DEADLINE", "30"))  # seconds: far more than anything takes when it works
# Of programs whose tests don't say it: e2e.wide.* are those of others with several threads.
WORKERS = {"proxyentry": os.environ.get("T2_ENTRY_WORKERS"), "tunnelc": os.environ.get("T2_CLIENT_WORKERS")}
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|LeakSanitizer|WARNING: ThreadSanitizer")
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def wait_until(condition, what, timeout=DEADLINE, every=0.02):
    """Returns condition()'s first true value; AssertionError says what did not come true."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout:g} s"
        time.sleep(every)


class Program:
    """One running program: its events (--json), its log (stderr, kept in a file), its end."""

    def __init__(self, name, arguments, folder, label=None, binaries=BIN, environment=None, prefix=(), pass_fds=()):
        self.label = label or name
        self.log_path = Path(folder) / f"{self.label}.log"
        self.arguments = [str(argument) for argument in arguments]
        self.lines = []   # of stdout, as they came
        self.events = []  # those that are JSON
        self.expected_end = None  # exit status that check_end accepts; None: 0
        self._changed = threading.Condition()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*prefix, str(Path(binaries) / name), *self.arguments],
                                            stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                            pass_fds=pass_fds, env={**os.environ, **ENVIRONMENT, **(environment or {})})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.decode(errors="replace"))
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    pass
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def mark(self):
        """How many events there are: what event(after=...) takes to wait for a later one."""
        with self._changed:
            return len(self.events)

    def event(self, kind, after=0, timeout=DEADLINE, **members):
        """Waits for an event of that kind with those members."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.events[after:]:
                    if event.get("event") == kind and all(event.get(k) == v for k, v in members.items()):
                        return event
                left = end - time.monotonic()
                gone = self.process.poll() is not None and not self._reader.is_alive()
                assert left > 0 and not gone, (
                    f"{self.label}: no event {kind!r} {members or ''} within {timeout:g} s"
                    f"{f', it ended with {self.process.returncode}' if gone else ''}; events: {self.events[after:]}\n"
                    f"{self.log()[-4000:]}")
                self._changed.wait(min(left, 0.2))

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=DEADLINE):
        """Waits for the end; returns the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(5)
        return status

    def stop(self, timeout=DEADLINE + 15):
        """SIGTERM, and the exit status. A drain may take 30 s."""
        if self.process.poll() is None:
            self.signal()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.label}: still there {timeout:g} s after SIGTERM\n{self.log()[-4000:]}")

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.expected_end = -signal.SIGKILL
        self.process.wait()
        self._reader.join(5)

    def check_end(self):
        """After the end: the exit status is right and no sanitizer has anything to say."""
        expected = self.expected_end or 0
        said = self.log()
        assert not SANITIZER.search(said), f"{self.label}: a sanitizer reports:\n{said[-8000:]}"
        assert self.process.returncode == expected, (
            f"{self.label}: exit status {self.process.returncode}, not {expected}\n{said[-4000:]}")

    def rss_peak(self):
        """The most memory it ever had, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


def run(name, *arguments, binaries=BIN, timeout=DEADLINE, environment=None):
    """Runs a program to its end: (exit status, stdout, stderr)."""
    done = subprocess.run([str(Path(binaries) / name), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **ENVIRONMENT, **(environment or {})})
    return done.returncode, done.stdout, done.stderr


def address(text):
    """("127.0.0.1", 12000) from "127.0.0.1:12000"."""
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Site:
    """A tunneld, its entries and clients over one state directory, ended together.

    With --dev, or (own=True) with certificates by openssl and a tokens file, as in production.
    """

    OWNERS = {"alice": "client", "bob": "client", "gate": "entry", "root": "admin"}

    def __init__(self, folder, binaries=BIN, own=False, log_level="debug"):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True, parents=True)
        self.state = self.folder / "state"
        self.binaries = binaries
        self.own = own
        self.log_level = log_level
        self.programs = []
        self.control = None  # "127.0.0.1:PORT" of the tunneld started last
        self.counts = {}
        if own:
            self._make_own()

    def _make_own(self):
        """ca.pem, server.pem, a tokens file with hashes and in the clear, and each owner's token in a file."""
        certificates.make_ca(self.folder, "ca")
        certificates.issue(self.folder, "ca", "server")
        lines = ["# owner roles token"]
        for owner, role in self.OWNERS.items():
            token = secrets.token_urlsafe(24)
            (self.folder / f"{owner}.token").write_text(token + "\n")
            hashed = "sha256:" + hashlib.sha256(token.encode()).hexdigest()
            lines.append(f"{owner} {role} {token if owner == 'bob' else hashed}")
        (self.folder / "tokens").write_text("\n".join(lines) + "\n")

    # ---- starting ----

    def start(self, name, *arguments, **options):
        number = self.counts[name] = self.counts.get(name, 0) + 1
        if WORKERS.get(name) and "--workers" not in arguments:
            arguments = [*arguments, "--workers", WORKERS[name]]
        program = Program(name, arguments, self.folder, label=f"{name}-{number}", binaries=self.binaries, **options)
        self.programs.append(program)
        return program

    def common(self, *arguments):
        dev = [] if self.own else ["--dev"]
        return [*dev, "--state-dir", self.state, "--json", "--log-level", self.log_level, *arguments]

    def certificate(self, name="server"):
        return ["--cert", self.folder / f"{name}.pem", "--key", self.folder / f"{name}-key.pem"] if self.own else []

    def trust(self, owner):
        return ["--ca", self.ca, "--token-file", self.folder / f"{owner}.token"] if self.own else []

    def tunneld(self, *arguments, listen="127.0.0.1:0", ready=True):
        tokens = ["--tokens", self.folder / "tokens"] if self.own else []
        program = self.start("tunneld", *self.common("--listen", listen, "--admin", "127.0.0.1:0", *self.certificate(),
                                                     *tokens, *arguments))
        if ready:
            program.ready = program.event("ready")
            self.control = program.ready["control"]
            program.admin = address(program.ready["admin"])
            if program.ready.get("public"):
                self._note_entry(program)
        return program

    def proxyentry(self, *arguments, entry="east", public="127.0.0.1:0", uplink="127.0.0.1:0", registered=True,
                   certificate="server"):
        program = self.start("proxyentry", *self.common(
            "--control", f"https://{self.control}", "--entry-id", entry, "--public", public, "--uplink", uplink,
            "--admin", "127.0.0.1:0", *self.certificate(certificate), *self.trust("gate"), *arguments))
        program.ready = program.event("ready")
        program.admin = address(program.ready["admin"])
        self._note_entry(program)
        if registered:
            program.event("registered")
        return program

    def _note_entry(self, program):
        program.public = address(program.ready["public"])
        program.uplink = address(program.ready["uplink"])
        self.public, self.uplink = program.public, program.uplink

    def tunnelc(self, target, *arguments, session=None, ready=True, owner="alice", command="http"):
        given = ["--session", session] if session else []
        operands = [command] if target is None else [command, target]
        program = self.start("tunnelc", *operands, *self.common(
            "--server", f"https://{self.control}", *given, *self.trust(owner), *arguments))
        if ready:
            program.ready = program.event("ready")
            program.session = program.ready["session"]
            program.admin = address(program.ready["admin"]) if program.ready.get("admin") else None
        return program

    def all(self, origin, *client_arguments, session="main"):
        """tunneld, proxyentry, and a tunnelc for the origin that is ready."""
        self.tunneld()
        self.proxyentry()
        self.client = self.tunnelc(origin.target, *client_arguments, session=session)
        self.session = self.client.session
        return self

    # ---- what tests ask of it ----

    @property
    def ca(self):
        return self.folder / "ca.pem" if self.own else self.state / "ca.pem"

    @property
    def token(self):
        """--dev: the one token, that may do everything."""
        return self.token_of("alice")

    def token_of(self, owner):
        path = self.folder / f"{owner}.token" if self.own else self.state / "token"
        return path.read_text().strip()

    def path(self, path="/", session=None):
        """The public path of the client's session."""
        return f"/session/{session or self.session}{path}"

    def url(self, path="/"):
        return f"http://{self.public[0]}:{self.public[1]}{self.path(path)}"

    # ---- ending ----

    def logs(self):
        parts = []
        for program in self.programs:
            events = "".join(f"{event}\n" for event in program.events[-20:])
            parts.append((f"{program.label} {' '.join(program.arguments)}", f"{events}{program.log()[-6000:]}"))
        return parts

    def close(self):
        """Ends everything, clients first, and checks how it ended."""
        problems = []
        for program in reversed(self.programs):
            try:
                program.stop()
                program.check_end()
            except AssertionError as problem:
                problems.append(str(problem))
        assert not problems, "\n".join(problems)
