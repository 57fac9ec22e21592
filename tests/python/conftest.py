"""Fixtures: a tunneld that is an entry too, and the package over the library that TUNNEL2_LIBRARY names."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bindings/python")]

import ports  # noqa: E402
from origin import Origin  # noqa: E402
from programs import BIN, Site  # noqa: E402

# The library of a sanitizer's build wants its runtime loaded first: by Python, and not by curl and the like.
PRELOAD = os.environ.pop("LD_PRELOAD", None)
os.environ.setdefault("TUNNEL2_LIBRARY", str(BIN.parent / "lib/libtunnel2.so"))
# For what tests start: the same package and library.
os.environ["PYTHONPATH"] = str(ROOT / "bindings/python")


def python(*arguments, interpreter=sys.executable, environment=None, **options):
    """Starts a Python with the package: a Popen with its stdout and stderr as text."""
    preload = {"LD_PRELOAD": PRELOAD} if PRELOAD else {}
    return subprocess.Popen([str(interpreter), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, **preload, **(environment or {})}, **options)


def start_site(folder):
    """tunneld with an entry in it, on ports it picks; two are for TCP sessions, two for UDP, one for TLS."""
    site = Site(folder)
    port = ports.free(2)
    site.program = site.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0", "--tcp-ports",
                                f"{port}-{port + 1}", "--udp-ports", f"{port}-{port + 1}", "--tls", "127.0.0.1:0")
    site.options = {"server": f"https://{site.control}", "state_dir": site.state, "timeout": 30}
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One for all tests of a file."""
    site = start_site(tmp_path_factory.mktemp("site"))
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def own_site(tmp_path):
    """One of the test's own."""
    site = start_site(tmp_path)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def options(site):
    return dict(site.options)


@pytest.fixture(scope="module")
def origin():
    origin = Origin()
    yield origin
    origin.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Site):
                report.sections += value.logs()
