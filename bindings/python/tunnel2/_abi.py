"""The C side as ctypes sees it: structs, callback types, functions.

tests/python/test_abi.py compares every struct with the headers. One that lacks the last members is still right, since
the library is told its size; a new option is a line here and one in options.py.
"""
from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

from ._library import load

Strings = POINTER(c_char_p)


class LogPair(Structure):
    _fields_ = [("key", c_char_p), ("value", c_char_p)]


class HttpField(Structure):
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class RuntimeOptions(Structure):
    _fields_ = [("size", c_size_t), ("allocator", c_void_p), ("name", c_char_p), ("own_thread", c_bool)]


class Handler(Structure):
    _fields_ = [("size", c_size_t), ("on_request", c_void_p), ("on_data", c_void_p), ("on_end", c_void_p),
                ("on_writable", c_void_p), ("on_close", c_void_p), ("consume_later", c_bool)]


class ClientEvent(Structure):
    _fields_ = [("type", c_int), ("session", c_char_p), ("urls", Strings), ("url_count", c_size_t),
                ("entry", c_char_p), ("lease_seconds", c_uint), ("error", c_int), ("reason", c_char_p),
                ("delay_ms", c_uint64)]


class ClientOptions(Structure):
    _fields_ = [
        ("size", c_size_t), ("allocator", c_void_p), ("log", c_void_p), ("log_user", c_void_p), ("log_level", c_int),
        ("server", c_char_p), ("token", c_char_p), ("session", c_char_p), ("ca_file", c_char_p), ("origin", c_char_p),
        ("host_header", c_char_p), ("connect_timeout_ms", c_uint64), ("response_timeout_ms", c_uint64),
        ("concurrent_max", c_uint32), ("retry_min_ms", c_uint64), ("retry_max_ms", c_uint64),
        ("on_event", c_void_p), ("user", c_void_p), ("routes", Strings), ("route_count", c_size_t),
        ("origin_ca_file", c_char_p), ("origin_insecure", c_bool), ("add_headers", Strings),
        ("add_header_count", c_size_t), ("remove_headers", Strings), ("remove_header_count", c_size_t),
        ("rewrite_prefix", c_bool), ("kind", c_int), ("remote_port", c_uint16), ("proxy_protocol", c_bool),
        ("allow_ips", Strings), ("allow_ip_count", c_size_t), ("basic_auth", c_char_p), ("hostnames", Strings),
        ("hostname_count", c_size_t), ("handler", POINTER(Handler)), ("handler_user", c_void_p),
        ("token_file", c_char_p), ("dev_state_dir", c_char_p), ("uplinks_min", c_uint32), ("uplinks_max", c_uint32),
        ("weight", c_uint32), ("health", c_char_p), ("health_interval_ms", c_uint64), ("health_timeout_ms", c_uint64),
        ("health_failures", c_uint32), ("health_passes", c_uint32), ("connect_failures_max", c_uint32),
        ("sticky_cookie", c_char_p), ("sticky_header", c_char_p), ("workers", c_uint32), ("uplink_plaintext", c_bool),
        ("uplink_plaintext_anywhere", c_bool),
    ]


class ClientStats(Structure):
    _fields_ = [("size", c_size_t), ("requests", c_uint64), ("requests_failed", c_uint64), ("active", c_uint64),
                ("uplinks", c_uint64), ("bytes_to_origin", c_uint64), ("bytes_from_origin", c_uint64),
                ("datagrams_dropped", c_uint64), ("http2_given_up", c_uint64), ("unhealthy", c_uint64)]


class FrameWriter(Structure):
    _fields_ = [("out", c_void_p), ("cap", c_size_t), ("len", c_size_t), ("finished", c_size_t), ("frame", c_size_t),
                ("list", c_size_t), ("error", c_int)]


class FrameDecoder(Structure):
    _fields_ = [("buffer", c_void_p), ("cap", c_size_t), ("len", c_size_t), ("skip", c_uint64), ("error", c_int),
                ("on_frame", c_void_p), ("filter", c_void_p), ("user", c_void_p)]


# What test_abi.py looks at: the struct, its name in C, and the header.
STRUCTS: list[tuple[type[Structure], str, str]] = [
    (LogPair, "t2_log_pair", "log.h"), (HttpField, "t2_http_field", "request.h"), (Handler, "t2_handler", "request.h"),
    (RuntimeOptions, "t2_runtime_options", "runtime.h"), (ClientEvent, "t2_client_event", "client.h"),
    (ClientOptions, "t2_client_options", "client.h"), (ClientStats, "t2_client_stats", "client.h"),
    (FrameWriter, "t2_frame_writer", "frame.h"), (FrameDecoder, "t2_frame_decoder", "frame.h"),
]

LogCallback = CFUNCTYPE(None, c_int, c_char_p, c_char_p, POINTER(LogPair), c_size_t, c_void_p)
EventCallback = CFUNCTYPE(None, c_void_p, POINTER(ClientEvent), c_void_p)
UserCallback = CFUNCTYPE(None, c_void_p)
CallCallback = CFUNCTYPE(c_int, c_void_p)
RequestCallback = CFUNCTYPE(None, c_void_p, c_void_p)
DataCallback = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_void_p)
CloseCallback = CFUNCTYPE(None, c_void_p, c_int, c_void_p)
FrameCallback = CFUNCTYPE(c_int, c_uint64, c_void_p, c_size_t, c_void_p)

# An options struct is filled in by the library, which may know of more members than are mirrored here.
OPTIONS_ROOM = 8192

_FIELDS = POINTER(HttpField)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "t2_strerror": (c_char_p, [c_int]),
    "t2_error_name": (c_char_p, [c_int]),
    "t2_runtime_options_init": (None, [c_void_p]),
    "t2_runtime_new": (c_int, [POINTER(c_void_p), c_void_p]),
    "t2_runtime_run": (c_int, [c_void_p]),
    "t2_runtime_loop": (c_void_p, [c_void_p]),
    "t2_runtime_is_current": (c_bool, [c_void_p]),
    "t2_runtime_post": (c_int, [c_void_p, UserCallback, c_void_p]),
    "t2_runtime_stop": (c_int, [c_void_p, c_uint64]),
    "t2_runtime_free": (None, [c_void_p]),
    "t2_client_options_init": (None, [c_void_p]),
    "t2_client_new": (c_int, [POINTER(c_void_p), c_void_p, c_void_p, c_char_p, c_size_t]),
    "t2_client_start": (c_int, [c_void_p]),
    "t2_client_drain": (None, [c_void_p, c_uint64]),
    "t2_client_close": (None, [c_void_p, UserCallback, c_void_p]),
    "t2_client_get_stats": (None, [c_void_p, POINTER(ClientStats)]),
    "t2_handler_init": (None, [c_void_p]),
    "t2_request_text": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "t2_request_content_length": (c_int64, [c_void_p]),
    "t2_request_consume": (None, [c_void_p, c_size_t]),
    "t2_response_start": (c_int, [c_void_p, c_int, _FIELDS, c_size_t, c_int64]),
    "t2_response_write": (c_int64, [c_void_p, c_char_p, c_size_t]),
    "t2_response_end": (c_int, [c_void_p, _FIELDS, c_size_t]),
    "t2_response_send": (c_int, [c_void_p, c_int, c_char_p, _FIELDS, c_size_t, c_char_p, c_size_t]),
    "t2_response_abort": (None, [c_void_p, c_int]),
    "t2_frame_writer_init": (None, [POINTER(FrameWriter), c_void_p, c_size_t]),
    "t2_frame_begin": (c_int, [POINTER(FrameWriter), c_uint64]),
    "t2_frame_put_bytes": (c_int, [POINTER(FrameWriter), c_uint64, c_char_p, c_size_t]),
    "t2_frame_put_u64": (c_int, [POINTER(FrameWriter), c_uint64, c_uint64]),
    "t2_frame_begin_list": (c_int, [POINTER(FrameWriter), c_uint64]),
    "t2_frame_end_list": (c_int, [POINTER(FrameWriter)]),
    "t2_frame_end": (c_int, [POINTER(FrameWriter)]),
    "t2_frame_decoder_init": (None, [POINTER(FrameDecoder), c_void_p, c_size_t, FrameCallback, c_void_p]),
    "t2_frame_decoder_feed": (c_int, [POINTER(FrameDecoder), c_char_p, c_size_t]),
    "t2_frame_decoder_finish": (c_int, [POINTER(FrameDecoder)]),
    "t2_frame_next_field": (c_int, [c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_uint64), POINTER(c_void_p),
                                    POINTER(c_size_t)]),
    "t2_varint_decode": (c_int, [c_char_p, c_size_t, POINTER(c_uint64)]),
}


def _declare(library: Any) -> Any:
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise ImportError(f"libtunnel2 is older than this package: it has no {name}") from error
        function.restype, function.argtypes = result, arguments
    return library


# `lib` gives the interpreter's lock up during a call, `quick` holds it: for calls that never wait.
lib, quick = (_declare(library) for library in load())


def text(value: bytes | None) -> str:
    """A C string as the library has them: UTF-8 where it is more than ASCII."""
    return value.decode("utf-8", "replace") if value else ""


def initialised(struct: type[Structure], init: Any) -> Any:
    """A struct of options with its defaults, in memory that has room for members that are not mirrored."""
    memory = (c_uint8 * OPTIONS_ROOM)()
    init(memory)
    options = struct.from_buffer(memory)
    if options.size > OPTIONS_ROOM:
        raise ImportError(f"libtunnel2 is newer than this package: {struct.__name__} has {options.size} bytes")
    return options
