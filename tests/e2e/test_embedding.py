"""docs/EMBEDDING.md is true: its commands, typed one by one into a shell in a copy of the source tree, do what the page
says; its code compiles without a warning; its table is what tests/bench/footprint.sh measures, about."""
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from ports import free
from programs import ROOT

PAGE = (ROOT / "docs/EMBEDDING.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
PACKAGES = re.compile(r"^apt-get install -y (.*)$", re.M)
INCLUDES = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <time.h>\n#include <tunnel2/tunnel2.h>\n"


class Shell:
    """A person at a shell: types a block, and waits for what the page says comes of it."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.folder = folder
        self.said = ""
        self.seen = 0
        self.count = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.said += line

    def wait_for(self, pattern, timeout):
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.said[self.seen:], re.M)):
            assert time.monotonic() < deadline, f"{pattern} did not come:\n{self.said[-4000:]}"
            assert self.process.poll() is None, f"the shell has ended:\n{self.said[-4000:]}"
            time.sleep(0.05)
        return found

    def type(self, text, timeout):
        self.count += 1
        self.seen = len(self.said)
        for line in text.rstrip().split("\n"):
            end = "" if line.endswith("&") else f" || echo FAILED-{self.count}"
            self.process.stdin.write(line + end + "\n")
        self.process.stdin.write(f"echo DONE-{self.count}\n")
        self.process.stdin.flush()
        self.wait_for(f"^DONE-{self.count}$", timeout)
        assert f"FAILED-{self.count}" not in self.said, self.said[-4000:]

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()


def on_other_ports(text, ports):
    """The page's ports are the defaults, which another test may be using: so they are said where they are not."""
    text = text.replace("tunneld --dev --entry", "tunneld --dev --entry --listen 127.0.0.1:12002 --public 127.0.0.1:12000 "
                        "--uplink 127.0.0.1:12001")
    text = text.replace("options.session =", 'options.server = "https://127.0.0.1:12002";\n  options.session =')
    for number, port in enumerate(ports):
        text = text.replace(str(12000 + number), port)
    return text


@pytest.fixture
def shell(tmp_path):
    source = tmp_path / "libtunnel2"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "XDG_STATE_HOME", "T2_BIN")}
    session = Shell(source, {**environment, "HOME": str(tmp_path)})
    try:
        yield session
    finally:
        session.close()


@pytest.mark.timeout(800)  # it builds all of it
def test_the_page_s_commands_do_what_it_says(shell):
    first = free(3)
    ports = [str(first + number) for number in range(3)]
    for kind, text in BLOCKS:
        text = on_other_ports(text, ports)
        if kind == "sh" and not PACKAGES.search(text):
            shell.type(text, 500)
        elif kind == "text":
            for line in text.strip().split("\n"):
                shell.wait_for(re.escape(line), 30)
        elif kind == "c" and text.startswith("/* hello.c */"):
            (shell.folder / "hello.c").write_text(text)


def test_packages_are_those_the_tests_install():
    listed = set(re.search(r"^packages='(.*?)'", (ROOT / "tests/run.sh").read_text(), re.M | re.S).group(1).split())
    assert set(PACKAGES.search(PAGE).group(1).split()) <= listed


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_code_compiles_without_a_warning(compiler, tmp_path):
    pieces = [text for kind, text in BLOCKS if kind == "c"]
    assert len(pieces) >= 8
    for number, text in enumerate(pieces):
        whole = text if "#include" in text else INCLUDES + text
        source = tmp_path / f"piece{number}.c"
        source.write_text(whole)
        done = subprocess.run([compiler, "-std=c11", "-D_XOPEN_SOURCE=700", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function",
                               f"-I{ROOT}/include", f"-I{ROOT}/build/release/include", "-c", source, "-o", "/dev/null"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_first_program_is_short():
    program = next(text for kind, text in BLOCKS if text.startswith("/* hello.c */"))
    assert len(program.splitlines()) <= 45


def test_footprint_is_about_what_the_page_says():
    def rows(text):
        return {name: int(size.replace(",", "").split()[0]) for name, size in re.findall(r"^\| (.*) \| ([\d,]+)(?: KiB)? \|$", text, re.M)}
    done = subprocess.run([ROOT / "tests/bench/footprint.sh"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    measured, said = rows(done.stdout), {name.replace(",000", "000"): size for name, size in rows(PAGE).items()}
    assert list(measured) == list(said)
    for name, size in measured.items():
        share = 0 if "exported" in name else 0.05 if "stripped" in name else 0.25
        assert abs(size - said[name]) <= share * said[name], f"{name}: {size} was measured, {said[name]} is on the page"
