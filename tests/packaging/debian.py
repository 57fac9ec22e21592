"""The Debian packages of this build, and a Debian in a folder to install them in."""
import contextlib
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from shipped import RELEASE, ROOT, call

LIBRARY, DEVELOPMENT, TUNNEL2, PYTHON = "libtunnel2-0", "libtunnel2-dev", "tunnel2", "python3-tunnel2"
TOOLS = "gcc,libc6-dev,pkgconf,man-db,systemd,systemd-sysv"  # of the tests; not what the packages need
BASES = ROOT / "build/debian"


def make_packages(folder):
    """Name to file, as cpack makes them of build/release; the umask of who does that shows nowhere."""
    call("cpack", "-G", "DEB", "--config", RELEASE / "CPackConfig.cmake", "-B", folder, cwd=folder, umask=0o077)
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


def field(package, name):
    return call("dpkg-deb", "-f", package, name).strip()


def depends(package):
    return {entry.split()[0] for entry in field(package, "Depends").split(",")}


class Debian:
    """A folder with a Debian in it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, timeout=120, **environment):
        """Runs a command in it that has to work; returns what it printed."""
        return call("chroot", self.folder, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                    "DEBIAN_FRONTEND=noninteractive", "HOME=/root", *(f"{k}={v}" for k, v in environment.items()), *command,
                    timeout=timeout)

    def apt(self, *arguments, timeout=150):
        return self.run("apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "--no-install-recommends", *arguments,
                        timeout=timeout)

    def bring(self, packages):
        """Copies packages to /packages; returns their paths there."""
        target = self.folder / "packages"
        target.mkdir(exist_ok=True)
        for path in packages.values():
            shutil.copy(path, target)
        return [f"/packages/{path.name}" for path in packages.values()]

    def files(self):
        """All there is but what apt, dpkg and their like keep for themselves."""
        own = ("./proc", "./sys", "./dev", "./run", "./packages", "./var/cache", "./var/log", "./var/lib/apt",
               "./var/lib/dpkg/info", "./var/lib/dpkg/status-old", "./var/lib/dpkg/available", "./var/lib/dpkg/alternatives",
               "./etc/ld.so.cache", "./etc/passwd-", "./etc/group-", "./etc/shadow-", "./etc/gshadow-")
        listed = call("find", ".", "-xdev", cwd=self.folder).splitlines()
        return {path for path in listed if not path.startswith(own)}

    def accounts(self):
        return [(self.folder / "etc" / name).read_text() for name in ("passwd", "group", "shadow", "gshadow")]


def make_base(packages):
    """The folder of a Debian of this machine's release with the tests' tools, made by debootstrap once and kept in
    build/debian. What the packages depend on lies there downloaded, not installed."""
    wanted = TOOLS + "".join(sorted(",".join(sorted(depends(path))) for path in packages.values()))
    base = BASES / f"base-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if base.exists():
        return base
    suite = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.M).group(1)
    shutil.rmtree(BASES, ignore_errors=True)
    unfinished = Debian(BASES / "unfinished")
    unfinished.folder.mkdir(parents=True, exist_ok=True)
    try:
        call("debootstrap", "--variant=minbase", f"--include={TOOLS}", suite, unfinished.folder, timeout=220)
    except (AssertionError, subprocess.TimeoutExpired) as problem:
        log = unfinished.folder / "debootstrap/debootstrap.log"
        end = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        raise AssertionError(f"debootstrap {suite} failed: is there a mirror to reach?\n{problem}\n{end}") from None
    unfinished.apt("install", "--download-only", *unfinished.bring(packages))
    shutil.rmtree(unfinished.folder / "packages")
    unfinished.folder.rename(base)
    return base


@contextlib.contextmanager
def debian_over(base, folder):
    """A Debian of one's own with the base below it: as a layer, which is quick, or copied where the machine has none."""
    root, upper, work = (folder / name for name in ("debian", "upper", "work"))
    for each in (root, upper, work):
        each.mkdir()
    done = subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work}", "overlay",
                           root], capture_output=True)
    if done.returncode != 0:
        call("cp", "-a", f"{base}/.", root)
    try:
        root.chmod(0o755)  # others than root run programs in it
        yield Debian(root)
    finally:
        if done.returncode == 0:
            call("umount", root)
        shutil.rmtree(folder, ignore_errors=True)
