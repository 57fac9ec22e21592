"""What the soak takes for explained, and what it does not."""
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "e2e")]

from faults import Schedule  # noqa: E402
from ledger import Failure, Fault, Histogram, Ledger, Rules  # noqa: E402
from origins import Deliveries  # noqa: E402

RULES = Rules(slack=1.0, drain=10)


def post(begun, ended, status=502, **more):
    return Failure(**{"kind": "post", "entry": "east", "how": "status", "reason": "", "opened": 0.0, "begun": begun,
                      "ended": ended, "method": "POST", "status": status, **more})


def stream(ended, kind="websocket", carrier="a", **more):
    return Failure(**{"kind": kind, "entry": "east", "how": "connection", "reason": "", "opened": 1.0, "begun": ended,
                      "ended": ended, "carrier": carrier, "answered": True, **more})


def fault(kind, subject="a", start=100.0, until=100.0):
    return Fault(kind, subject, start, until)


@pytest.mark.parametrize("failure, cause", [
    (post(99.9, 100.1), fault("client_kill")),
    (post(99.9, 100.1, carrier="a"), fault("client_kill")),
    (stream(100.2), fault("client_kill")),
    (post(101, 104.9), fault("client_stop")),
    (stream(110.1), fault("client_restart")),
    (stream(110.1), fault("entry_handover", "east")),
    (post(100.5, 100.5, 0, how="connection"), fault("entry_kill", "east", until=102.0)),
    (post(100.5, 100.6), fault("origin_gone", until=101.0)),
    (stream(100.1), fault("origin_reset")),
    (post(100.5, 100.6, 404, kind="other", carrier="other"), fault("session_revoked", "other", until=101.0))])
def test_explained(failure, cause):
    assert RULES.explain(failure, [fault("rotate"), cause]) == cause.kind


@pytest.mark.parametrize("failure, cause", [
    (post(99.9, 100.1, method="GET", kind="get"), fault("client_kill")),      # it could have been asked again
    (post(99.9, 100.1, 503), fault("client_kill")),
    (post(99.9, 100.1, carrier="b"), fault("client_kill")),                   # it was another client's
    (post(99.9, 103.0), fault("client_kill")),                                # too late
    (post(101.0, 101.1), fault("client_kill")),                               # begun when it was long gone
    (post(99.0, 99.5), fault("client_kill")),                                 # before it
    (stream(100.2, carrier="b"), fault("client_kill")),
    (stream(104.0), fault("client_restart")),                                 # short of the drain's limit
    (post(100.5, 100.6), fault("client_restart")),
    (post(100.5, 100.6), fault("entry_handover", "east")),
    (post(100.5, 100.5, 0, how="connection"), fault("entry_handover", "east")),
    (post(100.5, 100.5, 0, how="connection", entry="west"), fault("entry_kill", "east", until=102.0)),
    (post(104.0, 104.1, 0, how="connection"), fault("entry_kill", "east", until=102.0)),
    (post(100.5, 100.6), fault("origin_sick")),
    (post(100.5, 100.6), fault("tunneld_kill", "tunneld")),
    (post(100.5, 100.6), fault("reload", "all")),
    (post(100.5, 100.6, 404), fault("session_revoked", "other", until=101.0)),
    (post(100.0, 125.0, 0, how="timeout"), fault("client_stop")),
    (stream(100.1, how="content"), fault("client_kill"))])
def test_unexplained(failure, cause):
    assert RULES.explain(failure, [cause]) is None


def test_a_failure_is_counted_once_and_kept_when_nothing_explains_it():
    kept = []
    ledger = Ledger(RULES, lambda failure, near: kept.append(failure))
    ledger.bad(post(1.0, 0.0, carrier=7))
    ledger.settle({7: "b"}, older_than=0)
    ledger.settle({7: "b"}, older_than=0)
    assert [failure.carrier for failure in kept] == ["b"]
    assert ledger.totals()["unexplained"] == 1 and ledger.sent["post"] == 1


def test_a_second_delivery_shows():
    deliveries = Deliveries()
    for number, origin in ((1, "a"), (2, "a"), (1, "b")):
        deliveries.note(number, origin)
    assert deliveries.twice == {1: ["a", "b"]}


def test_the_same_seed_has_the_same_faults_and_every_kind_comes():
    one, other = Schedule(5, 3.0), Schedule(5, 3.0)
    drawn = [one.next() for _ in range(len(Schedule.KINDS))]
    assert drawn == [other.next() for _ in drawn]
    assert {kind for kind, *_ in drawn} == set(Schedule.KINDS)


def test_percentiles():
    histogram = Histogram()
    for thousandth in range(1, 1001):
        histogram.add(thousandth / 1000)
    assert 0.45 < histogram.at(0.5) < 0.56 and 0.9 < histogram.at(0.99) <= 1.0 and histogram.most == 1.0
