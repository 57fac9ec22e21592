"""The options of a tunnel: as keywords, and as the library's struct."""
from __future__ import annotations

import logging
import os
from ctypes import c_char_p
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Tuple, TypedDict, Union

from . import errors
from ._abi import ClientOptions, initialised, quick

if TYPE_CHECKING:
    from typing_extensions import Literal

    Kind = Literal["http", "tcp", "udp", "tls"]
    StrPath = Union[str, "os.PathLike[str]"]

KINDS = {"http": 0, "tcp": 1, "udp": 2, "tls": 3}
CA_FILE, TOKEN_FILE = "ca.pem", "token"


class Options(TypedDict, total=False):
    """Keywords that all ways to open a tunnel take. Times are seconds; what is not given is the library's default."""

    server: str  # "https://127.0.0.1:12002": the control plane
    token: str  # for the control plane; or token_file, whose first line it is
    token_file: StrPath
    session: str | None  # a UUID, or a name of a-z 0-9 and -; none: one is made
    ca_file: StrPath | None  # PEM, trusted for control plane and entries; none: the system's
    dev: bool  # token and CA from the state directory of programs that run with --dev
    state_dir: StrPath | None  # where that is; implies dev
    kind: Kind  # "http"
    remote_port: int  # tcp, udp: the public port asked for
    proxy_protocol: bool  # tcp, tls: each connection begins with a PROXY protocol header
    routes: Mapping[str, str]  # more origins, by path: {"/api": "3000", "/static": "files:public"}
    add_headers: Mapping[str, str] | Iterable[tuple[str, str]]  # to each request, for the public's own
    remove_headers: Iterable[str]
    host_header: str  # Host to the origin; none: as the public sent it
    rewrite_prefix: bool  # mend Location and cookie paths below /session/ID
    origin_ca_file: StrPath  # trusted for https origins
    origin_insecure: bool  # https origins are not verified
    allow_ips: Iterable[str]  # who of the public may ask: addresses and prefixes
    basic_auth: str | tuple[str, str]  # "user:password", asked of the public
    basic_auth_file: StrPath  # the same from the first line of it
    sticky_cookie: str  # requests with the same value of it go to the same client, as long as it is there
    sticky_header: str  # likewise, by a header field
    workers: int  # threads that serve an origin; 0: one a processor
    uplink_plaintext: bool  # uplinks in the clear to entries at http://, where the network encrypts already
    uplink_plaintext_anywhere: bool  # and at addresses that are not of a private network
    hostnames: Iterable[str]  # http, tls: names of one's own that point to the entry
    connect_timeout: float  # to the origin
    response_timeout: float  # from the end of a request to the head of its answer
    retry_min: float  # reconnecting: the upper bound of the first delay
    retry_max: float  # and of the last
    concurrent_max: int  # requests at once on one uplink; the entry answers 503 to more
    uplinks_min: int  # to each entry, always; 1
    uplinks_max: int  # and as many while they are busy; 1
    weight: int  # of each uplink, beside others of the session: 1 to 1000; 100
    health: str  # "/path", asked of the origin, or "connect": while that fails no requests are taken
    health_interval: float  # from one time to the next; 10
    health_timeout: float  # for the answer; 5
    health_failures: int  # in a row, until it is out; 3
    health_passes: int  # in a row, until it is back; 2
    connect_failures_max: int  # connections to the origin that fail in a row, until it is out; 0: never; 5
    log_level: int  # of the module logging; none: that of the logger "tunnel2" when the tunnel opens
    timeout: float | None  # until it is published; 30; None: as long as it takes
    drain_timeout: float  # for what is under way when a `with` block is left; 5


# Keywords that are not the library's, with their defaults.
OWN: dict[str, Any] = {"timeout": 30.0, "drain_timeout": 5.0, "log_level": None}


def default_state_dir() -> Path:
    """$XDG_STATE_HOME/tunnel2, or ~/.local/state/tunnel2."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "tunnel2"


def _first_line(what: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise errors.NotFoundError(errors.NOT_FOUND, f"{what} file {path}: {error.strerror}") from error
    if not lines:
        raise errors.InvalidError(errors.INVALID, f"{what} file {path}: there is no {what} in it")
    return lines[0]


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords with `dev`, `state_dir` and the files of secrets turned into what they stand for."""
    options = {name: value for name, value in given.items() if value is not None or name in OWN}
    state = options.pop("state_dir", None)
    if options.pop("dev", False) or state is not None:
        folder = Path(state) if state is not None else default_state_dir()
        if "token" not in options:
            options.setdefault("token_file", folder / TOKEN_FILE)
        options.setdefault("ca_file", folder / CA_FILE)
    file = options.pop("token_file", None)
    if file is not None and "token" not in options:
        options["token"] = _first_line("token", Path(file))
    file = options.pop("basic_auth_file", None)
    if file is not None:
        options["basic_auth"] = _first_line("password", Path(file))
    return options


# ---- Into the struct ----

def _text(value: Any) -> bytes:
    data = os.fsencode(value) if isinstance(value, os.PathLike) else str(value).encode()
    if b"\0" in data:
        raise errors.InvalidError(errors.INVALID, "a NUL character is in an option")
    return data


def _milliseconds(value: float) -> int:
    if not 0 <= value <= 1e9:
        raise errors.InvalidError(errors.INVALID, f"{value!r} seconds: not from 0 to 1e9")
    return int(value * 1000)


def _kind(value: str) -> int:
    if value not in KINDS:
        raise errors.InvalidError(errors.INVALID, f"kind {value!r}: \"http\", \"tcp\", \"udp\" or \"tls\" is taken")
    return KINDS[value]


def _number(bits: int) -> Callable[[int], int]:
    def convert(value: int) -> int:
        if not 0 <= value < 1 << bits:
            raise errors.InvalidError(errors.INVALID, f"{value!r}: not from 0 to {(1 << bits) - 1}")
        return int(value)
    return convert


def _words(value: Iterable[str]) -> list[bytes]:
    if isinstance(value, (str, bytes)):
        raise errors.InvalidError(errors.INVALID, f"{value!r}: a list is asked for")
    return [_text(word) for word in value]


def _pairs(separator: str) -> Callable[[Any], list[bytes]]:
    def convert(value: Any) -> list[bytes]:
        items = value.items() if isinstance(value, Mapping) else value
        return [_text(f"{name}{separator}{content}") for name, content in items]
    return convert


def _basic_auth(value: str | tuple[str, str]) -> bytes:
    return _text(value if isinstance(value, str) else ":".join(value))


_SCALARS: dict[str, Tuple[str, Callable[[Any], Any]]] = {
    "server": ("server", _text), "token": ("token", _text), "session": ("session", _text),
    "ca_file": ("ca_file", _text), "origin": ("origin", _text), "host_header": ("host_header", _text),
    "origin_ca_file": ("origin_ca_file", _text), "origin_insecure": ("origin_insecure", bool),
    "rewrite_prefix": ("rewrite_prefix", bool), "kind": ("kind", _kind), "remote_port": ("remote_port", _number(16)),
    "proxy_protocol": ("proxy_protocol", bool), "basic_auth": ("basic_auth", _basic_auth),
    "connect_timeout": ("connect_timeout_ms", _milliseconds), "retry_min": ("retry_min_ms", _milliseconds),
    "response_timeout": ("response_timeout_ms", _milliseconds), "retry_max": ("retry_max_ms", _milliseconds),
    "concurrent_max": ("concurrent_max", _number(32)),
    "uplinks_min": ("uplinks_min", _number(32)), "uplinks_max": ("uplinks_max", _number(32)),
    "weight": ("weight", _number(32)), "health": ("health", _text),
    "health_interval": ("health_interval_ms", _milliseconds), "health_timeout": ("health_timeout_ms", _milliseconds),
    "health_failures": ("health_failures", _number(32)), "health_passes": ("health_passes", _number(32)),
    "connect_failures_max": ("connect_failures_max", _number(32)),
    "sticky_cookie": ("sticky_cookie", _text), "sticky_header": ("sticky_header", _text),
    "workers": ("workers", _number(32)),
    "uplink_plaintext": ("uplink_plaintext", bool), "uplink_plaintext_anywhere": ("uplink_plaintext_anywhere", bool),
}

# The list, and its count.
_LISTS: dict[str, Tuple[str, str, Callable[[Any], list[bytes]]]] = {
    "routes": ("routes", "route_count", _pairs("=")),
    "add_headers": ("add_headers", "add_header_count", _pairs(": ")),
    "remove_headers": ("remove_headers", "remove_header_count", _words),
    "allow_ips": ("allow_ips", "allow_ip_count", _words),
    "hostnames": ("hostnames", "hostname_count", _words),
}


def _log_level(level: int | None) -> int:
    """The library's threshold for one of the module logging."""
    if level is None:
        level = logging.getLogger("tunnel2").getEffectiveLevel()
    for step, value in ((logging.DEBUG, 3), (logging.INFO, 2), (logging.WARNING, 1), (logging.ERROR, 0)):
        if level <= step:
            return value
    return -1


def build(options: Mapping[str, Any]) -> Any:
    """The library's struct. Memory that it points to lives as long as it does."""
    struct = initialised(ClientOptions, quick.t2_client_options_init)
    for name, value in options.items():
        if name in _SCALARS:
            member, convert = _SCALARS[name]
            setattr(struct, member, convert(value))
        elif name in _LISTS:
            member, count, convert = _LISTS[name]
            words = convert(value)
            setattr(struct, member, (c_char_p * len(words))(*words))
            setattr(struct, count, len(words))
        elif name not in OWN:
            raise TypeError(f"there is no option {name!r}")
    struct.log_level = _log_level(options.get("log_level"))
    return struct
