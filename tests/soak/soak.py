"""Real programs under a steady load and faults drawn from a seed: every request is accounted for. See run.sh."""
import argparse
import asyncio
import os
import random
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

# pylint: disable=wrong-import-position
import report  # noqa: E402
from deployment import DRAIN, Deployment  # noqa: E402
from faults import Faults, Schedule  # noqa: E402
from ledger import Ledger, Rules  # noqa: E402
from origins import Deliveries, HttpOrigin, TcpEcho, UdpEcho  # noqa: E402
from traffic import Traffic  # noqa: E402
from watch import Watch  # noqa: E402

KEPT_FAILURES = 20   # whose logs are kept
PROGRESS_SECONDS = 10
QUIET_SECONDS = 60   # until descriptors must be back


class Soak:
    def __init__(self, options):
        self.options = options
        self.folder = Path(options.folder or tempfile.mkdtemp(prefix="t2-soak-"))
        self.kept = self.folder / "failures"
        self.problems = []
        self.kept_count = 0
        self.deliveries = Deliveries()
        self.ledger = Ledger(Rules(options.slack, DRAIN), self._keep)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.origins = {name: HttpOrigin(name, self.deliveries) for name in ("a", "b", "c", "other")}
        self.origins.update(tcp=TcpEcho(), udp=UdpEcho())
        self.deployment = Deployment(self.folder / "site", options.binaries, options.log_level, self.origins)
        self.watch = Watch(self.deployment)
        self.ended_early = threading.Event()

    def say(self, text):
        print(f"{time.monotonic() - self.ledger.base:7.1f} s  {text}", file=sys.stderr, flush=True)

    def in_loop(self, coroutine, timeout=120):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    # ---- what went wrong ----

    def _keep(self, failure, near):
        """An unexplained failure: what is known of it, and the ends of all logs."""
        self.say(f"UNEXPLAINED {failure.line(self.ledger.base)}; faults near: {near}")
        self._keep_logs("\n".join([failure.line(self.ledger.base), *near]))

    def _keep_logs(self, text):
        self.kept_count += 1
        if self.kept_count > KEPT_FAILURES:
            return
        folder = self.kept / f"{self.kept_count:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.txt").write_text(text + "\n")
        for program in [*self.deployment.live.values(), *(p for p, _ in self.deployment.leaving)]:
            (folder / f"{program.label}.log").write_text(program.log()[-100000:])

    def problem(self, text):
        self.say(f"PROBLEM {text}")
        self.problems.append(text[:2000])
        self._keep_logs(text)

    # ---- the run ----

    def run(self):
        try:
            self._begin()
            self._faults()
            self._end()
        finally:
            if self.watch.is_alive():
                self.watch.stop()
            self.problems += [text[:2000] for text in self.deployment.close()]
        return report.write(self)

    def _begin(self):
        for origin in self.origins.values():
            self.in_loop(origin.listen())
        self.deployment.start()
        self.watch.first = self.watch.sample()
        tls = ssl.create_default_context(cafile=str(self.deployment.site.ca))
        tls.set_alpn_protocols(["h2"])

        async def start():
            self.traffic = Traffic(self.ledger, list(self.deployment.where.items()), tls, self.options.rate,
                                   self.options.seed)
            self.traffic.start()
        self.in_loop(start())
        self.begun = time.monotonic()
        self.until = self.begun + self.options.minutes * 60
        self.watch.start()
        warm = min(60.0, self.options.minutes * 60 * 0.1)
        self.quiet(warm)
        self.watch.warm = self.watch.sample()

    def quiet(self, seconds):
        """Lets the load run, with a line of progress when it is time."""
        end = min(time.monotonic() + seconds, self.until)
        while time.monotonic() < end and not self.ended_early.is_set():
            self._progress()
            self.ended_early.wait(min(0.5, max(0.0, end - time.monotonic())))

    def _progress(self):
        now = time.monotonic()
        if now - getattr(self, "told", 0) < PROGRESS_SECONDS:
            return
        before = getattr(self, "told_sent", 0)
        self.ledger.settle(self.deliveries.at)
        totals = self.ledger.totals()
        rate = (totals["sent"] - before) / (now - getattr(self, "told", self.ledger.base))
        self.told, self.told_sent = now, totals["sent"]
        held = ", ".join(f"{count} {kind}" for kind, count in self.traffic.held.items())
        self.say(f"{', '.join(f'{key} {value}' for key, value in totals.items())}; {rate:.0f}/s; "
                 f"duplicates {len(self.deliveries.twice)}; retried {self.watch.retried()}; "
                 f"faults {sum(self.ledger.injected.values())}; held {held}")

    def _faults(self):
        schedule = Schedule(self.options.seed, self.options.gap)
        faults = Faults(self.deployment, self.ledger, self.traffic, self.loop)
        while time.monotonic() < self.until - 5 and not self.ended_early.is_set():
            kind, role, number, gap = schedule.next()
            if self.options.only and kind not in self.options.only:
                continue
            begun = time.monotonic()
            if kind.startswith("entry_"):
                self.watch.sample()  # what it has counted goes with it
            try:
                faults.inject(kind, role, number)
            except Exception as error:  # noqa: BLE001 - of whatever kind: it did not go as it should
                self.problem(f"{kind} of {role}: {type(error).__name__}: {error}")
                self.ledger.end_faults()
            if self.options.verbose:
                self.say(f"{kind} {role} {number:.2f}: {time.monotonic() - begun:.1f} s")
            for text in self.deployment.reap():
                self.problem(text)
            if any(program.process.poll() is not None for program in self.deployment.live.values()):
                break  # without one of them there is nothing to be learnt any more
            self.quiet(gap)
        self.quiet(self.until - time.monotonic())

    def _end(self):
        self.ended = time.monotonic()
        self.say("the load ends")
        self.watch.stop()
        self.in_loop(self.traffic.stop())
        for origin in self.origins.values():
            if isinstance(origin, HttpOrigin):
                self.loop.call_soon_threadsafe(origin.reset)
        self.watch.quiet(QUIET_SECONDS)
        for text in self.deployment.reap():
            self.problem(text)
        self.ledger.settle(self.deliveries.at, older_than=0)
        self.problems += self.watch.growth(self.begun, self.ended)
        self.problems += [f"POST {number} was delivered to {' and '.join(where)}"
                          for number, where in list(self.deliveries.twice.items())[:10]]


def options():
    parser = argparse.ArgumentParser(prog="tests/soak/run.sh", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=60.0, help="of load (60)")
    parser.add_argument("--seed", type=int, help="of the faults and their order (one is drawn, and printed)")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second, of all kinds (400)")
    parser.add_argument("--gap", type=float, default=3.0, help="seconds of quiet between faults, on average (3)")
    parser.add_argument("--slack", type=float, default=1.5, help="seconds that a busy machine may add to a bound (1.5)")
    parser.add_argument("--only", action="append", choices=sorted(set(Schedule.KINDS)),
                        help="these faults alone; repeated")
    parser.add_argument("--folder", help="for state and logs (a new one, removed when all is well)")
    parser.add_argument("--json", help="the report as JSON goes there, too (FOLDER/report.json)")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--verbose", action="store_true", help="a line for each fault")
    given = parser.parse_args()
    given.seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    given.binaries = Path(os.environ.get("T2_BIN") or HERE.parents[1] / "build/release/bin")
    return given


def main():
    given = options()
    print(f"seed {given.seed}: {given.minutes:g} minutes at {given.rate:g} requests/s, programs of {given.binaries}",
          flush=True)
    soak = Soak(given)
    for number in (signal.SIGINT, signal.SIGTERM):  # the report comes all the same
        signal.signal(number, lambda *_: (soak.ended_early.set(), setattr(soak, "until", time.monotonic())))
    good = soak.run()
    if good and not given.folder:
        shutil.rmtree(soak.folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
