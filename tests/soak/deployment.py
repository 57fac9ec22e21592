"""The programs of the soak: tunneld, two entries, three clients of a session, one of another, of TCP, of UDP."""
import time

import ports
from programs import Site, address, wait_until

DRAIN = 10   # seconds of --drain-timeout, everywhere
PORTS = 20
TICKETS = 60  # seconds
CLIENTS = {  # of the session main; c is never restarted, so that what it keeps for good would show
    "a": ("--uplinks", "2", "--health", "/health", "--health-interval", "1", "--health-failures", "2"),
    "b": ("--weight", "50", "--health", "/health", "--health-interval", "1", "--health-failures", "2"),
    "c": ("--uplinks", "auto"),
}
UPLINKS = {"a": 2, "b": 1, "c": 1, "other": 1, "tcp": 1, "udp": 1}  # to each entry, at least


class Deployment:
    """live: the running program of each role. west, c, tcp and udp are there from the beginning to the end."""

    def __init__(self, folder, binaries, log_level, origins):
        self.site = Site(folder, binaries=binaries, own=True, log_level=log_level)
        self.origins = origins  # role: something with a target
        self.live, self.leaving, self.where = {}, [], {}

    def start(self):
        self.tunneld()
        for name in ("east", "west"):
            first = ports.free(2 * PORTS)
            self.where[name] = {"ports": (first, first + PORTS - 1),
                                "udp ports": (first + PORTS, first + 2 * PORTS - 1)}
            self.where[name].update(self.entry(name))
        for role in UPLINKS:
            self.client(role)
        for kind in ("tcp", "udp"):
            for name, where in self.where.items():
                url = self.live[kind].event("connected", entry=name)["url"]
                where[kind] = address(url.split("://")[1])

    def tunneld(self, **options):
        """Its tickets are short, so that many are renewed, and keys are not needed for long."""
        self.live["tunneld"] = self.site.tunneld("--drain-timeout", DRAIN, "--ticket-seconds", TICKETS, **options)

    def entry(self, name):
        """Starts it, on its ports if it has some already: its addresses."""
        where = self.where[name]
        at = {key: "%s:%d" % where[key] for key in ("public", "uplink") if key in where}
        tls = "127.0.0.1:%d" % (where["tls"][1] if "tls" in where else 0)
        handover = ["--handover"] if name == "east" else []
        program = self.site.proxyentry(
            *handover, "--public-tls", tls, "--tcp-ports", "%d-%d" % where["ports"], "--udp-ports",
            "%d-%d" % where["udp ports"], "--udp-idle-timeout", 10, "--drain-timeout", DRAIN, entry=name,
            registered=False, **at)
        self.live[name] = program
        return {"public": program.public, "uplink": program.uplink, "tls": address(program.ready["public_tls"])}

    def client(self, role, ready=True):
        session = "main" if role in CLIENTS else role
        command = role if role in ("tcp", "udp") else "http"
        program = self.site.tunnelc(self.origins[role].target, *CLIENTS.get(role, ()), "--admin", "127.0.0.1:0",
                                    "--drain-timeout", DRAIN, session=session, command=command, ready=ready)
        self.live[role] = program
        if ready:
            self.attached(role)
        return program

    def attached(self, role, after=0, entries=("east", "west")):
        """Waits until its uplinks are up at those entries."""
        program = self.live[role]

        def up():
            events = [event["entry"] for event in program.events[after:] if event["event"] == "connected"]
            return all(events.count(name) >= UPLINKS[role] for name in entries)
        wait_until(up, f"uplinks of {role} ({program.label})")

    def marks(self):
        return {role: program.mark() for role, program in self.live.items()}

    def all_attached(self, marks, entry):
        for role in UPLINKS:
            self.attached(role, after=marks[role], entries=(entry,))

    # ---- ends ----

    def leave(self, program):
        """It drains now: it is looked after by reap()."""
        self.leaving.append((program, time.monotonic()))

    def reap(self):
        """Programs that left, and how: a list of problems."""
        problems = []
        for program, since in list(self.leaving):
            if program.process.poll() is not None:
                self.leaving.remove((program, since))
                program.wait()
                problems += self._checked(program)
            elif time.monotonic() - since > DRAIN + 20:
                self.leaving.remove((program, since))
                problems.append(f"{program.label} is still there {DRAIN + 20} s after it was told to go")
        for role, program in self.live.items():
            if program.process.poll() is not None:
                problems.append(f"{role} ({program.label}) ended by itself: {program.process.returncode}")
        return problems

    def _checked(self, program):
        if program in self.site.programs:
            self.site.programs.remove(program)
        try:
            program.check_end()
        except AssertionError as problem:
            return [str(problem)]
        return []

    def killed(self, program):
        program.kill()
        self._checked(program)

    def close(self):
        try:
            self.site.close()
        except AssertionError as problem:
            return [str(problem)]
        return []
