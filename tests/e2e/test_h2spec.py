"""h2spec (https://github.com/summerwind/h2spec), where it is installed, against the public port: TLS and in the clear."""
import re
import shutil
import subprocess

import pytest

H2SPEC = shutil.which("h2spec")
pytestmark = pytest.mark.skipif(not H2SPEC, reason="h2spec is not on the PATH")

# Cases that fail, and why.
KNOWN = {
    "tls": set(),
    # HTTP/1.1 is spoken on the same port: what is no preface is a malformed HTTP/1.1 request, which is answered with
    # 400 before the connection is closed (RFC 9112, 3). h2spec wants frames or the end.
    "clear": {"Sends invalid connection preface"},
}


@pytest.fixture(scope="module")
def h2_site(tmp_path_factory, shared_origin):
    from programs import Site
    site = Site(tmp_path_factory.mktemp("h2spec"))
    try:
        site.tunneld()
        site.entry = site.proxyentry("--public-tls", "localhost:0")
        site.client = site.tunnelc(shared_origin.target, session="main")
        yield site
    finally:
        site.close()


@pytest.mark.parametrize("kind", KNOWN)
def test_public_port_passes(h2_site, kind):
    address = h2_site.entry.ready["public_tls" if kind == "tls" else "public"]
    done = subprocess.run([H2SPEC, *(["-t", "-k"] if kind == "tls" else []), "-h", "127.0.0.1", "-p",
                           address.rsplit(":", 1)[1], "-P", "/session/main/status/200", "-o", "5"],
                          capture_output=True, text=True, timeout=200)
    failed = set(re.findall(r"^\s+× \d+: (.*)$", done.stdout.partition("Failures:")[2], re.MULTILINE))
    assert failed == KNOWN[kind], done.stdout[-6000:]
    assert re.search(r"\b[1-9]\d* tests, ", done.stdout), done.stdout + done.stderr
