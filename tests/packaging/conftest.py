"""Fixtures: the packages, and a Debian to install them in."""
import os

import pytest

import debian as made


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Name to file of the Debian packages of build/release."""
    found = made.make_packages(tmp_path_factory.mktemp("packages"))
    assert set(found) == {made.LIBRARY, made.DEVELOPMENT, made.TUNNEL2, made.PYTHON}
    return found


@pytest.fixture
def debian(packages, tmp_path):
    """A Debian of the test's own that none of the packages was ever in."""
    if os.geteuid() != 0:
        pytest.skip("a Debian in a folder is made and entered by root alone (debootstrap, chroot)")
    for above in (tmp_path, tmp_path.parent):
        above.chmod(0o711)
    with made.debian_over(made.make_base(packages), tmp_path) as debian:
        yield debian
