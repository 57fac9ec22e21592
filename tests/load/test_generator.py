"""The load generator's own figures: against servers whose delay, stall and errors are known."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from programs import BIN, ENVIRONMENT, Program

from origin_faulty import Faulty

PERCENTILES = ("p50_us", "p75_us", "p90_us", "p95_us", "p99_us", "p99_9_us", "max_us")


def load(urls, *options, timeout=60, during=None):
    """Runs the generator to its end: {"second": [...], "step": [...], "total": {...}}."""
    process = subprocess.Popen([str(BIN / "load_generator"), *map(str, options), *urls],
                               stdout=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT})
    watch = threading.Timer(timeout, process.kill)
    watch.start()
    try:
        found = {"second": [], "step": []}
        for line in process.stdout:
            one = json.loads(line)
            if one["type"] in ("second", "step"):
                found[one["type"]].append(one)
            else:
                found[one["type"]] = one
            if during:
                during(process, one)
        assert process.wait() == 0
    finally:
        watch.cancel()
    check_sums(found)
    return found


def check_sums(found):
    """Every planned request is answered or an error, and seconds and steps add up to the whole."""
    total = found["total"]
    for key in ("planned", "sent", "late", "starved", "answered", "good", "failed"):
        for part in ("second", "step"):
            assert sum(one[key] for one in found[part]) == total[key], (key, part, found)
    for one in [total, *found["step"]]:
        assert one["starved"] <= one["late"] <= one["sent"] <= one["planned"]
        assert one["failed"] == sum(one["errors"].values())
        if not total["stopped"]:
            assert one["planned"] == one["good"] + one["failed"], one
        assert [one[key] for key in PERCENTILES] == sorted(one[key] for key in PERCENTILES)


@contextlib.contextmanager
def origin(tmp_path, *options):
    program = Program("load_origin", options, tmp_path, binaries=BIN)
    try:
        program.url = f"http://127.0.0.1:{program.event('ready')['port']}/"
        yield program
    finally:
        program.stop()
        program.check_end()


def test_a_known_delay_is_what_the_percentiles_say(tmp_path):
    """A server that answers after 50 ms: P50 is that, within the histogram's error and a busy machine's."""
    with origin(tmp_path, "--delay", 50) as server:
        total = load([server.url], "--step", "200:1.5")["total"]
    assert total["good"] == total["planned"] == 300
    assert 49_700 <= total["p50_us"] <= 65_000
    assert total["p50_us"] <= total["mean_us"] * 1.05


def test_waiting_is_not_hidden_when_the_server_stalls(tmp_path):
    """A server that does nothing for a second: requests planned in it wait 0 to 1 s, evenly, and each is counted.

    Who measured from the sending, with connections that wait for answers, would find as many slow ones as connections.
    """
    with origin(tmp_path, "--stall", 1000) as server:
        def stall(_, line):
            if line["type"] == "second" and line["t"] == 0:
                server.signal(signal.SIGUSR1)
        total = load([server.url], "--step", "200:4", "--connections", 4, during=stall)["total"]
    assert total["good"] == total["planned"] == 800
    # A quarter of the requests fell into the stall: the slowest waited all of it, P90 (of 800, the 80th slowest of the
    # 200) some 0.6 s of it, and half of all nothing.
    assert total["max_us"] >= 900_000
    assert total["p90_us"] >= 400_000
    assert total["late"] >= 150
    assert total["p50_us"] < total["p90_us"] / 2


@pytest.mark.parametrize("gaps", [[], ["--poisson"]])
def test_the_plan_is_kept(tmp_path, gaps):
    """The rate of every step, whatever comes of it; random gaps are about as many, and the same for the same seed."""
    with origin(tmp_path) as server:
        options = ["--step", "100:0.5", "--step", "1000:0.5:3000", *gaps, "--seed", 7]
        first, again = load([server.url], *options), load([server.url, f"{server.url}b"], *options)
    planned = [step["planned"] for step in first["step"]]
    assert planned == [step["planned"] for step in again["step"]]
    if gaps:
        assert 15 < planned[0] < 100 and 400 < planned[1] < 600 and planned != [50, 500]
    else:
        assert planned == [50, 500]
    assert [(step["rate"], step["body"]) for step in first["step"]] == [(100, 0), (1000, 3000)]


def test_contents_are_sent_whole(tmp_path):
    with origin(tmp_path) as server:
        total = load([server.url], "--step", "20:0.5:1000000", "--step", "50:0.5:1", "--step", "10:0.5")["total"]
    assert total["good"] == 40


@pytest.mark.parametrize(("what", "kind"), [
    ("missing", "status_4xx"), ("broken", "status_5xx"), ("reset", "reset"), ("end", "closed"), ("short", "closed"),
    ("nonsense", "malformed"), ("length", "malformed"), ("twice", "malformed"), ("chunk", "malformed"),
    ("head", "malformed"), ("broken-slowly", "status_5xx")])
def test_errors_are_counted_by_kind(what, kind):
    with Faulty() as server:
        found = load([server.url(what)], "--step", "80:0.25")
    assert found["total"]["errors"] == {kind: 20}
    assert found["total"]["good"] == 0
    assert found["total"]["answered"] == (20 if kind.startswith("status") else 0)


@pytest.mark.parametrize("what", ["ok", "chunks", "interim", "empty", "rest", "old", "chunks-slowly", "interim-slowly"])
def test_answers_of_every_form_are_good(what):
    with Faulty() as server:
        total = load([server.url(what)], "--step", "80:0.25")["total"]
    assert total["good"] == 20 and total["errors"] == {}
    assert total["connected"] == 20 if what in ("rest", "old") else total["connected"] <= 20


def test_each_url_has_its_turn():
    with Faulty() as server:
        total = load([server.url("ok"), server.url("missing"), server.url("ok"), server.url("broken")],
                     "--step", "100:1")["total"]
    assert total["good"] == 50 and total["errors"] == {"status_4xx": 25, "status_5xx": 25}


def test_a_refused_connection_is_an_error_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    total = load([f"http://127.0.0.1:{port}/"], "--step", "100:1")["total"]
    assert total["errors"] == {"connect": 100}


def test_a_silent_server_is_a_timeout_and_time_is_bounded():
    """One connection: the first request times out; those behind it in turn, or they are never sent."""
    began = time.monotonic()
    with Faulty() as server:
        total = load([server.url("silent")], "--step", "50:1", "--timeout", "0.5", "--connections", 1)["total"]
    assert set(total["errors"]) == {"timeout", "unsent"} and total["failed"] == 50
    assert total["errors"]["timeout"] >= 1 and total["errors"]["unsent"] >= 1
    assert time.monotonic() - began < 30


def test_connections_are_no_more_than_allowed(tmp_path):
    with origin(tmp_path, "--delay", 20) as server:
        found = load([server.url], "--step", "300:1.5", "--connections", 3)
    assert found["total"]["connected"] == 3
    assert max(one["connections"] for one in found["second"]) == 3
    assert found["total"]["late"] > 200  # 150/s is what three connections can
    assert found["total"]["late"] - found["total"]["starved"] > 200


def test_it_ends_in_order_at_sigterm(tmp_path):
    def end(process, line):
        if line["type"] == "second":
            process.terminate()
    with origin(tmp_path) as server:
        found = load([server.url], "--step", "100:60", during=end)
    assert found["total"]["stopped"] and 100 <= found["total"]["planned"] < 3000


@pytest.mark.parametrize("wrong", [
    [], ["--step", "1:1"], ["--step", "0:1", "http://127.0.0.1:1/"], ["--step", "10", "http://127.0.0.1:1/"],
    ["--step", "10:1:99999999", "http://127.0.0.1:1/"], ["--step", "1:1", "https://127.0.0.1:1/"],
    ["--step", "1:1", "http://127.0.0.1/"], ["--step", "1:1", "--connections", "0", "http://127.0.0.1:1/"],
    ["--step", "1:1", "--timeout", "x", "http://127.0.0.1:1/"], ["--step", "1:1", "http://127.0.0.1:1/" + "x" * 3000],
    ["--step", "1:1", *["http://127.0.0.1:1/"] * 65], [*["--step", "1:1"] * 65, "http://127.0.0.1:1/"]])
def test_options_that_are_wrong_are_refused(wrong):
    done = subprocess.run([str(BIN / "load_generator"), *wrong], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **ENVIRONMENT})
    assert done.returncode == 2 and "Usage:" in done.stderr and not done.stdout
