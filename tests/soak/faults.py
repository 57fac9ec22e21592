"""What goes wrong: faults drawn from a seed, each with its recovery. The promise for each is in ledger.Rules."""
import asyncio
import random
import signal
import time

import certificates
from api import call

ROLES = ("a", "b")  # clients that faults are for; c goes on


class Schedule:
    """The faults in their order: every kind once, shuffled, then again. The same for the same seed."""

    KINDS = ("client_restart", "client_restart", "client_kill", "client_kill", "client_stop", "entry_handover",
             "entry_kill", "tunneld_restart", "tunneld_kill", "reload", "rotate", "origin_sick", "origin_gone",
             "origin_reset", "session_revoked", "half_open", "burst")

    def __init__(self, seed, gap):
        self.random, self.gap = random.Random(seed), gap
        self.bag = []

    def next(self):
        """(kind, the role it is for, a number of [0, 1) for its details, seconds of quiet after it)."""
        if not self.bag:
            self.bag = list(self.KINDS)
            self.random.shuffle(self.bag)
        return (self.bag.pop(), self.random.choice(ROLES), self.random.random(),
                self.gap * self.random.uniform(0.5, 1.5))


class Faults:
    """Each method does one and returns when all is as it should be again."""

    def __init__(self, deployment, ledger, traffic, loop):
        self.deployment, self.ledger, self.traffic, self.loop = deployment, ledger, traffic, loop
        self.site = deployment.site

    def inject(self, kind, role, number):
        getattr(self, "_" + kind)(role, number)

    def _in_loop(self, coroutine, timeout=60):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def _note(self, kind, subject):
        return self.ledger.fault(kind, subject)

    # ---- clients ----

    def _client_restart(self, role, number):
        """The next one first, or, as the session has others, after it."""
        old = self.deployment.live[role]
        if number < 0.5:
            self.deployment.client(role)
        fault = self._note("client_restart", role)
        old.signal()
        old.event("draining")
        fault.until = time.monotonic()
        self.deployment.leave(old)
        if number >= 0.5:
            self.deployment.client(role)

    def _client_kill(self, role, number):
        fault = self._note("client_kill", role)
        self.deployment.killed(self.deployment.live[role])
        fault.until = time.monotonic()
        time.sleep(number)
        self.deployment.client(role)

    def _client_stop(self, role, number):
        """Too short to be noticed, or for longer than an entry waits."""
        program = self.deployment.live[role]
        mark = program.mark()
        seconds = (1.0, 2.0, 8.0)[int(number * 3)]
        fault = self._note("client_stop", role)
        program.signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            program.signal(signal.SIGCONT)
            fault.until = time.monotonic()
        if seconds > 6:
            self.deployment.attached(role, after=mark)

    # ---- entries and tunneld ----

    def _entry_handover(self, _, __):
        old = self.deployment.live["east"]
        fault = self._note("entry_handover", "east")
        self.deployment.entry("east")
        new = self.deployment.live["east"]
        new.event("serving")
        old.event("draining")
        fault.until = time.monotonic()
        self.deployment.leave(old)
        new.event("registered")

    def _entry_kill(self, _, number):
        marks = self.deployment.marks()
        fault = self._note("entry_kill", "east")
        self.deployment.killed(self.deployment.live["east"])
        time.sleep(number * 2)
        self.deployment.entry("east")
        fault.until = time.monotonic()
        self.deployment.live["east"].event("registered")
        self.deployment.all_attached(marks, "east")

    def _again(self, kind, end):
        entries = [self.deployment.live[name] for name in ("east", "west")]
        marks = [entry.mark() for entry in entries]
        fault = self._note(kind, "tunneld")
        end()
        self.deployment.tunneld(listen=self.site.control)
        fault.until = time.monotonic()
        for entry, mark in zip(entries, marks):
            entry.event("registered", after=mark)

    def _tunneld_restart(self, _, __):
        old = self.deployment.live["tunneld"]

        def end():
            old.stop()
            self.deployment.leave(old)
        self._again("tunneld_restart", end)

    def _tunneld_kill(self, _, number):
        def end():
            self.deployment.killed(self.deployment.live["tunneld"])
            time.sleep(number)
        self._again("tunneld_kill", end)

    def _reload(self, _, __):
        fault = self._note("reload", "all")
        certificates.issue(self.site.folder, "ca", "server")
        for name in ("tunneld", "east", "west"):
            program = self.deployment.live[name]
            mark = program.mark()
            program.signal(signal.SIGHUP)
            assert program.event("reloaded", after=mark)["ok"], f"{name} does not take its new certificate"
        fault.until = time.monotonic()

    def _rotate(self, _, __):
        fault = self._note("rotate", "tunneld")
        answer = call(self.site, "POST", "/v1/keys", token=self.site.token_of("root"))
        assert answer.status in (200, 201, 409), answer  # 409: tickets need all four keys that there may be
        fault.until = time.monotonic()

    # ---- origins ----

    def _origin_sick(self, role, _):
        """It still answers, but its check fails: its client leaves, and nobody notices."""
        origin, program = self.deployment.origins[role], self.deployment.live[role]
        mark = program.mark()
        fault = self._note("origin_sick", role)
        origin.sick = True
        try:
            program.event("unhealthy", after=mark)
        finally:
            origin.sick = False
        program.event("healthy", after=mark)
        fault.until = time.monotonic()

    def _origin_gone(self, role, _):
        origin, program = self.deployment.origins[role], self.deployment.live[role]
        mark = program.mark()
        fault = self._note("origin_gone", role)
        self._in_loop(origin.gone())
        try:
            program.event("unhealthy", after=mark)
            fault.until = time.monotonic()
        finally:
            self._in_loop(origin.listen())
        program.event("healthy", after=mark)

    def _origin_reset(self, role, _):
        fault = self._note("origin_reset", role)
        self.loop.call_soon_threadsafe(self.deployment.origins[role].reset)
        fault.until = time.monotonic()

    # ---- the public, and trust ----

    def _session_revoked(self, _, __):
        """Of another session: no one else notices."""
        old = self.deployment.live["other"]
        fault = self._note("session_revoked", "other")
        answer = call(self.site, "DELETE", "/v1/sessions/other", token=self.site.token_of("alice"))
        assert answer.status == 204, answer
        old.event("ended", timeout=2 + self.ledger.rules.slack)  # and with it its uplinks
        old.wait()
        old.expected_end = old.process.returncode
        self.deployment.leave(old)
        self.deployment.client("other")
        fault.until = time.monotonic()

    def _half_open(self, _, number):
        fault = self._note("half_open", "east and west")
        for where in self.deployment.where.values():
            self._in_loop(self.traffic.half_open(where, 40, 1 + 2 * number))
        fault.until = time.monotonic()

    def _burst(self, _, number):
        name = ("east", "west")[int(number * 2)]
        fault = self._note("burst", name)
        self._in_loop(self.traffic.burst(name, self.deployment.where[name], 60, 10), timeout=120)
        fault.until = time.monotonic()
