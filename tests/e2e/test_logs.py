"""Logs: levels, two formats, and no secret in any of them."""
import json
import re

import pytest

from api import call, register
from programs import Site
from wire import ask

TICKET = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
FORMATS = ["text", "json"]


def busy(site, origin, *options):
    """A deployment that has done a bit of everything; ended."""
    site.tunneld(*options)
    site.proxyentry(*options)
    client = site.tunnelc(origin.target, *options, session="logged")
    prefix = "/session/logged"
    secret = "Authorization: Bearer public-secret-public-secret"
    response = ask(site.public, "GET", f"{prefix}/echo", secret, "Cookie: sid=cookie-secret")
    assert response.status == 200
    assert ask(site.public, "GET", f"{prefix}/close").status == 502
    assert ask(site.public, "GET", "/session/nobody/").status == 404
    with_bad = call(site, "POST", "/v1/sessions", {"session": "x"}, token="an-unknown-token-an-unknown-token")
    assert with_bad.status == 401
    ticket = register(site, "second")["ticket"]
    call(site, "POST", "/v1/keys", {}, token=site.token_of("root"))
    secrets = [ticket, ticket.split(".")[2], "an-unknown-token-an-unknown-token", "public-secret", "cookie-secret"]
    secrets += [site.token_of(owner) for owner in site.OWNERS]
    for program in reversed(site.programs):
        program.stop()
    assert client
    return secrets


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("own", [False, True], ids=["dev", "own"])
def test_no_secret_in_logs_or_events(tmp_path, origin, form, own):
    site = Site(tmp_path, own=own)
    try:
        secrets = busy(site, origin, "--log-format", form, "--log-level", "debug")
        for program in site.programs:
            said = program.log() + json.dumps(program.events)
            assert said.strip()
            for secret in secrets:
                assert secret not in said, program.label
            assert not TICKET.search(said), program.label
            assert "PRIVATE KEY" not in said
    finally:
        site.close()


def test_every_request_leaves_a_line_with_its_id(site, origin):
    site.all(origin)
    for path, host in ((site.path("/echo"), "a"), ("/session/nobody/", "a"), ("/", "elsewhere.example")):
        request_id = f"id-of-{len(path)}-{host}"
        ask(site.public, "GET", path, f"X-Request-Id: {request_id}", host=host)
        assert f"request_id={request_id}" in site.programs[1].log()


def test_json_lines_are_valid(site, origin):
    busy(site, origin, "--log-format", "json", "--log-level", "debug")
    for program in site.programs:
        lines = [json.loads(line) for line in program.log().splitlines()]
        assert lines, program.label
        for line in lines:
            assert line["level"] in ("error", "warn", "info", "debug")
            assert any(isinstance(line.get(key), str) and line[key] for key in ("message", "msg"))
            assert any(key in line for key in ("time", "ts", "timestamp"))


def test_hostile_bytes_do_not_break_json_logs(site, origin):
    site.tunneld("--log-format", "json")
    site.proxyentry("--log-format", "json")
    site.tunnelc(origin.target, "--log-format", "json", session="hostile")
    for path in ('/session/"},{/', "/session/%22%0a/", '/session/hostile/echo?"\\'):
        ask(site.public, "GET", path, 'X-Request-Id: "},{', "User-Agent: \xff\"\\")
    for program in reversed(site.programs):
        program.stop()
    for program in site.programs:
        for line in program.log().splitlines():
            json.loads(line)


@pytest.mark.parametrize("level, quiet", [("off", True), ("error", True), ("info", False)])
def test_level_is_obeyed(site, origin, level, quiet):
    options = ["--log-level", level]
    site.tunneld(*options)
    site.proxyentry(*options)
    site.tunnelc(origin.target, *options, session="main")
    assert ask(site.public, "GET", "/session/main/echo").status == 200
    for program in reversed(site.programs):
        assert program.stop() == 0
    for program in site.programs:
        assert bool(program.log().strip()) != quiet, (program.label, program.log())


def test_events_go_to_stdout_and_logs_to_stderr(site, origin):
    site.all(origin)
    for program in reversed(site.programs):
        program.stop()
    for program in site.programs:
        assert program.events and len(program.events) == len(program.lines), program.lines


def test_state_files_are_private(site, origin):
    site.all(origin)
    assert site.state.stat().st_mode & 0o777 == 0o700
    for path in site.state.rglob("*"):
        if path.is_file() and any(word in path.name for word in ("key", "token", "session")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_tokens_are_stored_hashed(site, origin):
    site.all(origin)
    kept = (site.state / "tokens").read_text()
    assert "sha256:" in kept and site.token not in kept
    for path in site.state.rglob("*.json"):
        assert site.token not in path.read_text(), path
