"""Many sessions come back at once when their entry was killed: soon, by resumption, and nobody is starved by it."""
import os

import pytest

from programs import BIN, Site
from storm import Storm

COUNT = int(os.environ.get("T2_STORM_SESSIONS", "300"))
TIMEOUT = 60 + COUNT / 20  # seconds: with sanitizers, and others on the machine


@pytest.fixture
def sites(tmp_path):
    both = [Site(tmp_path / name, log_level="info") for name in ("storm", "beside")]
    yield both
    for site in both:
        site.close()


def test_sessions_come_back_and_traffic_is_not_starved(sites):
    storm = Storm(BIN / "sessions", *sites, COUNT, TIMEOUT)
    storm.prepare()
    storm.run()
    print(storm.report())
    assert not storm.failures()
    assert storm.handshakes >= COUNT + 1
    assert storm.resumed >= 0.8 * COUNT
    for probe in storm.probes.values():  # a request at a time: none waited until the storm was over
        longest = max(probe.between(storm.up, storm.over), default=0)
        assert longest < TIMEOUT / 4
