"""mypy --strict and ruff, over the package and what stands around it."""
import os
import subprocess
import sys

import pytest

from conftest import ROOT, python

PACKAGE = ROOT / "bindings/python"


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_the_package_is_typed(tmp_path, version):
    run(sys.executable, "-m", "mypy", "--strict", "--python-version", version, "--cache-dir", tmp_path, "tunnel2",
        cwd=PACKAGE)


def test_what_users_write_is_typed(tmp_path):
    """The examples, and options that are wrong."""
    environment = {**os.environ, "MYPYPATH": str(PACKAGE)}
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path]
    run(*command, *sorted((ROOT / "examples/python").glob("*.py")), env=environment)
    (tmp_path / "wrong.py").write_text("import tunnel2\n"
                                       "tunnel2.forward('1', remote_port='x')\n"
                                       "tunnel2.forward('1', colour='red')\n"
                                       "tunnel2.serve(1)\n")
    done = subprocess.run([*command, tmp_path / "wrong.py"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Found 3 errors" in done.stdout, done.stdout


def test_ruff():
    run(sys.executable, "-m", "ruff", "check", "--no-cache", "--config", PACKAGE / "pyproject.toml",
        PACKAGE / "tunnel2", PACKAGE / "setup.py", ROOT / "examples/python", ROOT / "tests/python",
        ROOT / "tests/bench", cwd=ROOT / "tests/python")
    run(sys.executable, "-m", "ruff", "check", "--no-cache", "--config", PACKAGE / "pyproject.toml", ".",
        cwd=ROOT / "tests/load")


def test_nothing_but_the_standard_library_is_imported():
    code = (f"import sys; sys.path.insert(0, {str(PACKAGE)!r}); before = set(sys.modules); import tunnel2; "
            "print(*set(sys.modules) - before)")
    process = python("-I", "-c", code)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    imported = {name.split(".")[0] for name in out.split()}
    assert imported - {"tunnel2"} <= sys.stdlib_module_names
