"""Builds libtunnel2.so with CMake and puts it into the wheel.

Where the sources are: of the repository that this folder is in; of an sdist, the copy in c/. TUNNEL2_LIBRARY at build
time takes a library that is built already.
"""
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
COPY = HERE / "c"
# What the library is built from.
SOURCES = ["CMakeLists.txt", "LICENSE", "apps", "cmake", "include", "lib", "pkgconfig"]


def root():
    """The folder with CMakeLists.txt."""
    for folder in (COPY, HERE.parent.parent):
        if (folder / "lib/CMakeLists.txt").exists():
            return folder
    sys.exit("tunnel2: the C sources are not here: build from the repository, or from an sdist")


def version():
    found = re.search(r"project\(tunnel2 VERSION ([0-9.]+)", (root() / "CMakeLists.txt").read_text())
    return found.group(1)


def build_library(folder):
    """A release build of the library alone, in `folder`; returns its path."""
    if not shutil.which("cmake"):
        sys.exit("tunnel2: needs cmake, a C compiler, and the development files of nghttp2, mbedTLS, libuv, jansson")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = os.environ.get("TUNNEL2_CMAKE_OPTIONS", "").split()
    subprocess.run(["cmake", "-S", root(), "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", *options],
                   check=True)
    subprocess.run(["cmake", "--build", folder, "--target", "tunnel2", "--parallel", str(os.cpu_count() or 2)],
                   check=True)
    return folder / "lib/libtunnel2.so"


class BuildPy(build_py):
    """The package with the library in it."""

    def run(self):
        super().run()
        built = os.environ.get("TUNNEL2_LIBRARY")
        folder = Path(self.get_finalized_command("build").build_temp).resolve() / "tunnel2-cmake"
        library = Path(built) if built else build_library(folder)
        target = Path(self.build_lib) / "tunnel2" / "libtunnel2.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, target)  # of a link: what it points to
        if shutil.which("strip"):
            subprocess.run(["strip", "--strip-unneeded", target], check=True)


class Wheel(bdist_wheel):
    """Of any Python 3, and of one platform: there is a library in it, but no extension module."""

    def get_tag(self):
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


class Sdist(sdist):
    """With a copy of the C sources in c/."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for name in SOURCES:
            source, target = root() / name, Path(base_dir) / "c" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)


class Binary(Distribution):
    """Goes where platform-dependent packages go."""

    def has_ext_modules(self):
        return True


setup(version=version(), distclass=Binary, cmdclass={"build_py": BuildPy, "bdist_wheel": Wheel, "sdist": Sdist})
