"""The Debian packages: lintian has nothing to say, apt installs them into a Debian that has only what they depend on,
what they bring works there, and a purge leaves nothing."""
import os
import re
import shutil

import pytest

import certificates
from debian import DEVELOPMENT, LIBRARY, PYTHON, TUNNEL2, depends, field
from shipped import PROGRAMS, ROOT, call

# ---- What is in them ----

def test_lintian_has_nothing_to_say(packages):
    """But that no bug of Debian's is closed by the first upload."""
    call("lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs",
         *packages.values())


def test_fields(packages):
    architecture = call("dpkg", "--print-architecture").strip()
    for name, path in packages.items():
        assert field(path, "Architecture") == ("all" if name == PYTHON else architecture)
        assert re.match(r"\d+\.\d+\.\d+-\d+$", field(path, "Version"))
        assert field(path, "Section") and field(path, "Priority") == "optional" and field(path, "Source") == "libtunnel2"
    assert depends(packages[LIBRARY]) >= {"libc6", "libuv1", "libnghttp2-14", "libjansson4"}
    assert depends(packages[TUNNEL2]) >= {"libc6", "libuv1", "adduser"}
    version = field(packages[LIBRARY], "Version")
    assert f"{LIBRARY} (= {version})" in field(packages[DEVELOPMENT], "Depends")
    assert field(packages[LIBRARY], "Multi-Arch") == field(packages[DEVELOPMENT], "Multi-Arch") == "same"


def test_control_files(packages):
    def control(name, file):
        return call("dpkg-deb", "-I", packages[name], file)
    assert control(LIBRARY, "triggers") == "activate-noawait ldconfig\n"
    assert re.fullmatch(rf"libtunnel2 0 {LIBRARY} \(>= [\d.]+\)\n", control(LIBRARY, "shlibs"))
    assert " t2_client_new@Base " in control(LIBRARY, "symbols")
    assert set(control(TUNNEL2, "conffiles").split()) == {"/etc/tunnel2/tunneld.env", "/etc/tunnel2/proxyentry.env"}


@pytest.fixture(scope="module")
def unpacked(packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    for name, path in packages.items():
        call("dpkg-deb", "-R", path, folder / name)
    return folder


def test_files_belong_to_root_and_are_listed_with_their_sums(packages, unpacked):
    for name, path in packages.items():
        for line in call("dpkg-deb", "-c", path).splitlines():
            mode, owner = line.split()[:2]
            assert owner == "root/root" and re.match(r"drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx", mode), line
        call("md5sum", "--check", "--quiet", "DEBIAN/md5sums", cwd=unpacked / name)
        documents = unpacked / name / "usr/share/doc" / name
        assert (documents / "copyright").is_file() and (documents / "changelog.Debian.gz").is_file()


def test_binaries_are_stripped_and_say_nothing_of_where_they_were_built(unpacked):
    binaries = [*unpacked.glob("tunnel2/usr/bin/*"), *unpacked.glob("*/usr/lib/*/libtunnel2.so.*.*.*")]
    assert len(binaries) == 4
    for path in binaries:
        assert ".symtab" not in call("readelf", "-SW", path)
        assert not re.search("RPATH|RUNPATH", call("readelf", "-dW", path))
        assert str(ROOT).encode() not in path.read_bytes()
    for path in unpacked.rglob("*"):
        if path.suffix in (".pc", ".cmake", ".service"):
            assert str(ROOT) not in path.read_text() and "/usr/local" not in path.read_text(), path


def test_cmake_finds_the_library_in_debians_places(unpacked, tmp_path):
    root = tmp_path / "root"
    for name in (LIBRARY, DEVELOPMENT):
        shutil.copytree(unpacked / name, root, symlinks=True, dirs_exist_ok=True)
    call("cmake", "-S", ROOT / "tests/install", "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={root / 'usr'}")
    call("cmake", "--build", tmp_path / "build")
    certificates.make_ca(tmp_path, "ca")
    libraries = next(root.glob("usr/lib/*/libtunnel2.so.0")).parent
    for program in ("shared_c", "shared_cxx", "static_c", "static_cxx"):
        call(tmp_path / "build" / program, tmp_path / "ca.pem", env={**os.environ, "LD_LIBRARY_PATH": str(libraries)})


# ---- In a Debian of their own ----

def build_outside(debian):
    """The outside project, by pkg-config, with the shared and the static library."""
    shutil.copy(ROOT / "tests/install/outside.c", debian.folder / "root/outside.c")
    certificates.make_ca(debian.folder / "root", "ca")
    debian.run("sh", "-ec", """
        cd /root
        gcc outside.c -o shared $(pkg-config --cflags --libs tunnel2)
        gcc outside.c -o static $(pkg-config --static --cflags --libs tunnel2 | sed 's/-ltunnel2/-l:libtunnel2.a/')
        gcc -static outside.c -o whole $(pkg-config --static --cflags --libs tunnel2 | sed 's/-luv /-luv_a /')
        ldd shared | grep -q libtunnel2.so.0
        ! ldd static | grep -q libtunnel2
        ./shared ca.pem
        ./static ca.pem
        ./whole ca.pem
        rm *""")


def check_programs(debian):
    for program in PROGRAMS:
        assert debian.run(program, "--version").startswith(f"{program} ")
        debian.run("su", "-s", "/bin/sh", "-c", f"{program} --help", "nobody")
        assert program in debian.run("man", program, MANPAGER="cat")
        assert (debian.folder / f"usr/share/bash-completion/completions/{program}").is_file()
    assert "sha256" in debian.run("man", "5", "tunnel2-tokens", MANPAGER="cat")


# python3-tunnel2 over libtunnel2-0, and a tunneld of the package tunnel2: an app is published and asked.
PUBLISH = """
import re, subprocess, tempfile, urllib.request
import tunnel2
from tunnel2 import _library

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from the system's library"]

assert tunnel2.__file__.startswith("/usr/lib/python3/dist-packages/"), tunnel2.__file__
assert "/" not in _library.find(), "one in the package, and not the linker's: " + _library.find()
every = "127.0.0.1:0"
with tempfile.TemporaryDirectory() as state:
    tunneld = subprocess.Popen(["tunneld", "--dev", "--entry", "--listen", every, "--public", every, "--uplink", every,
                                "--state-dir", state], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        server = re.search("https://[0-9.:]+", tunneld.stdout.readline()).group()
        with tunnel2.serve(app, server=server, dev=True, state_dir=state) as t:
            print(urllib.request.urlopen(t.url).read().decode())
    finally:
        tunneld.terminate()
        tunneld.wait()
"""


def use(debian):
    """What a service and an administrator would leave behind."""
    state = debian.folder / "var/lib/tunnel2/tunneld"
    state.mkdir(parents=True)
    (state / "keys.pem").write_text("secret")
    (debian.folder / "etc/tunnel2/tokens").write_text("alice client 0123456789abcdef\n")
    (debian.folder / "etc/tunnel2/tunnelc/web.conf").write_text("TUNNELC_OPTIONS=http 8000\n")
    (debian.folder / "etc/tunnel2/tunneld.env").write_text("TUNNELD_OPTIONS=changed\n")
    wants = debian.folder / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit, of in (("tunneld.service", "tunneld.service"), ("tunnelc@web.service", "tunnelc@.service")):
        (wants / unit).symlink_to(f"/lib/systemd/system/{of}")
    return wants


@pytest.mark.timeout(290)
def test_apt_installs_them_and_a_purge_leaves_nothing(debian, packages):
    wants = debian.folder / "etc/systemd/system/multi-user.target.wants"
    made = not wants.exists()
    files, accounts = debian.files(), debian.accounts()
    paths = debian.bring(packages)

    debian.apt("install", *paths)
    assert debian.run("dpkg", "--audit") == ""
    user = debian.run("getent", "passwd", "tunnel2")
    assert user.split(":")[5:] == ["/nonexistent", "/usr/sbin/nologin\n"]
    assert not list(debian.folder.glob("etc/systemd/system/*.wants/tunnel*")), "started without having been configured"
    check_programs(debian)
    build_outside(debian)
    assert debian.run("python3", "-c", PUBLISH) == "hello from the system's library\n"

    use(debian)
    debian.apt("install", "--reinstall", *paths)
    assert (debian.folder / "etc/tunnel2/tunneld.env").read_text() == "TUNNELD_OPTIONS=changed\n"
    assert (wants / "tunneld.service").is_symlink()

    debian.apt("purge", *packages)
    debian.apt("autoremove", "--purge")
    if made:
        wants.rmdir()
    assert debian.files() - files == set()
    assert debian.accounts() == accounts
    assert "tunnel2" not in debian.run("dpkg-query", "-W")


def test_a_removed_package_keeps_what_its_administrator_wrote(debian, packages):
    debian.apt("install", *debian.bring({TUNNEL2: packages[TUNNEL2]}))
    use(debian)
    debian.apt("remove", TUNNEL2)
    assert (debian.folder / "etc/tunnel2/tokens").exists() and (debian.folder / "var/lib/tunnel2/tunneld").exists()
    assert not list(debian.folder.glob("etc/systemd/system/*.wants/tunnel*"))
    debian.apt("purge", TUNNEL2)
    assert not (debian.folder / "etc/tunnel2").exists() and not (debian.folder / "var/lib/tunnel2").exists()
