"""What `cmake --install` puts into a clean prefix is enough to build and run a program: by pkg-config, by find_package,
shared and static."""
import os
import subprocess

import pytest

from programs import ROOT, Site, run, wait_until
from wire import ask

BUILD = ROOT / "build/release"
CMAKE = """cmake_minimum_required(VERSION 3.22)
project(outside C)
find_package(tunnel2 0.1 REQUIRED)
add_executable(shared {source})
target_link_libraries(shared tunnel2::tunnel2)
add_executable(static {source})
target_link_libraries(static tunnel2::tunnel2_static)
"""


def call(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("install") / "usr"
    call("cmake", "--install", BUILD, "--prefix", prefix)
    return prefix


def libdir(prefix):
    found = list(prefix.rglob("libtunnel2.so"))
    assert len(found) == 1
    return found[0].parent


def expose(prefix, program, site, origin):
    """The example publishes the origin."""
    process = subprocess.Popen([program, str(origin.port), f"https://{site.control}", site.state / "token", site.ca],
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "LD_LIBRARY_PATH": str(libdir(prefix))})
    try:
        url = process.stdout.readline().strip()
        path = url.split(":", 2)[2].partition("/")[2]
        assert ask(site.public, "GET", f"/{path}echo").status == 200
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def running(tmp_path):
    site = Site(tmp_path / "site")
    try:
        site.tunneld()
        site.proxyentry()
        yield site
    finally:
        site.close()


def test_everything_is_installed(prefix):
    for name in ("bin/tunneld", "bin/proxyentry", "bin/tunnelc", "include/tunnel2/tunnel2.h",
                 "include/tunnel2/version.h"):
        assert (prefix / name).is_file(), name
    folder = libdir(prefix)
    for name in ("libtunnel2.so.0", "libtunnel2.a", "pkgconfig/tunnel2.pc", "cmake/tunnel2/tunnel2-config.cmake"):
        assert (folder / name).exists(), name
    assert not list(prefix.rglob("*.in"))


def test_installed_programs_run(prefix):
    for program in ("tunneld", "proxyentry", "tunnelc"):
        status, out, _ = run(program, "--version", binaries=prefix / "bin")
        assert status == 0 and out.startswith(program)


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_program_by_pkg_config(prefix, tmp_path, running, origin, static):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(libdir(prefix) / "pkgconfig")}
    flags = call("pkg-config", *(["--static"] if static else []), "--cflags", "--libs", "tunnel2", env=environment).split()
    if static:
        flags = [str(libdir(prefix) / "libtunnel2.a") if flag == "-ltunnel2" else flag for flag in flags]
    program = tmp_path / "program"
    call("cc", "-std=c11", "-D_XOPEN_SOURCE=700", "-Wall", "-Wextra", "-Werror", ROOT / "examples/expose.c", "-o", program,
         *flags)
    linked = call("ldd", program, env={**os.environ, "LD_LIBRARY_PATH": str(libdir(prefix))})
    assert ("libtunnel2.so.0" in linked) != static
    expose(prefix, program, running, origin)


def test_program_by_find_package(prefix, tmp_path, running, origin):
    source = tmp_path / "outside"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(CMAKE.format(source=ROOT / "examples/expose.c"))
    call("cmake", "-S", source, "-B", source / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    call("cmake", "--build", source / "build")
    for program in ("shared", "static"):
        expose(prefix, source / "build" / program, running, origin)


def test_readme_program_compiles(prefix, tmp_path):
    """The first program of the README, as it stands there."""
    text = (ROOT / "README.md").read_text().split("```c\n")[1].split("```")[0]
    assert len(text.splitlines()) <= 24
    (tmp_path / "hello.c").write_text(text)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(libdir(prefix) / "pkgconfig")}
    flags = call("pkg-config", "--cflags", "--libs", "tunnel2", env=environment).split()
    call("cc", tmp_path / "hello.c", "-o", tmp_path / "hello", *flags)
    assert wait_until(lambda: (tmp_path / "hello").exists(), "the program")
