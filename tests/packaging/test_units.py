"""The systemd units: well-formed and hardened; and in a Debian that has booted, `systemctl enable --now` is all it takes."""
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import certificates
from debian import LIBRARY, TUNNEL2
from shipped import BIN, ROOT, call

UNITS = ["tunneld.service", "proxyentry.service", "tunnelc@.service"]
EXPOSURE_MAX = 15  # tenths; systemd calls up to 1.9 "OK", and a service of a plain unit has 9.6


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units as installed, with the programs where this build has them."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (ROOT / f"packaging/systemd/{name}.in").read_text()
        (folder / name).write_text(text.replace("@T2_BINDIR@", str(BIN)))
    return folder


def test_units_are_well_formed(units):
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", *(units / name for name in UNITS)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_units_are_hardened(units, name):
    call("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager", units / name)


# ---- In a Debian that has booted ----

def wait_until(condition, what, timeout=30):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.1)
    return value


class Booted:
    """The systemd of a Debian's folder, as process 1 of namespaces of its own."""

    def __init__(self, debian):
        self.debian = debian
        self.cgroups = Path(tempfile.mkdtemp())
        self.process = None
        call("mount", "-t", "cgroup2", "cgroup2", self.cgroups)
        self.cgroup = self.cgroups / f"tunnel2-test-{os.getpid()}"
        self.cgroup.mkdir()
        with open(debian.folder.parent / "boot.log", "wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", self.cgroup, "unshare", "--pid",
                 "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child",
                 Path(__file__).with_name("boot.sh"), debian.folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = wait_until(self._find, "systemd as process 1")
        wait_until(lambda: self.call("systemctl", "is-system-running", check=False).strip() in ("running", "degraded"),
                   "the end of the boot")

    def _find(self):
        """The child of unshare, when it has become systemd."""
        assert self.process.poll() is None, (self.debian.folder.parent / "boot.log").read_text()
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n" and int(children[0])

    def call(self, *command, check=True, timeout=60):
        command = ["nsenter", "-t", str(self.pid), "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                   "DEBIAN_FRONTEND=noninteractive", *map(str, command)]
        if check:
            return call(*command, timeout=timeout)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout).stdout

    def show(self, unit, name):
        return self.call("systemctl", "show", "-P", name, unit).strip()

    def journal(self, unit):
        return self.call("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def get(self, path):
        """What the machine's own curl gets there: status and content."""
        done = subprocess.run(["nsenter", "-t", str(self.pid), "-n", "curl", "-sS", "--max-time", "5", "-w", "\n%{http_code}",
                               f"http://127.0.0.1{path}"], capture_output=True, text=True, timeout=30)
        content, _, status = done.stdout.rpartition("\n")
        return status, content

    def close(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        try:
            wait_until(lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text(), "the end of its processes")
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                os.rmdir(folder)
        finally:
            call("umount", self.cgroups)
            self.cgroups.rmdir()


def configure(debian):
    """What an administrator does: certificates, tokens, names, a site to publish."""
    etc = debian.folder / "etc/tunnel2"
    made = debian.folder.parent
    certificates.make_ca(made, "ca")
    for name in ("control", "entry"):
        certificates.issue(made, "ca", name)
    for name in ("ca", "control", "control-key", "entry", "entry-key"):
        shutil.copy(made / f"{name}.pem", etc)
    tokens = {"entry": secrets.token_urlsafe(), "client": secrets.token_urlsafe()}
    (etc / "tokens").write_text("".join(f"{role} {role} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"
                                        for role, token in tokens.items()))
    (etc / "entry.token").write_text(tokens["entry"] + "\n")
    (etc / "tunnelc/web.token").write_text(tokens["client"] + "\n")
    (etc / "tunnelc/web.token").chmod(0o600)
    for name in ("control-key.pem", "entry-key.pem", "tokens", "entry.token"):
        (etc / name).chmod(0o640)
        debian.run("chown", "root:tunnel2", f"/etc/tunnel2/{name}")
    entry = (etc / "proxyentry.env").read_text().replace("control.example.com", "localhost")
    (etc / "proxyentry.env").write_text(entry.replace("east.example.com", "localhost").replace(
        '"--control', '"--ca /etc/tunnel2/ca.pem --control'))
    sample = (debian.folder / "usr/share/doc/tunnel2/examples/tunnelc.conf").read_text()
    (etc / "tunnelc/web.conf").write_text(sample.replace("http 8000", "files /srv").replace("--session hello", (
        "--session web --ca /etc/tunnel2/ca.pem --add-header 'X-Two: two words'")).replace("control.example.com", "localhost"))
    (debian.folder / "srv/index.html").write_text("hello from a unit\n")


def can_boot():
    done = subprocess.run(["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "sh", "-c",
                           "mount --make-rprivate / && mount -t cgroup2 cgroup2 /mnt"], capture_output=True, text=True)
    return done.returncode == 0 or pytest.skip(f"no namespaces, or no cgroups, to boot a systemd in: {done.stderr}")


@pytest.fixture
def booted(debian, packages):
    can_boot()
    debian.apt("install", *debian.bring({name: packages[name] for name in (LIBRARY, TUNNEL2)}))
    configure(debian)
    shutil.rmtree(debian.folder / "packages")
    machine = Booted(debian)
    try:
        yield machine
    finally:
        machine.close()


@pytest.mark.timeout(290)
def test_enable_now_is_all_it_takes(booted):
    services = ["tunneld.service", "proxyentry.service", "tunnelc@web.service"]
    for service in services:
        assert booted.show(service, "ActiveState") == "inactive", "started before it was configured"

    # Bad usage is a failure at once, and the journal says which.
    environment = booted.debian.folder / "etc/tunnel2/tunneld.env"
    configured = environment.read_text()
    environment.write_text("TUNNELD_OPTIONS=--nonsense\n")
    booted.call("systemctl", "start", "tunneld.service", check=False)
    wait_until(lambda: booted.show("tunneld.service", "ActiveState") == "failed", "the failure")
    assert booted.show("tunneld.service", "NRestarts") == "0"
    assert "--nonsense" in booted.journal("tunneld.service")
    environment.write_text(configured)

    booted.call("systemctl", "enable", "--now", *services)
    wait_until(lambda: booted.get("/session/web/") == ("200", "hello from a unit\n"),
               "an answer through the tunnel: " + "".join(booted.journal(service) for service in services))

    for service in services:
        assert booted.show(service, "ActiveState") == "active"
        user = booted.call("stat", "-c", "%u", f"/proc/{booted.show(service, 'MainPID')}").strip()
        assert int(user) > 0, f"{service} runs as root"
    # A new tokens file.
    booted.call("systemctl", "reload", "tunneld.service", "proxyentry.service")
    wait_until(lambda: "read again" in booted.journal("tunneld.service"), "what SIGHUP does")
    assert "200" in booted.get("/session/web/")

    # One that dies is there again; one that is stopped drains, and has not failed.
    booted.call("systemctl", "kill", "--signal=KILL", "tunnelc@web.service")
    wait_until(lambda: booted.show("tunnelc@web.service", "NRestarts") == "1", "a restart")
    wait_until(lambda: booted.get("/session/web/")[0] == "200", "an answer after the restart")
    booted.call("systemctl", "stop", *services)
    for service in services:
        assert (booted.show(service, "ActiveState"), booted.show(service, "Result")) == ("inactive", "success")

    # Purged while they run.
    booted.call("systemctl", "start", *services)
    booted.call("apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "purge", TUNNEL2)
    for service in services:
        assert booted.show(service, "ActiveState") in ("inactive", "failed")
        assert booted.show(service, "LoadState") == "not-found"
    assert not booted.debian.files() & {"./etc/tunnel2", "./var/lib/tunnel2"}
    assert not list(booted.debian.folder.glob("etc/systemd/system/*.wants/tunnel*"))
    assert "tunnel2" not in booted.debian.accounts()[0]
