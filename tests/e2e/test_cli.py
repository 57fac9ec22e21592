"""The command lines: help, bad usage, what is missing, ports that are taken, and a deployment without --dev."""
import re
import socket
import ssl

import pytest

import certificates
from api import call
from programs import Program, Site, address, run, wait_until
from wire import ask

PROGRAMS = ["tunneld", "proxyentry", "tunnelc"]
COMMON = ["--dev", "--state-dir", "--log-level", "--log-format", "--drain-timeout", "--admin", "--json", "--help",
          "--version"]
OPTIONS = {
    "tunneld": ["--listen", "--cert", "--key", "--tokens", "--lease-seconds", "--ticket-seconds", "--entry", "--public",
                "--uplink"],
    "proxyentry": ["--control", "--entry-id", "--public", "--uplink", "--cert", "--key", "--ca", "--token",
                   "--token-file", "--domain"],
    "tunnelc": ["--server", "--token", "--token-file", "--session", "--ca", "--host-header", "--connect-timeout",
                "--response-timeout"],
}


def one_line(program, stderr):
    """It failed with a line that begins with its name."""
    lines = [line for line in stderr.strip().splitlines() if line.startswith(f"{program}: ")]
    assert lines, stderr
    return lines[-1]


# ---- help and usage ----

@pytest.mark.parametrize("program", PROGRAMS)
def test_help_names_every_option(program):
    status, out, err = run(program, "--help")
    assert (status, err) == (0, "")
    for option in COMMON + OPTIONS[program]:
        assert re.search(rf"^\s+{option}\b", out, re.M), option
    assert all(len(line) <= 120 for line in out.splitlines())


@pytest.mark.parametrize("program", PROGRAMS)
def test_version(program):
    status, out, err = run(program, "--version")
    assert status == 0 and err == ""
    assert re.search(r"\b\d+\.\d+\.\d+\b", out)


@pytest.mark.parametrize("program, arguments, word", [
    ("tunneld", ["--nonsense"], "--nonsense"),
    ("tunneld", ["--listen"], "--listen"),
    ("tunneld", ["operand"], "operand"),
    ("tunneld", ["-v"], "-v"),
    ("tunneld", ["--dev=yes"], "--dev"),
    ("tunneld", ["--dev", "--listen", "nonsense"], "nonsense"),
    ("tunneld", ["--dev", "--listen", "127.0.0.1:99999"], "99999"),
    ("tunneld", ["--dev", "--lease-seconds", "soon"], "soon"),
    ("tunneld", ["--dev", "--lease-seconds", "-1"], "-1"),
    ("tunneld", ["--dev", "--log-level", "loud"], "loud"),
    ("tunneld", ["--dev", "--log-format", "xml"], "xml"),
    ("tunneld", ["--dev", "--drain-timeout", "1.5"], "1.5"),
    ("proxyentry", ["--nonsense"], "--nonsense"),
    ("proxyentry", ["--dev", "--control", "ftp://127.0.0.1"], "ftp"),
    ("proxyentry", ["--dev", "--entry-id", "Not Valid"], "Not Valid"),
    ("tunnelc", [], "TARGET"),
    ("tunnelc", ["http"], "TARGET"),
    ("tunnelc", ["gopher", "80"], "gopher"),
    ("tunnelc", ["http", "80", "81"], "81"),
    ("tunnelc", ["http", "0", "--dev"], "0"),
    ("tunnelc", ["http", "70000", "--dev"], "70000"),
    ("tunnelc", ["http", "ftp://localhost", "--dev"], "ftp"),
    ("tunnelc", ["http", "80", "--dev", "--session", "No"], "No"),
    ("tunnelc", ["http", "80", "--dev", "--server", "nonsense"], "nonsense"),
])
def test_bad_usage_is_2_with_a_line_that_names_it(tmp_path, program, arguments, word):
    state = ["--state-dir", tmp_path / "state"] if "--dev" in arguments else []
    status, out, err = run(program, *arguments, *state)
    assert status == 2, err
    assert word in one_line(program, err)
    assert out == ""


@pytest.mark.parametrize("program, arguments, options", [
    ("tunneld", [], ["--cert", "--key", "--tokens"]),
    ("proxyentry", [], ["--cert", "--key", "--token"]),
    ("tunnelc", ["http", "80"], ["--token"]),
])
def test_what_is_missing_without_dev_is_named(program, arguments, options, tmp_path):
    status, _, err = run(program, *arguments, "--state-dir", tmp_path)
    assert status == 2
    assert any(option in one_line(program, err) for option in options)
    assert "--dev" in err or all(option in err for option in options)


@pytest.mark.parametrize("program, option", [
    ("tunneld", "--listen"), ("proxyentry", "--public"), ("proxyentry", "--uplink"), ("tunneld", "--admin")])
def test_dev_binds_loopback_only(program, option, tmp_path):
    status, _, err = run(program, "--dev", "--state-dir", tmp_path / "s", option, "0.0.0.0:0")
    assert status in (1, 2)
    assert "loopback" in one_line(program, err)


# ---- failures ----

@pytest.mark.parametrize("program, option", [
    ("tunneld", "--listen"), ("tunneld", "--admin"), ("proxyentry", "--public"), ("proxyentry", "--uplink"),
    ("proxyentry", "--admin")])
def test_taken_port_is_1_with_a_line_that_names_it(tmp_path, program, option):
    free = {"tunneld": ["--listen", "127.0.0.1:0"],
            "proxyentry": ["--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0"]}[program]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = run(program, "--dev", "--state-dir", tmp_path / "s", *free, option, f"127.0.0.1:{port}",
                               "--log-level", "off")
        assert status == 1
        line = one_line(program, err)
        assert str(port) in line and "use" in line
        assert "ready" not in out


@pytest.mark.parametrize("file, content, word", [
    ("server.pem", None, "server.pem"), ("server.pem", "nonsense", "server.pem"),
    ("server-key.pem", None, "server-key.pem"), ("server-key.pem", "nonsense", "server-key.pem"),
    ("tokens", None, "tokens"), ("tokens", "alice\n", "1"), ("tokens", "alice client short\n", "1"),
    ("tokens", "alice emperor 0123456789abcdef0123\n", "1"), ("tokens", "alice client sha256:zz\n", "1")])
def test_unusable_file_is_1_with_a_line_that_names_it(tmp_path, file, content, word):
    site = Site(tmp_path, own=True)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    status, _, err = run("tunneld", "--state-dir", tmp_path / "s", "--listen", "127.0.0.1:0", "--cert",
                         tmp_path / "server.pem", "--key", tmp_path / "server-key.pem", "--tokens", tmp_path / "tokens")
    assert status == 1
    assert word in one_line("tunneld", err)
    assert "0123456789abcdef0123" not in err
    assert site


def test_key_of_another_certificate_is_1(tmp_path):
    Site(tmp_path, own=True)
    certificates.issue(tmp_path, "ca", "other")
    status, _, err = run("tunneld", "--state-dir", tmp_path / "s", "--listen", "127.0.0.1:0", "--cert",
                         tmp_path / "server.pem", "--key", tmp_path / "other-key.pem", "--tokens", tmp_path / "tokens")
    assert status == 1
    assert "key" in one_line("tunneld", err)


def test_state_directory_open_to_others_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    status, _, err = run("tunneld", "--dev", "--state-dir", tmp_path / "open", "--listen", "127.0.0.1:0")
    assert status == 1
    assert "open" in one_line("tunneld", err)


def test_refused_token_ends_the_client_with_a_line(site, origin):
    site.tunneld()
    status, _, err = run("tunnelc", "http", origin.target, *site.common("--server", f"https://{site.control}"),
                         "--token", "not-the-right-token-at-all")
    assert status == 1
    line = one_line("tunnelc", err)
    assert "token" in line and "not-the-right-token" not in err


# ---- other ways to run ----

def test_default_state_directory(tmp_path):
    tunneld = Program("tunneld", ["--dev", "--listen", "127.0.0.1:0", "--json"], tmp_path,
                      environment={"XDG_STATE_HOME": str(tmp_path / "home")})
    tunneld.event("ready")
    assert tunneld.stop() == 0
    tunneld.check_end()
    assert (tmp_path / "home" / "tunnel2" / "ca.pem").exists()


def test_several_first_processes_make_one_state(site):
    """Started at once on an empty directory, all end up with the same CA and token."""
    site.state.mkdir(mode=0o700)
    entries = []
    for number in range(4):
        entries.append(site.start("proxyentry", *site.common(
            "--control", "https://127.0.0.1:1", "--entry-id", f"one-of-{number}", "--public", "127.0.0.1:0", "--uplink",
            "127.0.0.1:0")))
    tunneld = site.start("tunneld", *site.common("--listen", "127.0.0.1:0"))
    site.control = tunneld.event("ready")["control"]
    assert call(site, "GET", "/v1/sessions", token=site.token).status == 200
    for entry in entries:
        uplink = address(entry.event("ready")["uplink"])
        with socket.create_connection(uplink) as sock:
            ssl.create_default_context(cafile=site.ca).wrap_socket(sock, server_hostname="127.0.0.1").close()


def test_second_tunneld_on_a_state_directory_ends_with_a_line(site):
    first = site.tunneld()
    status, _, err = run("tunneld", "--dev", "--state-dir", site.state, "--listen", "127.0.0.1:0")
    assert status == 1 and str(site.state) in one_line("tunneld", err) and "in use" in one_line("tunneld", err)
    first.kill()
    site.tunneld()


def test_missing_token_is_named_by_options_that_there_are(tmp_path):
    site = Site(tmp_path, own=True)
    status, _, err = run("tunneld", "--state-dir", tmp_path / "s", "--entry", "--tokens", tmp_path / "tokens",
                         *site.certificate())
    line = one_line("tunneld", err)
    assert status == 2 and "--token-file" in line and "--token " not in line


def test_entry_that_cannot_be_told_is_bad_usage(tmp_path):
    site = Site(tmp_path, own=True)
    for option in ("--public", "--uplink"):
        status, _, err = run("proxyentry", "--state-dir", tmp_path / "s", *site.certificate(), *site.trust("gate"), option,
                             "0.0.0.0:0")
        assert status == 2 and f"advertise-{option[2:]}" in one_line("proxyentry", err)


def test_control_plane_and_entry_in_one_process(site, origin):
    tunneld = site.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0")
    assert {"control", "public", "uplink", "entry", "admin"} <= tunneld.ready.keys()
    client = site.tunnelc(origin.target, session="single")
    assert ask(tunneld.public, "GET", "/session/single/echo").status == 200
    assert ask(tunneld.public, "GET", "/echo", host="single.localhost").status == 200
    assert ask(tunneld.admin, "GET", "/health/ready").status == 200
    assert client.stop() == 0
    assert tunneld.stop() == 0


def test_one_process_restarts_on_its_ports(site, origin):
    tunneld = site.tunneld("--entry", "--public", "127.0.0.1:0", "--uplink", "127.0.0.1:0")
    client = site.tunnelc(origin.target, session="single")
    tunneld.kill()
    mark = client.mark()
    site.tunneld("--entry", "--public", "%s:%d" % tunneld.public, "--uplink", "%s:%d" % tunneld.uplink,
                 listen=site.control)
    client.event("connected", after=mark)
    assert ask(tunneld.public, "GET", "/session/single/echo").status == 200


def test_without_dev_with_own_certificates_and_tokens(tmp_path, origin):
    site = Site(tmp_path, own=True)
    try:
        site.all(origin, session="production")
        assert ask(site.public, "POST", site.path("/echo"), body=b"hello").body == b"hello"
        other = site.tunnelc(origin.target, session="of-bob", owner="bob")
        assert ask(site.public, "GET", "/session/of-bob/echo").status == 200
        assert not (site.state / "ca.pem").exists() and not (site.state / "token").exists()
        assert other
    finally:
        site.close()


def test_token_on_the_command_line(tmp_path, origin):
    site = Site(tmp_path, own=True)
    try:
        site.tunneld()
        site.proxyentry()
        client = site.start("tunnelc", "http", origin.target, "--json", "--server", f"https://{site.control}", "--ca",
                            site.ca, f"--token={site.token_of('bob')}")
        client.event("ready")
    finally:
        site.close()


def test_domain_and_advertised_addresses(site, origin):
    site.tunneld()
    site.proxyentry("--domain", "tunnels.example", "--advertise-public", "https://tunnels.example")
    client = site.tunnelc(origin.target, session="named")
    assert client.ready["urls"][0] == "https://tunnels.example/session/named/"
    assert client.ready["urls"][1].startswith("https://named.tunnels.example")
    assert ask(site.public, "GET", "/echo", host="named.tunnels.example").status == 200
    assert ask(site.public, "GET", "/echo", host="named.localhost").status == 404


def test_without_json_people_are_told_the_addresses(site, origin):
    site.tunneld()
    site.proxyentry()
    client = site.start("tunnelc", "http", origin.target, "--dev", "--state-dir", site.state, "--server",
                        f"https://{site.control}", "--session", "human")
    wait_until(lambda: any("http://human.localhost:" in line for line in client.lines), "the addresses on stdout")
    assert any(f"http://{site.public[0]}:{site.public[1]}/session/human/" in line for line in client.lines)
