"""Finds libtunnel2.so, and checks that it is of the version that this package was made for."""
from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path
from typing import Any, Iterator

VERSION = "0.1.0"
SONAME = "libtunnel2.so.0"


def _candidates() -> Iterator[str]:
    """Where it may be, best first: named by the environment, beside this file (a wheel), the system's."""
    named = os.environ.get("TUNNEL2_LIBRARY")
    if named:
        yield named
        return
    inside = Path(__file__).with_name("libtunnel2.so")
    if inside.exists():
        yield str(inside)
        return
    yield ctypes.util.find_library("tunnel2") or SONAME


def _check_version(found: str, path: str) -> None:
    """Before 1.0 a minor version may change what calls mean; a patch does not."""
    if found.split(".")[:2] != VERSION.split(".")[:2]:
        raise ImportError(f"{path} is libtunnel2 {found}, and this is the Python package for {VERSION}")


def find() -> str:
    """The library's path, or its name for the dynamic linker."""
    return next(_candidates())


def load() -> tuple[Any, Any]:
    """The library twice: as it is called with the interpreter's lock given up meanwhile, and with it held.

    The second is for calls that are short and never wait.
    """
    path = find()
    try:
        free, held = ctypes.CDLL(path), ctypes.PyDLL(path)
    except OSError as error:
        raise ImportError(f"libtunnel2 can't be loaded: {error} (TUNNEL2_LIBRARY may name it)") from error
    free.t2_version.restype = ctypes.c_char_p
    _check_version(free.t2_version().decode(), path)
    return free, held
