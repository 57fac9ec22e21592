"""python -m tunnel2: tunnelc's command line, and `serve MODULE:APP` for an app of Python's."""
from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys
from typing import Any

from . import __version__, _tunnel, errors
from ._client import Event
from ._tunnel import EventStream, Tunnel

ABOUT = """\
  http TARGET       PORT, HOST:PORT, http://..., https://..., h2c://..., unix:/PATH or files:DIR; none with --route
  files DIR         a directory
  tcp TARGET        PORT, HOST:PORT or unix:/PATH
  udp TARGET        PORT or HOST:PORT
  tls TARGET        as tcp; its connections come by --hostname, and are passed on undecrypted
  serve MODULE:APP  a WSGI or ASGI app, in this process"""
COMMANDS = ["http", "files", "tcp", "udp", "tls", "serve"]
LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG,
          "off": logging.CRITICAL + 1}
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT


class _Terminated(BaseException):
    """SIGTERM."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tunnel2", description="Publishes a service, a directory or a Python app under a session.\n" + ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    add = parser.add_argument
    add("command", choices=COMMANDS, metavar="COMMAND", help="one of those above")
    add("target", nargs="?", default=None, metavar="TARGET", help="what is published")
    add("--server", metavar="URL", help="the control plane (https://127.0.0.1:12002)")
    add("--token", help="for the control plane; other users of this machine see it")
    add("--token-file", metavar="FILE", help="the token is the first line of it")
    add("--session", metavar="ID", help="a UUID, or a name of a-z 0-9 and - (one is made)")
    add("--ca", dest="ca_file", metavar="FILE", help="trusted for control plane and entries (the system's)")
    add("--route", dest="routes", action="append", metavar="PREFIX=TARGET", help="another target there; repeated")
    add("--origin-ca", dest="origin_ca_file", metavar="FILE", help="trusted for https targets (the system's)")
    add("--origin-insecure", action="store_true", help="https targets are not verified")
    add("--host-header", metavar="HOST", help="Host to the origin (as the public sent it)")
    add("--add-header", dest="add_headers", action="append", metavar="'NAME: VALUE'",
        help="to each request, for the public's own; repeated")
    add("--remove-header", dest="remove_headers", action="append", metavar="NAME", help="from each request; repeated")
    add("--rewrite-prefix", action="store_true", help="mend Location and cookie paths below /session/ID")
    add("--hostname", dest="hostnames", action="append", metavar="HOST",
        help="http, tls: a name of one's own that points to the entry; repeated")
    add("--allow-ip", dest="allow_ips", action="append", metavar="CIDR", help="who may ask; repeated (all)")
    add("--basic-auth", metavar="USER:PASSWORD", help="asked of the public; other users of this machine see it")
    add("--basic-auth-file", metavar="FILE", help="the same from the first line of it")
    add("--sticky-cookie", metavar="NAME", help="requests with the same value go to the same client, if it is there")
    add("--sticky-header", metavar="NAME", help="the same by a header field")
    add("--remote-port", type=int, metavar="PORT", help="tcp, udp: the public port asked for (any)")
    add("--proxy-protocol", action="store_true", help="tcp, tls: tell TARGET who connected (PROXY protocol v2)")
    add("--connect-timeout", type=float, metavar="SECONDS", help="to the origin (5)")
    add("--response-timeout", type=float, metavar="SECONDS", help="from the end of a request to the answer (30)")
    add("--uplinks", metavar="N|auto", help="to each entry, 1 to 16; auto: one, and more while they are busy (1)")
    add("--uplink-plaintext", action="store_true",
        help="in the clear to entries at http://, where the network encrypts already")
    add("--uplink-plaintext-anywhere", action="store_true",
        help="the same at addresses that are not of a private network")
    add("--workers", metavar="N|auto", help="threads that serve an origin; auto: one a processor (1)")
    add("--weight", type=int, metavar="N", help="of each uplink, beside others of the session: 1 to 1000 (100)")
    add("--health", metavar="/PATH|connect", help="asked of TARGET: while that fails, no requests are taken")
    add("--health-interval", type=float, metavar="SECONDS", help="from one time to the next; 1 while it fails (10)")
    add("--health-timeout", type=float, metavar="SECONDS", help="for the answer (5)")
    add("--health-failures", type=int, metavar="N", help="in a row, until it is out (3)")
    add("--health-passes", type=int, metavar="N", help="in a row, until it is back (2)")
    add("--connect-failures", type=int, dest="connect_failures_max", metavar="N",
        help="connections to TARGET that fail in a row, until it is out; 0: never (5)")
    add("--interface", choices=["auto", "wsgi", "asgi"], default="auto", help="serve: what the app speaks (auto)")
    add("--threads", type=int, default=None, metavar="N", help="serve: at most so many for a WSGI app (CPUs + 4)")
    add("--app-dir", default=".", metavar="DIR", help="serve: where modules are looked for first (.)")
    add("--dev", action="store_true", help="token and CA from the state directory")
    add("--state-dir", metavar="DIR", help="where that is ($XDG_STATE_HOME/tunnel2 with --dev)")
    add("--drain-timeout", type=float, default=30.0, metavar="SECONDS", help="for what is under way at SIGTERM (30)")
    add("--json", action="store_true", default=False, help="events on stdout, one JSON object a line")
    add("--log-level", choices=LEVELS, default="info", help="what is logged on stderr (info)")
    add("--version", action="version", version=f"tunnel2 {__version__}")
    return parser


# Given by the command line, and not options of a tunnel.
_OWN = ("command", "target", "json", "log_level", "drain_timeout", "interface", "threads", "app_dir")


def _split(words: list[str], separator: str, what: str) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, found, value = word.partition(separator)
        if not found:
            raise errors.InvalidError(errors.INVALID, f"--{what} {word}: there is no \"{separator}\" in it")
        pairs.append((name, value.strip()))
    return pairs


def _workers(text: str) -> int:
    if text == "auto":
        return 0
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise errors.InvalidError(errors.INVALID, f"--workers {text}: 1 to 64, or auto, is taken")
    return int(text)


def _uplinks(text: str) -> dict[str, int]:
    if text == "auto":
        return {"uplinks_max": 16}
    if not text.isascii() or not text.isdigit():
        raise errors.InvalidError(errors.INVALID, f"--uplinks {text}: 1 to 16, or auto, is taken")
    return {"uplinks_min": int(text), "uplinks_max": int(text)}


def _options(given: argparse.Namespace) -> dict[str, Any]:
    options = {name: value for name, value in vars(given).items() if name not in _OWN}
    if "routes" in options:
        options["routes"] = dict(_split(options["routes"], "=", "route"))
    if "add_headers" in options:
        options["add_headers"] = _split(options["add_headers"], ":", "add-header")
    if "uplinks" in options:
        options.update(_uplinks(options.pop("uplinks")))
    if "workers" in options:
        options["workers"] = _workers(options["workers"])
    options["log_level"] = LEVELS[given.log_level]
    return options


def _load(name: str, folder: str) -> Any:
    """The app that "module:attribute" names; "app" where there is no attribute."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.path.abspath(folder))
    found: Any = importlib.import_module(module)
    for part in (attribute or "app").split("."):
        found = getattr(found, part)
    return found


def _tunnel_of(given: argparse.Namespace) -> Tunnel:
    options, target = _options(given), given.target
    if target is None and (given.command != "http" or "routes" not in options):
        raise errors.InvalidError(errors.INVALID, f"{given.command} needs what it is to publish")
    if given.command == "serve":
        return _tunnel.new_serve_threads(_load(target, given.app_dir), given.interface, given.threads, options)
    if given.command in ("tcp", "udp", "tls"):
        options["kind"] = given.command
    return _tunnel.new_forward(f"files:{target}" if given.command == "files" else target, options)


# ---- Running ----

def _say_json(event: Event) -> None:
    line: dict[str, Any] = {"event": event.type}
    if event.type in ("registered", "ready"):
        line["session"] = event.session
    if event.type == "registered":
        line["lease_seconds"] = event.lease_seconds
    if event.type == "ready":
        line["urls"] = event.urls
    if event.type in ("connected", "lost", "retrying"):
        line["entry"] = event.entry or None
    if event.type == "connected" and event.urls:
        line["url"] = event.urls[0]
    if event.type in ("lost", "retrying", "ended"):
        line["error"] = event.error.name if event.error else "OK"
    if event.reason:
        line["reason"] = event.reason
    if event.type == "retrying":
        line["delay_ms"] = int(event.delay * 1000)
    print(json.dumps(line), flush=True)


def _say(event: Event) -> None:
    if event.type == "ready":
        print(f"session {event.session} is published:", *event.urls, sep="\n  ", flush=True)


def _watch(tunnel: Tunnel, as_json: bool) -> int:
    for event in tunnel.events():
        (_say_json if as_json else _say)(event)
        if event.type == "ended" and event.error is not None:
            return _complain(event.reason, FAILED)
    return OK


def _complain(text: str, status: int) -> int:
    print(f"tunnel2: {text}", file=sys.stderr)
    return status


def _on_term(_number: int, _frame: Any) -> None:
    raise _Terminated


def _run(tunnel: Tunnel, given: argparse.Namespace) -> int:
    """Until it ends: SIGTERM drains, SIGINT does not."""
    try:
        tunnel.start()
        return _watch(tunnel, given.json)
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        tunnel.close(drain=given.drain_timeout)
        if given.json:
            _watch_rest(tunnel)
        return OK
    finally:
        tunnel.close()


def _watch_rest(tunnel: Tunnel) -> None:
    for event in EventStream(tunnel._client):
        if event.type in ("draining", "ended"):
            _say_json(event)


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 (failed), 2 (bad usage), 130 (SIGINT)."""
    given = _parser().parse_intermixed_args(arguments)
    logging.basicConfig(level=LEVELS[given.log_level], stream=sys.stderr,
                        format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _on_term)
    try:
        return _run(_tunnel_of(given), given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except _Terminated:
        return OK
    except errors.InvalidError as error:
        return _complain(f"{error.detail} (see --help)", USAGE)
    except errors.Error as error:
        return _complain(error.detail, FAILED)
    except (ImportError, AttributeError) as error:
        return _complain(f"{given.target}: {error}", FAILED)


if __name__ == "__main__":
    sys.exit(main())
