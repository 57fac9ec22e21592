"""One measurement: a load program runs against one system, and what it says is read."""
import json
import re
import subprocess
import time
from pathlib import Path

import plan
from site_of import Failed, cpu_us, descendants, forget_peak, memory

HERE = Path(__file__).parent
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}


def run(command, timeout):
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} had not ended after {timeout:g} s") from None
    if done.returncode:
        raise Failed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def quantiles(values):
    """P50, P99 and P99.9 of a list, by rank."""
    values = sorted(values)
    return {name: values[min(len(values) - 1, int(q * len(values)))] if values else 0
            for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}


def wrk(url, connections, seconds):
    """HTTP/1.1, each connection asking as soon as it has its answer."""
    said = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", HERE / "report.lua", url],
               seconds + 15)
    found = json.loads(next(line[5:] for line in said.splitlines() if line.startswith("JSON ")))
    took = found.pop("microseconds") / 1e6
    return {**found, "rate": found["requests"] / took}


def h2load_counts(said):
    """(requests that were answered well, those that were not). h2load 1.52 counts an answer of HTTP/1.1 without a
    reason phrase, which haproxy gives, under no status and as failed: what counts here is that none was an error."""
    found = re.search(r"requests: .*?(\d+) done, .*?(\d+) errored, (\d+) timeout", said)
    codes = re.search(r"status codes: .*?(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if not found or not codes:
        raise Failed(f"h2load: {said[-300:]}")
    done, errored, late = map(int, found.groups())
    bad = sum(map(int, codes.groups()))
    return done - bad - errored - late, bad + errored + late


def content_bytes(said):
    """That h2load has received."""
    return int(re.search(r"\((\d+)\) data", said)[1])


def h2load(url, connections, seconds, log):
    """HTTP/2: `connections` requests at once, on a connection for each STREAMS of them."""
    streams = min(plan.STREAMS, connections)
    Path(log).unlink(missing_ok=True)
    said = run(["h2load", "-t1", "-c", max(1, connections // streams), "-m", streams, "-D", seconds,
                f"--log-file={log}", url], seconds + 15)
    requests, errors = h2load_counts(said)
    if requests == 0:
        raise Failed(f"no answer over HTTP/2: {said[-300:]}")
    with open(log) as lines:
        times = [int(line.split("\t")[2]) for line in lines]
    return {"requests": requests, "rate": requests / seconds, "errors": errors, **quantiles(times)}


def bulk(url, case, upload):
    """A few transfers of a large body, as many at once as there are connections: bytes a second."""
    command = ["h2load", "-t1", "-c", case.connections, "-n", case.requests, "-m", 1]
    command += ["--h1"] if case.side == "h1" else []
    command += ["-d", upload] if case.kind == "up" else []
    said = run([*command, url], plan.BULK_TIMEOUT)
    requests, errors = h2load_counts(said)
    took = re.search(r"finished in ([\d.]+)(us|ms|s|m)", said)
    whole = case.kind == "up" or content_bytes(said) == requests * plan.BODIES[case.body]
    if errors or not requests or not took or not whole:
        raise Failed(f"{requests} of {case.requests} transfers done")
    seconds = float(took[1]) * UNITS[took[2]]
    return {"requests": requests, "errors": errors, "bytes_per_second": requests * plan.BODIES[case.body] / seconds}


def steady(program, url, seconds):
    """HTTP/1.1 at a rate that does not depend on the answers; latency from the planned time."""
    host, _, path = url.removeprefix("http://").partition("/")
    found = json.loads(run([program, *host.split(":"), f"/{path}", plan.STEADY_RATE, seconds, plan.STEADY_CONNECTIONS],
                           seconds + 15))
    return {"requests": found["answered"], "rate": found["answered"] / seconds,
            **{key: found[key] for key in ("errors", "p50", "p99", "p999")}}


class Load:
    def __init__(self, site, seconds):
        self.site, self.seconds = site, seconds
        self.program = site.folder / "steady"
        subprocess.run(["cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", HERE / "steady.c", "-o", self.program], check=True)

    def apply(self, case, url):
        if case.kind == "steady":
            return steady(self.program, url, max(self.seconds, plan.STEADY_SECONDS))
        if case.kind != "rate":
            return bulk(url, case, self.site.folder / "files/100M")
        if case.side == "h1":
            return wrk(url, case.connections, self.seconds)
        return h2load(url, case.connections, self.seconds, self.site.folder / "h2load.log")

    def measure(self, case, system):
        """All figures of one case of one system: those of the load program, and what its processes spent and held.
        Failed, also when one of them is gone."""
        try:
            return self.measure_running(case, system)
        except (OSError, KeyError) as failure:
            raise Failed(f"a process of it is gone: {failure}") from None

    def measure_running(self, case, system):
        processes = system.of(case.url_side)
        base = system.urls[case.url_side]
        url = f"{base}/up/" if case.kind == "up" else f"{base}/{case.body}"
        trees = {label: descendants([pid]) for label, pid in processes.items()}
        pids = [pid for tree in trees.values() for pid in tree]
        for pid in pids:
            forget_peak(pid)
        before, began = cpu_us(pids), time.monotonic()
        found = self.apply(case, url)
        spent, took = cpu_us(pids) - before, time.monotonic() - began
        if found["requests"]:
            found["cpu_us"] = spent / found["requests"]
        found["cores"] = spent / 1e6 / took
        for label, tree in trees.items():
            figures = [memory(pid) for pid in tree]
            found[f"rss {label}"] = sum(now for now, _ in figures)
            found[f"peak {label}"] = sum(peak for _, peak in figures)
        return found
