"""Every supported Python that this machine has: the suite runs with one, and the others are tried with smoke.py."""
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, python

VERSIONS = [f"3.{minor}" for minor in range(9, 14)]


def works(path, version):
    """Is it that version? (What pyenv puts on the PATH is not always.)"""
    code = "import ctypes, sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == version


def find(version):
    """A Python of that version, on the PATH or of pyenv's; or None."""
    found = [shutil.which(f"python{version}"), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    return next((str(path) for path in found if path and works(path, version)), None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_is_here(site, version):
    interpreter = find(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} here")
    process = python("-W", "error", ROOT / "tests/python/smoke.py", site.options["server"], site.options["state_dir"],
                     interpreter=interpreter)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.startswith(f"fine with {version}"), err
    assert "Traceback" not in err and "Sanitizer" not in err, err
