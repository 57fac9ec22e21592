"""What `cmake --install` puts into a clean prefix is enough to build and run a program: by pkg-config, by find_package,
shared and static."""
import os
import subprocess

import pytest

import certificates
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
OUTSIDE = ROOT / "tests/install"
COMPILERS = {"c": ["cc", "-std=c11", "-D_XOPEN_SOURCE=700"], "c17": ["cc", "-std=c17", "-D_XOPEN_SOURCE=700"],
             "c++": ["c++", "-std=c++17", "-xc++"]}


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


def flags_of(prefix, static=False):
    """What pkg-config says; with static, for libtunnel2.a."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(libdir(prefix) / "pkgconfig")}
    words = call("pkg-config", *(["--static"] if static else []), "--cflags", "--libs", "tunnel2", env=environment).split()
    return [("-l:libtunnel2.a" if word == "-ltunnel2" else word) for word in words] if static else words


def run_outside(prefix, program, ca, shared):
    """The outside project's program: it is linked as asked, and runs."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libdir(prefix))}
    assert ("libtunnel2.so.0" in call("ldd", program, env=environment)) == shared
    assert call(program, ca, env=environment).strip().count(".") == 2


def build_outside(prefix, folder, ca):
    """Builds tests/install by find_package, in C and in C++, shared and static, and runs all four."""
    call("cmake", "-S", OUTSIDE, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    call("cmake", "--build", folder)
    for linked in ("shared", "static"):
        for language in ("c", "cxx"):
            run_outside(prefix, folder / f"{linked}_{language}", ca, linked == "shared")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    return certificates.make_ca(folder, "ca")


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
    for name in ("man/man1/tunnelc.1", "man/man5/tunnel2-tokens.5", "bash-completion/completions/tunneld",
                 "doc/tunnel2/examples/proxyentry.env"):
        assert (prefix / "share" / name).is_file(), name
    for program in ("tunneld", "proxyentry", "tunnelc@"):
        assert f"ExecStart={prefix}/bin/" in (prefix / f"lib/systemd/system/{program}.service").read_text()
    assert not list(prefix.rglob("*.in"))


def test_installed_programs_run(prefix):
    for program in ("tunneld", "proxyentry", "tunnelc"):
        status, out, _ = run(program, "--version", binaries=prefix / "bin")
        assert status == 0 and out.startswith(program)


def test_program_by_pkg_config(prefix, tmp_path, running, origin):
    for static in (False, True):
        program = tmp_path / f"program{static}"
        call("cc", "-std=c11", "-D_XOPEN_SOURCE=700", "-Wall", "-Wextra", "-Werror", ROOT / "examples/expose.c", "-o",
             program, *flags_of(prefix, static))
        expose(prefix, program, running, origin)


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
@pytest.mark.parametrize("language", COMPILERS)
def test_outside_project_by_pkg_config(prefix, tmp_path, ca, language, static):
    program = tmp_path / "program"
    call(*COMPILERS[language], "-Wall", "-Wextra", "-pedantic", "-Werror", OUTSIDE / "outside.c", "-xnone", "-o", program,
         *flags_of(prefix, static))
    run_outside(prefix, program, ca, not static)


def test_outside_program_without_a_shared_library(prefix, tmp_path, ca):
    """Debian calls libuv's archive libuv_a.a."""
    flags = ["-luv_a" if flag == "-luv" else flag for flag in flags_of(prefix, static=True)]
    call("cc", "-static", OUTSIDE / "outside.c", "-o", tmp_path / "program", *flags)
    assert call(tmp_path / "program", ca).strip().count(".") == 2
    assert "statically linked" in call("file", "-b", tmp_path / "program")


def test_outside_project_by_find_package(prefix, tmp_path, ca):
    build_outside(prefix, tmp_path, ca)


def test_find_package_refuses_another_version(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.22)\nproject(outside C)\n"
                                             "find_package(tunnel2 99 REQUIRED)\n")
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}"],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "tunnel2" in done.stderr


def test_what_is_installed_can_be_moved(tmp_path, ca):
    call("cmake", "--install", BUILD, "--prefix", tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "second")
    build_outside(tmp_path / "second", tmp_path / "build", ca)
    call("cc", OUTSIDE / "outside.c", "-o", tmp_path / "program", *flags_of(tmp_path / "second"))
    run_outside(tmp_path / "second", tmp_path / "program", ca, shared=True)


def test_destdir_is_in_no_file(tmp_path, ca):
    """What a packager does: installed below DESTDIR, it is for the prefix."""
    staged = tmp_path / "staged"
    call("cmake", "--install", BUILD, "--prefix", "/usr", env={**os.environ, "DESTDIR": str(staged)})
    assert [path.name for path in staged.iterdir()] == ["usr"]
    for path in staged.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert str(tmp_path).encode() not in path.read_bytes(), path
    assert "ExecStart=/usr/bin/tunneld " in (staged / "usr/lib/systemd/system/tunneld.service").read_text()
    build_outside(staged / "usr", tmp_path / "build", ca)


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
    call("cc", tmp_path / "hello.c", "-o", tmp_path / "hello", *flags_of(prefix))
    assert wait_until(lambda: (tmp_path / "hello").exists(), "the program")
