"""The structs that the package mirrors are those of the headers."""
import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from tunnel2 import _abi, _library, options

STRUCTS = [pytest.param(*entry, id=entry[1]) for entry in _abi.STRUCTS]


def layout(name, header, members, folder):
    """What a C compiler makes of it: (sizeof, {member: offset})."""
    lines = "".join(f'  printf("{m} %zu\\n", offsetof({name}, {m}));\n' for m in members)
    source = (f"#include <stdio.h>\n#include <stddef.h>\n#include <tunnel2/{header}>\n"
              f'int main(void) {{\n  printf("sizeof %zu\\n", sizeof({name}));\n{lines}}}\n')
    program = Path(folder) / "layout"
    subprocess.run(["cc", "-xc", "-", f"-I{ROOT}/include", "-o", program], input=source, text=True, check=True)
    said = dict(line.split() for line in subprocess.check_output([program], text=True).splitlines())
    return int(said.pop("sizeof")), {m: int(at) for m, at in said.items()}


@pytest.mark.parametrize("struct, name, header", STRUCTS)
def test_a_struct_is_as_in_the_header(struct, name, header, tmp_path):
    members = [field[0] for field in struct._fields_]
    size, offsets = layout(name, header, members, tmp_path)
    assert {m: getattr(struct, m).offset for m in members} == offsets
    assert ctypes.sizeof(struct) == size, f"{header}: {name} has members that _abi.py does not know of"


def test_every_option_of_the_library_can_be_given():
    own = {"size", "allocator", "log", "log_user", "log_level", "on_event", "user", "handler", "handler_user"}
    own |= {"token_file", "dev_state_dir"}  # read by options.resolve
    given = {member for member, _ in options._SCALARS.values()}
    given |= {name for member, count, _ in options._LISTS.values() for name in (member, count)}
    assert {field[0] for field in _abi.ClientOptions._fields_} - own == given
    files = {"token_file", "dev", "state_dir", "basic_auth_file"}
    keywords = set(options.Options.__annotations__) - files - set(options.OWN)
    assert keywords == (set(options._SCALARS) | set(options._LISTS)) - {"origin"}


def test_the_readme_has_every_option():
    text = (ROOT / "bindings/python/README.md").read_text()
    listed = re.search(r"^Options, as keywords: (.*?)\.\s*`tunnel2\.Options`", text, re.M | re.S).group(1)
    assert set(re.findall(r"`(\w+)`", listed)) == set(options.Options.__annotations__)


def test_the_version_is_that_of_the_build_files():
    found = re.search(r"VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text().split("project(", 1)[1])
    assert found.group(1) == _library.VERSION


def test_a_library_of_another_version_is_refused():
    _library._check_version(_library.VERSION.rpartition(".")[0] + ".77", "x")
    with pytest.raises(ImportError, match=r"x is libtunnel2 0\.77\.0"):
        _library._check_version("0.77.0", "x")


def test_a_library_that_is_not_there_is_said_in_words(monkeypatch):
    monkeypatch.setenv("TUNNEL2_LIBRARY", "/nonexistent/libtunnel2.so")
    with pytest.raises(ImportError, match=r"/nonexistent.*TUNNEL2_LIBRARY"):
        _library.load()


def test_error_codes_are_those_of_the_header():
    from tunnel2 import errors
    header = (ROOT / "include/tunnel2/error.h").read_text()
    for name, value in re.findall(r"T2_ERR_(\w+) = (-\d+)", header):
        assert errors.error_of(int(value)).name == name
        if hasattr(errors, name):
            assert getattr(errors, name) == int(value), name


def test_event_types_and_kinds_are_those_of_the_header():
    from tunnel2 import _client
    header = (ROOT / "include/tunnel2/client.h").read_text()
    enum = {name.lower(): int(value) for name, value in re.findall(r"T2_CLIENT_(\w+) = (\d+)", header)}
    events, kinds = _client.TYPES, options.KINDS
    assert {**{name: number for number, name in events.items()}, **kinds} == enum
