#!/usr/bin/env python3
"""Requests a second that Python handlers answer through the tunnel, beside Flask's own server asked without one.

    tests/bench/python.py
    ROUNDS=5 SECONDS_EACH=5 CONNECTIONS=64 tests/bench/python.py

A tunneld that is an entry too, one Python process, wrk; rounds are interleaved, and the medians count. Needs wrk, the
release build, and for Flask the environment build/venv-python (tests/run.sh makes it), in which it starts itself anew.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ.get("T2_BIN_RELEASE", ROOT / "build/release/bin"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "5"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "64"))
BODY = b"hello\n"


# ---- What answers: one of these in a process of its own ----

def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


async def asgi_app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": BODY})


def flask_app():
    import flask
    app = flask.Flask(__name__)
    app.add_url_rule("/", "index", lambda: flask.Response(BODY, mimetype="text/plain"))
    return app


def run_tunnel(app, server, state_dir):
    import tunnel2
    with tunnel2.serve(app, server=server, state_dir=state_dir) as t:
        print(t.url, flush=True)
        t.wait()


def run_werkzeug():
    import logging

    from werkzeug.serving import make_server
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, flask_app(), threaded=True)
    print(f"http://127.0.0.1:{server.port}/", flush=True)
    server.serve_forever()


def answer(what, *where):
    if what == "werkzeug":
        run_werkzeug()
    else:
        run_tunnel({"wsgi": wsgi_app, "asgi": asgi_app}.get(what) or flask_app(), *where)


WHAT = {"wsgi": "a WSGI function, in process through the tunnel",
        "asgi": "an ASGI function, in process through the tunnel",
        "flask": "a Flask app, in process through the tunnel",
        "werkzeug": "a Flask app on Flask's own server, threaded, no tunnel"}


# ---- Measuring ----

def start(command, **options):
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True, **options)
    return process, process.stdout.readline()


def load(url):
    """Requests a second, and how many answers were none."""
    said = subprocess.run(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url], capture_output=True, text=True,
                          check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", said).group(1)), int(bad.group(1)) if bad else 0


def measure(what, *where):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "bindings/python"),
                   "TUNNEL2_LIBRARY": str(RELEASE.parent / "lib/libtunnel2.so")}
    process, url = start([sys.executable, __file__, "answer", what, *where], env=environment)
    try:
        return load(url.strip())
    finally:
        process.kill()
        process.wait()


def main():
    folder = tempfile.mkdtemp()
    any_port = [word for name in ("listen", "public", "uplink") for word in (f"--{name}", "127.0.0.1:0")]
    tunneld, line = start([RELEASE / "tunneld", "--dev", "--entry", *any_port, "--state-dir", folder, "--json",
                           "--log-level", "error"])
    found = {what: [] for what in WHAT}
    try:
        for _ in range(ROUNDS):
            for what in WHAT:
                found[what].append(measure(what, f"https://{json.loads(line)['control']}", folder))
    finally:
        tunneld.terminate()
        tunneld.wait()
        shutil.rmtree(folder)
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {CONNECTIONS} connections, "
          f"medians of {ROUNDS} rounds of {SECONDS} s")
    for what, text in WHAT.items():
        rates = [rate for rate, _ in found[what]]
        print(f"{statistics.median(rates):10.0f} requests/s  {text} ({min(rates):.0f} to {max(rates):.0f};"
              f" {sum(bad for _, bad in found[what])} failed)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        answer(*sys.argv[2:])
    else:
        own = ROOT / "build/venv-python/bin/python"
        if own.exists() and Path(sys.prefix).resolve() != own.parents[1].resolve():
            os.execv(own, [str(own), __file__])
        if not shutil.which("wrk") or not (RELEASE / "tunneld").exists():
            sys.exit("python.py: needs wrk, and the release build (cmake --build --preset release)")
        main()
