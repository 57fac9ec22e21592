"""Fixtures: a deployment of real programs (a new one for a test, or one shared by a file) and an origin."""
import pytest

from origin import Origin
from programs import BIN, Site


def pytest_configure(config):
    if not (BIN / "tunneld").exists():
        raise pytest.UsageError(f"{BIN} has no programs: build the asan preset, or set T2_BIN")


@pytest.fixture(scope="module")
def shared_origin():
    """One origin for all tests of a file."""
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, shared_origin):
    """tunneld, proxyentry and tunnelc for shared_origin, for all tests of a file."""
    site = Site(tmp_path_factory.mktemp("shared"))
    try:
        site.all(shared_origin, session="main")
        yield site
    finally:
        site.close()


@pytest.fixture
def origin():
    """An origin of the test's own."""
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture
def site(tmp_path):
    """A deployment of the test's own with nothing started yet."""
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test's report shows the end of every program's log."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for site in value if isinstance(value, list) else [value]:
                if isinstance(site, Site):
                    report.sections += site.logs()
