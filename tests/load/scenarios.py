"""What is run: the steps of each scenario, how many clients stand behind it, and what is asked of the figures."""
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Step:
    rate: float     # requests a second
    seconds: float
    body: int = 0   # bytes of a POST; 0: a GET


@dataclass(frozen=True)
class Limits:
    success: float = 100.0      # per cent of the planned requests that are answered below 400
    p99_ms: "float | None" = None
    up_to_rate: "float | None" = None  # of the steps up to that rate; None: of all


@dataclass(frozen=True)
class Part:
    """One deployment, and one run of the generator against it."""
    name: str
    steps: "tuple[Step, ...]"
    limits: Limits
    sessions: int = 1
    clients: int = 1      # of each session
    churn: "str | None" = None  # "stop" or "kill": what happens to the oldest client, again and again
    churn_every: float = 1.0


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    parts: "tuple[Part, ...]" = field(default_factory=tuple)


def steps(rates, seconds, body=0):
    return tuple(Step(rate, seconds, body) for rate in rates)


KB = 1024
EVEN = (500, 1000)

SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario("baseline", "10 requests a second for two minutes", (
        Part("baseline", steps([10], 120), Limits(p99_ms=5)),)),
    Scenario("post", "POST of 1, 10 and 100 KB, 50 a second", (
        Part("post", tuple(Step(50, 30, size * KB) for size in (1, 10, 100)), Limits(p99_ms=10)),)),
    Scenario("ramp", "20 to 1,000 requests a second, 30 s each: 56,100 requests", (
        Part("ramp", steps([20, 50, 100, 200, 500, 1000], 30), Limits(p99_ms=5)),)),
    Scenario("sustained", "100 to 800 requests a second in steps of a minute", (
        Part("sustained", steps(range(100, 801, 100), 60), Limits(p99_ms=5)),)),
    Scenario("max", "500 to 3,000 requests a second", (
        Part("max", steps(range(500, 3001, 500), 30), Limits(p99_ms=10)),)),
    Scenario("ultra", "1,000 to 50,000 requests a second, 20 s each, through one client", (
        Part("ultra", steps([1000, 5000, 10000, 20000, 50000], 20), Limits(up_to_rate=20000)),)),
    Scenario("clients", "40 clients on one session; 40 sessions of one client", (
        Part("one-session", steps(EVEN, 30), Limits(p99_ms=10), clients=40),
        Part("40-sessions", steps(EVEN, 30), Limits(p99_ms=10), sessions=40))),
    Scenario("churn", "clients come and go under load: stopped in good order; killed", (
        Part("stopped", steps([200], 60), Limits(), clients=4, churn="stop"),
        Part("killed", steps([200], 60), Limits(success=99.0), clients=4, churn="kill"))),
)}

# What our ancestor's reports of these tests say; of the ramp there are figures.
ANCESTOR = {
    "success_best": 99.66,  # per cent of the ramp's requests
    "failed_worst": 45.0,
    "p50_ms": 5.9,
    "p99_ms": 43.0,
    "client_rate": "25-30",  # requests a second that one client sustained
}

FAST_SURE_RATE = 1000  # up to here a short run must not fail, whatever else the machine does


def shortened(part):
    """For tests: a second a step, and correctness alone is asked."""
    limits = Limits(success=90.0 if part.churn == "kill" else 100.0, up_to_rate=FAST_SURE_RATE)
    seconds = 3 if part.churn else 1
    return replace(part, steps=tuple(replace(step, seconds=seconds) for step in part.steps), limits=limits,
                   clients=min(part.clients, 8), sessions=min(part.sessions, 8), churn_every=0.5)


def judge(part, result, success=None, p99_ms=None):
    """[(what is asked and what came, whether it is met)], by the part's limits or those given instead."""
    limits = part.limits
    success = limits.success if success is None else success
    p99_ms = limits.p99_ms if p99_ms is None else p99_ms
    counted = [step for step in result["steps"] if limits.up_to_rate is None or step["rate"] <= limits.up_to_rate]
    where = "" if limits.up_to_rate is None else f" up to {limits.up_to_rate:,.0f}/s"
    planned, good = (sum(step[key] for step in counted) for key in ("planned", "good"))
    share = 100 * good / planned if planned else 0.0
    verdicts = [(f"{part.name}: success{where} at least {success:g} %: {share:.3f} % ({good:,} of {planned:,})",
                 planned > 0 and share >= success)]
    if p99_ms is not None:
        value = result["total"]["p99_us"] / 1000
        verdicts.append((f"{part.name}: P99 under {p99_ms:g} ms: {value:.2f} ms", good > 0 and value < p99_ms))
    return verdicts
