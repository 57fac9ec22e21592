"""run.py with the release build's programs, shortened: it runs, judges, reports, and leaves nothing behind."""
import contextlib
import csv
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deployment import ROOT

HERE = Path(__file__).resolve().parent
BINARIES = Path(os.environ.get("T2_BIN_RELEASE", ROOT / "build/release/bin"))


def run(*arguments, timeout=120):
    return subprocess.run([sys.executable, str(HERE / "run.py"), *map(str, arguments), "--bin", str(BINARIES)],
                          capture_output=True, text=True, timeout=timeout)


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(("scenario", "requests"), [
    ("ramp", 1870), ("post", 150), ("clients", 3000), ("churn", 1200)])
def test_a_shortened_run_meets_what_is_asked(tmp_path, scenario, requests):
    done = run(scenario, "--fast", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT MET" not in done.stdout and "met: " in done.stdout
    rows = read(tmp_path / "results.csv")
    assert sum(int(row["planned"]) for row in rows) == requests
    page = ElementTree.fromstring((tmp_path / "report.html").read_text().split("\n", 1)[1])
    words = " ".join(page.itertext())
    assert all(f"{int(row['planned']):,}" in words for row in rows)
    for role in ("tunneld", "proxyentry", "tunnelc", "load_origin"):
        assert any(int(row[f"{role}_rss"] or 0) > 1 << 20 for row in read(tmp_path / "seconds.csv")), role


def test_a_threshold_that_is_missed_is_the_exit_status(tmp_path):
    done = run("baseline", "--fast", "--p99", "0.001", "--out", tmp_path, "--poisson", "--seed", 3)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT MET: baseline: P99 under 0.001 ms" in done.stdout
    assert "**not met**" in (tmp_path / "report.md").read_text()


def test_programs_that_do_not_start_are_no_result(tmp_path):
    done = run("baseline", "--fast", "--out", tmp_path, "--client-options=--no-such-option")
    assert done.returncode == 2 and "no-such-option" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_what_it_started_ends_with_it(tmp_path):
    """SIGTERM while the load runs: origin, programs and generator are gone when run.py is."""
    process = subprocess.Popen([sys.executable, str(HERE / "run.py"), "baseline", "--out", str(tmp_path), "--bin",
                                str(BINARIES)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert "baseline" in process.stderr.readline()  # of progress
        process.terminate()
        assert process.wait(60) == 143
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()


def test_a_scenario_that_is_not_there_is_refused():
    assert run("everest").returncode == 2
