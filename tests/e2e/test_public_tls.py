"""--public-tls: certificates by name, versions, HTTP/2 by ALPN, new certificates by SIGHUP, one port for all."""
import json
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import certificates
from h2wire import H2
from programs import address, run, wait_until
from wire import Client, ask

NAMES = {"exact": "DNS:main.example.test", "wild": "DNS:*.example.test", "first": "DNS:first.test,IP:127.0.0.1"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA, and the certificates of NAMES by it."""
    folder = tmp_path_factory.mktemp("pki")
    certificates.make_ca(folder, "ca")
    for name, alternatives in NAMES.items():
        certificates.issue(folder, "ca", name, alternatives)
    return folder


def public_certs(folder, *names):
    return [argument for name in names
            for argument in ("--public-cert", f"{folder / name}.pem,{folder / name}-key.pem")]


def start(site, origin, folder, *more, names=("first", "wild", "exact"), address="localhost:0"):
    site.tunneld()
    site.entry = site.proxyentry("--public-tls", address, *public_certs(folder, *names), "--domain", "example.test",
                                 *more)
    site.client = site.tunnelc(origin.target, session="main")
    site.session = "main"
    site.tls = int(site.entry.ready["public_tls"].rsplit(":", 1)[1])
    return site


@pytest.fixture(scope="module")
def tls_site(tmp_path_factory, shared_origin, pki):
    from programs import Site
    site = Site(tmp_path_factory.mktemp("tls"))
    try:
        yield start(site, shared_origin, pki)
    finally:
        site.close()


def curl(site, pki, *arguments, name="main.example.test", path="/inspect", ca="ca"):
    """(exit status, stdout, stderr): curl asks for the path at the entry's TLS port under that name."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", str(pki / f"{ca}.pem"), "--connect-to",
         f"{name}:443:127.0.0.1:{site.tls}", *map(str, arguments), f"https://{name}{path}"],
        capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def shown(port, name, version=None):
    """The names in the certificate that the port shows to a client that asks for that one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=name) as sock:
            der = sock.getpeercert(binary_form=True)
    from cryptography import x509
    found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(value) for value in found.value.get_values_for_type(x509.DNSName)]


def test_curl_speaks_http2(tls_site, pki):
    status, out, err = curl(tls_site, pki, "--http2", "-w", "\n%{http_version} %{http_code}")
    assert status == 0, err
    seen, last = out.rsplit("\n", 1)
    assert last == "2 200"
    fields = dict(json.loads(seen)["fields"])
    assert fields["x-forwarded-proto"] == "https" and fields["host"] == "main.example.test"


def test_curl_speaks_http1(tls_site, pki):
    status, out, err = curl(tls_site, pki, "--http1.1", "-w", "\n%{http_version} %{http_code}")
    assert status == 0, err
    assert out.endswith("\n1.1 200")
    assert dict(json.loads(out.rsplit("\n", 1)[0])["fields"])["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("name, expected", [
    ("main.example.test", "main.example.test"), ("MAIN.Example.TEST", "main.example.test"),
    ("other.example.test", "*.example.test"), ("first.test", "first.test"),
    ("a.b.example.test", "first.test"), ("example.test", "first.test"), ("nobody.test", "first.test"),
    (None, "first.test")])
def test_certificate_is_chosen_by_name(tls_site, name, expected):
    assert shown(tls_site.tls, name) == [expected]


def test_old_tls_is_refused(tls_site, pki):
    status, _, err = curl(tls_site, pki, "--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
    assert status == 35, err
    assert shown(tls_site.tls, None, ssl.TLSVersion.TLSv1_2) == ["first.test"]


def version_of(site, most):
    """The version agreed on with a client that speaks TLS 1.2 up to that one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = most
    with socket.create_connection(("127.0.0.1", site.tls), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="first.test") as sock:
            return sock.version()


def wants_tls13(site):
    if version_of(site, ssl.TLSVersion.TLSv1_3) != "TLSv1.3":
        pytest.skip("this build's mbedTLS has no TLS 1.3")


REQUEST = b"GET /session/main/status/200 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(tls_site, version):
    if version == ssl.TLSVersion.TLSv1_3:
        wants_tls13(tls_site)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    session = None
    for resumed in (False, True, True):
        with socket.create_connection(("127.0.0.1", tls_site.tls), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="first.test", session=session) as sock:
                assert sock.session_reused == resumed
                sock.sendall(REQUEST)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                session = sock.session  # with TLS 1.3 it comes after the handshake


def test_another_key_share_is_asked_for(tls_site, pki):
    """HelloRetryRequest: the client guesses a group that is not there (RFC 8446, 4.1.4)."""
    wants_tls13(tls_site)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls_site.tls}", "-servername", "first.test",
                           "-CAfile", pki / "ca.pem", "-tls1_3", "-groups", "X448:X25519", "-msg", "-ign_eof"],
                          input=REQUEST, capture_output=True, timeout=20)
    assert b"HTTP/1.1 200" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count(b", ClientHello") == 2 and b"Verify return code: 0 (ok)" in done.stdout


def test_a_client_that_leaves_early_harms_nobody(tls_site):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="first.test").do_handshake()
    hello = outgoing.read()
    for cut in (0, 1, 5, 9, 100, len(hello) - 1, len(hello)):
        with socket.create_connection(("127.0.0.1", tls_site.tls), timeout=20) as plain:
            plain.sendall(hello[:cut])
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass
    assert ask(tls_site.public, "GET", tls_site.path("/status/200")).status == 200


def test_unknown_alpn_is_refused_and_none_is_http1(tls_site):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h3"])
    with socket.create_connection(("127.0.0.1", tls_site.tls), timeout=20) as plain:
        with pytest.raises(ssl.SSLError, match="NO_APPLICATION_PROTOCOL|no application protocol"):
            context.wrap_socket(plain, server_hostname="first.test")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", tls_site.tls), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="first.test") as sock:
            sock.sendall(REQUEST)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_clear_port_serves_on(tls_site):
    assert ask(tls_site.public, "GET", tls_site.path("/status/200")).status == 200


def test_key_and_certificate_may_be_one_file(site, origin, pki, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text((pki / "exact.pem").read_text() + (pki / "exact-key.pem").read_text())
    site.tunneld()
    site.entry = site.proxyentry("--public-tls", "localhost:0", "--public-cert", both)
    port = int(site.entry.ready["public_tls"].rsplit(":", 1)[1])
    assert shown(port, "main.example.test") == ["main.example.test"]


def test_bad_files_are_named(site, pki, tmp_path):
    wrong = f"{pki / 'exact'}.pem,{pki / 'wild'}-key.pem"
    status, _, said = run("proxyentry", "--dev", "--state-dir", site.state, "--public", "127.0.0.1:0", "--uplink",
                          "127.0.0.1:0", "--public-tls", "localhost:0", "--public-cert", wrong)
    assert status == 2 and "wild-key.pem is not the key of the certificate in" in said
    status, _, said = run("proxyentry", "--dev", "--state-dir", site.state, "--public-cert", wrong)
    assert status == 2 and "--public-cert needs --public-tls" in said


# ---- SIGHUP ----

class SteadyLoad:
    """New connections and kept ones, over TLS, until the block ends; `failures` is empty when none failed."""

    def __init__(self, site, pki):
        self.context = ssl.create_default_context(cafile=pki / "ca.pem")
        self.site, self.failures, self.done = site, [], 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(kept,)) for kept in (True, True, False, False)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def _client(self):
        self.context.set_alpn_protocols(["h2"])
        return H2(("127.0.0.1", self.site.tls), tls=self.context, name="main.example.test")

    def _run(self, kept):
        client = None
        while not self.stopping.is_set():
            try:
                client = client or self._client()
                status, _, _ = client.ask("/status/200", authority="main.example.test")
                assert status == 200
                self.done += 1
                if not kept:
                    client.close()
                    client = None
            except Exception as problem:
                self.failures.append(repr(problem))
                return
        if client:
            client.close()


def test_new_certificates_come_by_sighup_under_load(site, origin, pki, tmp_path):
    for name in ("exact", "wild"):
        for end in (".pem", "-key.pem"):
            (tmp_path / f"{name}{end}").write_bytes((pki / f"{name}{end}").read_bytes())
    start(site, origin, tmp_path, names=("exact", "wild"))
    certificates_shown = set()
    with SteadyLoad(site, pki) as load:
        for round_number in range(5):
            wait_until(lambda: load.done > 20 * (round_number + 1), "requests go on")
            certificates.issue(pki, "ca", f"new{round_number}", NAMES["exact"])
            for end in (".pem", "-key.pem"):
                (tmp_path / f"exact{end}").write_bytes((pki / f"new{round_number}{end}").read_bytes())
            mark = site.entry.mark()
            site.entry.signal(signal.SIGHUP)
            assert site.entry.event("reloaded", after=mark)["ok"], site.entry.log()[-2000:]
            certificates_shown.add(ssl.get_server_certificate(("127.0.0.1", site.tls)))
    assert load.failures == []
    assert len(certificates_shown) == 5
    assert "SIGHUP: the certificates were read again" in site.entry.log()


def test_bad_files_at_sighup_leave_what_was_there(site, origin, pki, tmp_path):
    for end in (".pem", "-key.pem"):
        (tmp_path / f"exact{end}").write_bytes((pki / f"exact{end}").read_bytes())
    start(site, origin, tmp_path, names=("exact",))
    (tmp_path / "exact.pem").write_text("this is no certificate")
    site.entry.signal(signal.SIGHUP)
    assert not site.entry.event("reloaded")["ok"]
    assert "exact.pem holds no certificate" in site.entry.log()
    assert shown(site.tls, "main.example.test") == ["main.example.test"]
    assert ask(site.public, "GET", site.path("/status/200")).status == 200


def test_tunneld_reads_tokens_again(tmp_path, origin):
    from programs import Site
    from api import call
    site = Site(tmp_path / "own", own=True)
    try:
        site.tunneld()
        bob = site.token_of("bob")
        tokens = site.folder / "tokens"
        tokens.write_text("".join(line + "\n" for line in tokens.read_text().splitlines()
                                  if not line.startswith("bob ")))
        program = site.programs[0]
        assert call(site, "GET", "/v1/sessions", token=bob).status == 200
        program.signal(signal.SIGHUP)
        assert program.event("reloaded")["ok"]
        assert call(site, "GET", "/v1/sessions", token=bob).status == 401
        tokens.write_text("not a line of tokens\n")
        mark = program.mark()
        program.signal(signal.SIGHUP)
        assert not program.event("reloaded", after=mark)["ok"]
        assert call(site, "GET", "/v1/sessions", token=site.token_of("alice")).status == 200
    finally:
        site.close()


# ---- One port ----

@pytest.fixture(scope="module")
def one_port(tmp_path_factory, shared_origin, pki):
    from programs import Site
    site = Site(tmp_path_factory.mktemp("one"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    try:
        site.tunneld()
        site.entry = site.proxyentry("--public-tls", address, *public_certs(pki, "exact"), "--domain", "example.test",
                                     uplink=address)
        site.client = site.tunnelc(shared_origin.target, session="main")
        site.session = "main"
        site.tls = int(address.rsplit(":", 1)[1])
        yield site
    finally:
        site.close()


def test_uplinks_and_the_public_share_a_port(one_port, pki):
    assert one_port.entry.ready["public_tls"] == one_port.entry.ready["uplink"]
    for version in ("--http2", "--http1.1"):
        status, out, err = curl(one_port, pki, version)
        assert status == 0 and json.loads(out)["method"] == "GET", err
    assert shown(one_port.tls, "main.example.test") == ["main.example.test"]
    assert "localhost" in shown(one_port.tls, None)


def test_uplink_path_without_its_upgrade_is_the_public_s(one_port):
    context = ssl.create_default_context(cafile=one_port.ca)
    with socket.create_connection(("127.0.0.1", one_port.tls), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"GET /.well-known/tunnel2/uplink HTTP/1.1\r\nHost: main.example.test\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 404")  # the origin's
    context.set_alpn_protocols(["h2"])
    with H2(("127.0.0.1", one_port.tls), tls=context, name="localhost") as client:
        status, fields, _ = client.ask("/.well-known/tunnel2/uplink", authority="main.example.test")
        assert status == 404 and "proxy-status" not in fields


def test_drain_covers_the_tls_listener(site, origin, pki):
    start(site, origin, pki)
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.set_alpn_protocols(["h2"])
    with H2(("127.0.0.1", site.tls), tls=context, name="main.example.test") as client:
        stream = client.request("/gate/drain", authority="main.example.test")
        origin.wait_request("/gate/drain")
        site.entry.signal()
        site.entry.event("draining")
        time.sleep(0.3)
        assert site.entry.process.poll() is None
        origin.gate("drain").set()
        heads, content, _ = client.response(stream)
        assert content == b"before;after"
    assert site.entry.wait() == 0


def test_sessions_are_resumed_after_a_restart(site, origin):
    """So that a crowd that comes back all at once costs little."""
    site.tunneld()
    entry = site.proxyentry("--public-tls", "localhost:0")
    context = ssl.create_default_context(cafile=site.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its ticket is there at the end of the handshake

    def handshake(session=None):
        at = address(entry.ready["public_tls"])
        with socket.create_connection(at, timeout=20) as sock:
            with context.wrap_socket(sock, server_hostname="localhost", session=session) as tls:
                return tls.session, tls.session_reused

    session, reused = handshake()
    assert not reused
    entry.stop()
    entry = site.proxyentry("--public-tls", "localhost:0")
    assert handshake(session)[1], "the same state directory"
    entry.stop()
    (site.state / "east-public-tickets").unlink()
    entry = site.proxyentry("--public-tls", "localhost:0")
    assert not handshake(session)[1], "without its keys it is a handshake like any other"
