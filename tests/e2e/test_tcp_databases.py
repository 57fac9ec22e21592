"""PostgreSQL and rsync through TCP sessions: psql, COPY both ways, pgbench; a big file over ssh, and what changed of it."""
import contextlib
import glob
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile

import pytest

import ports
from programs import wait_until
from sshd import sshd_here
from tcp import listens, publish, tcp_site

MIB = 1 << 20
ROWS = 400_000  # of some 80 bytes
FILE = 256 * MIB


@pytest.fixture
def tcp(site):
    return tcp_site(site)


def postgres_program(name):
    """PostgreSQL's programs for the server are not on the path in Debian."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [shutil.which(name)]
    assert found[-1], f"{name} is needed (postgresql)"
    return found[-1]


def unprivileged():
    """PostgreSQL does not run as root: options for subprocess, and the owner of its files."""
    if os.geteuid():
        return {}, pwd.getpwuid(os.geteuid())
    names = [entry.pw_name for entry in pwd.getpwall()]
    owner = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}, owner


@contextlib.contextmanager
def postgres_here():
    """A server with a cluster of its own, which is gone afterwards: its port."""
    identity, owner = unprivileged()
    home = tempfile.mkdtemp(prefix="t2-postgres-")  # pytest's folders are for this user alone
    server = None
    try:
        os.chown(home, owner.pw_uid, owner.pw_gid)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C", "TZ": "UTC"}
        done = subprocess.run([postgres_program("initdb"), "-D", f"{home}/data", "-U", "tester", "-A", "trust", "--no-sync"],
                              cwd=home, env=environment, capture_output=True, text=True, timeout=120, **identity)
        assert done.returncode == 0, done.stderr
        port = ports.free(1)
        with open(f"{home}/log", "wb") as log:
            server = subprocess.Popen([postgres_program("postgres"), "-D", f"{home}/data", "-p", str(port), "-h", "127.0.0.1",
                                       "-k", "", "-F"], cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log, **identity)
        wait_until(lambda: server.poll() is None and listens(("127.0.0.1", port)), "PostgreSQL listens")
        yield port
    finally:
        if server:
            server.terminate()
            server.wait()
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def postgres():
    with postgres_here() as port:
        yield port


def through(client, program, *arguments, data=None, text=True, timeout=120):
    """A client program of PostgreSQL, by the tunnel."""
    host, port = client.address
    done = subprocess.run([program, "-h", host, "-p", str(port), "-U", "tester", *arguments], input=data, text=text,
                          stdin=subprocess.DEVNULL if data is None else None, capture_output=True, timeout=timeout,
                          env={**os.environ, "PGCONNECT_TIMEOUT": "30", "PGSSLMODE": "prefer"})
    assert done.returncode == 0, done.stderr
    return done


def psql(client, command, **options):
    return through(client, postgres_program("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-At", "-d", "postgres", "-c", command,
                   **options).stdout


def test_psql_asks_and_is_answered(tcp, postgres):
    client = publish(tcp, postgres)
    assert psql(client, "select 6 * 7, 'tunnel'") == "42|tunnel\n"
    assert psql(client, "select sum(n) from generate_series(1, 100000) n") == "5000050000\n"


def test_tens_of_megabytes_are_copied_both_ways(tcp, postgres):
    client = publish(tcp, postgres)
    rows = b"".join(b"%d\t%s\n" % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(ROWS))
    assert len(rows) > 25 * MIB
    psql(client, "create table copied (n int, hash text)")
    psql(client, "copy copied from stdin", data=rows, text=False)
    assert psql(client, "select count(*), min(length(hash)) from copied") == f"{ROWS}|64\n"
    assert psql(client, "copy (select * from copied order by n) to stdout", text=False) == rows
    psql(client, "drop table copied")


def test_pgbench_has_no_error(tcp, postgres):
    client = publish(tcp, postgres)
    pgbench = postgres_program("pgbench")
    through(client, pgbench, "-i", "-q", "-s", "1", "postgres")
    done = through(client, pgbench, "-T", "3", "-c", "8", "-j", "2", "postgres")
    assert "number of failed transactions: 0" in done.stdout, done.stdout
    assert int(re.search(r"transactions actually processed: (\d+)", done.stdout).group(1)) > 50, done.stdout


# ---- rsync ----

def digest(path):
    digested = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            digested.update(piece)
    return digested.hexdigest()


def sent_bytes(done):
    return int(re.search(r"Total bytes sent: ([\d,]+)", done.stdout).group(1).replace(",", ""))


def test_rsync_copies_a_big_file_and_then_what_changed(tcp, tmp_path):
    assert shutil.which("rsync"), "rsync is needed"
    source, copy = tmp_path / "source", tmp_path / "copy"
    with open(source, "wb") as file:
        for _ in range(FILE // MIB):
            file.write(os.urandom(MIB))
    with sshd_here(tmp_path / "ssh") as (port, options):
        host, public = (client := publish(tcp, port)).address
        shell = " ".join(["ssh", *map(str, options), "-p", str(public)])

        def rsync():
            done = subprocess.run(["rsync", "--stats", "--ignore-times", "--no-whole-file", "--inplace", "-e", shell, source, f"{host}:{copy}"],
                                  capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, done.stderr
            assert digest(source) == digest(copy)
            return sent_bytes(done)

        assert rsync() >= FILE
        with open(source, "r+b") as file:
            file.seek(100 * MIB)
            file.write(os.urandom(MIB))
        assert MIB <= rsync() < 8 * MIB
        copy.unlink()
        source.unlink()
        assert client.process.poll() is None
