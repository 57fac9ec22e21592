"""The wheel and the sdist: built, and installed where no sources are."""
import os
import sys
import venv
import zipfile
from pathlib import Path

from programs import BIN_RELEASE

from test_lint import PACKAGE, run


def test_the_wheel_has_the_library_and_works(tmp_path):
    """pip install of the repository's folder, in an environment of its own, away from the sources."""
    library = BIN_RELEASE.parent / "lib/libtunnel2.so"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["TUNNEL2_LIBRARY"] = str(library)  # as built; test_the_sdist_builds has it made
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, PACKAGE, env=environment)
    wheel, = tmp_path.glob("*.whl")
    assert "-py3-none-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {f"tunnel2/{path.name}" for path in (PACKAGE / "tunnel2").glob("*.py")}
    assert {"tunnel2/libtunnel2.so", "tunnel2/py.typed"} | sources <= names
    assert not [name for name in names if name.endswith((".c", ".h"))]
    del environment["TUNNEL2_LIBRARY"]
    venv.create(tmp_path / "venv", with_pip=True)
    run(tmp_path / "venv/bin/python", "-m", "pip", "install", "--no-index", "--disable-pip-version-check", wheel,
        env=environment)
    said = run(tmp_path / "venv/bin/python", "-c", "import tunnel2._library as l; print(l.find())", cwd=tmp_path,
               env=environment)
    assert Path(said.strip()).is_relative_to(tmp_path / "venv")
    assert run(tmp_path / "venv/bin/python", "-m", "tunnel2", "--version", cwd=tmp_path, env=environment)


def test_the_sdist_has_all_that_the_library_is_built_from(tmp_path):
    """Unpacked elsewhere, CMake configures and builds it."""
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, PACKAGE)
    archive, = tmp_path.glob("*.tar.gz")
    run("tar", "xf", archive, "-C", tmp_path)
    folder, = tmp_path.glob("tunnel2-*/")
    assert (folder / "c/lib/CMakeLists.txt").exists() and not list(folder.glob("c/**/*.o"))
    run("cmake", "-S", folder / "c", "-B", tmp_path / "b", "-G", "Ninja")
    said = run("ninja", "-C", tmp_path / "b", "-t", "commands", "tunnel2")
    assert "libtunnel2.so" in said
