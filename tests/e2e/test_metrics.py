"""/metrics of the three programs: the format, the names, and that they count."""
import pytest

from metrics import Metrics, parse
from programs import wait_until
from wire import ask

PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
           "process_open_fds", "process_max_fds", "tunnel2_build_info"}


def test_each_program_has_its_own_and_the_processs(site, origin):
    site.tunneld()
    entry = site.proxyentry()
    client = site.tunnelc(origin.target, "--admin", "127.0.0.1:0", session="main")
    for program, prefix in ((site.programs[0], "tunnel2_control_"), (entry, "tunnel2_entry_"), (client, "tunnel2_client_")):
        names = {name for name, _ in Metrics(program).all()}
        assert PROCESS <= names
        own = names - PROCESS
        assert len(own) > 5 and all(name.startswith(prefix) for name in own), own


def test_an_entry_within_tunneld_is_there_too(site):
    program = site.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0")
    names = {name for name, _ in Metrics(program).all()}
    assert {"tunnel2_control_sessions", "tunnel2_entry_requests_total"} <= names


def test_requests_and_their_bytes_are_counted(site, origin):
    site.tunneld()
    entry = Metrics(site.proxyentry())
    program = site.tunnelc(origin.target, "--admin", "127.0.0.1:0", session="main")
    site.session = "main"
    client, control = Metrics(program), Metrics(site.programs[0])
    assert control("tunnel2_control_sessions") == 1 and control("tunnel2_control_channels", 'of="sessions"') == 1
    before = entry.all()
    for _ in range(3):
        assert ask(site.public, "POST", site.path("/echo"), body=b"x" * 1000).status == 200
    assert ask(site.public, "GET", "/session/nobody/").status == 404
    wait_until(lambda: entry("tunnel2_entry_requests_active") == 0, "the end of the requests")
    after = entry.all()

    def grown(name, labels=""):
        return after[name, labels] - before[name, labels]

    assert grown("tunnel2_entry_requests_total") == 4 and grown("tunnel2_entry_requests_refused_total") == 1
    assert grown("tunnel2_entry_bytes_total", 'direction="to_clients"') == 3000
    assert grown("tunnel2_entry_bytes_total", 'direction="from_clients"') == 3000
    assert grown("tunnel2_entry_connections_accepted_total") == 4
    assert after["tunnel2_entry_uplinks", ""] == 1 and after["tunnel2_entry_sessions", ""] == 1
    assert client("tunnel2_client_requests_total") == 3
    assert client("tunnel2_client_bytes_total", 'direction="to_origin"') == 3000


@pytest.mark.parametrize("text", [
    "a 1", "# TYPE a gauge\na 1\n", "# HELP a b\n# TYPE a counter\na 1\n", "# HELP a b\n# TYPE a gauge\na{b=1} 1\n",
    "# HELP a b\n# TYPE a gauge\na 1\na 2\n", "# HELP a b\n# TYPE a gauge\nb 1\n", "# HELP a b\n# TYPE a gauge\na -x\n",
    "# HELP a b\n# TYPE a gauge\n\na 1\n", "# HELP a b\n# TYPE a gauge\na 1\r\n"])
def test_the_reader_takes_nothing_else(text):
    with pytest.raises(AssertionError):
        parse(text)
