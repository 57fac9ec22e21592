"""An sshd for this user alone."""
import contextlib
import os
import shutil
import subprocess

import ports
from programs import wait_until
from tcp import listens


@contextlib.contextmanager
def sshd_here(home):
    """Files in the folder `home`, which is made: (port, options for ssh and scp)."""
    server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    assert server and shutil.which("ssh"), "openssh-server and openssh-client are needed"
    home.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    shutil.copy(home / "user.pub", home / "authorized")
    os.makedirs("/run/sshd", exist_ok=True) if os.geteuid() == 0 else None
    port = ports.free(1)
    (home / "config").write_text("\n".join([
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {home}/host", f"AuthorizedKeysFile {home}/authorized",
        f"PidFile {home}/pid", "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
        "Subsystem sftp internal-sftp", ""]))
    with open(home / "log", "wb") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", home / "config"], stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(lambda: listens(("127.0.0.1", port)), "sshd listens")
        yield port, ["-i", home / "user", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o",
                     f"UserKnownHostsFile={home}/known", "-o", "LogLevel=ERROR", "-F", "/dev/null"]
    finally:
        process.terminate()
        process.wait()
