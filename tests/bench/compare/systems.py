"""The systems: what is started for each, and where it is asked. SYSTEMS at the end is the table."""
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from site_of import Failed, descendants, memory

BIN = Path(os.environ.get("T2_BIN_RELEASE", Path(__file__).resolve().parents[3] / "build/release/bin"))
FILES = {"1K": 1 << 10, "64K": 64 << 10, "100M": 100_000_000}
HELLO = "hello, world\n"
IDLE_SECONDS = 1.0  # after which an idle process is looked at


@dataclass
class System:
    """urls: by side, that of the origin's root: "h1" (HTTP/1.1), "h2" (HTTP/2 over TLS), "h2c" (HTTP/2 in the clear),
    "up" (HTTP/1.1, to the origin of uploads). processes: by label, those whose time and memory count."""
    urls: dict
    processes: dict
    up_processes: dict = None  # where those are others
    facts: dict = field(default_factory=dict)

    def of(self, side):
        return self.up_processes if side == "up" and self.up_processes else self.processes


@dataclass
class Origin:
    system: System  # nginx itself
    port: int
    up_port: int
    key: Path
    cert: Path
    both: Path


def make_certificate(site):
    key, cert = site.folder / "key.pem", site.folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return key, cert, site.write("both.pem", cert.read_text() + key.read_text())


def start_origin(site):
    """nginx with the bodies as files, and the sink of uploads."""
    key, cert, both = make_certificate(site)
    h1, h2, h2c = site.ports(3)
    files = site.folder / "files"
    files.mkdir()
    for name, size in FILES.items():
        (files / name).write_bytes(os.urandom(1 << 10) * (size >> 10) + b"x" * (size & 1023))
    temporary = " ".join(f"{what}_temp_path {site.folder}/t-{what};"
                         for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""  # else a worker of another user's, who can't read the files
    config = site.write("nginx.conf", f"""
{user}
daemon off;
worker_processes 1;
pid {site.folder}/nginx.pid;
error_log {site.folder}/nginx-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; {temporary}
  keepalive_requests 1000000000; keepalive_timeout 600s; open_file_cache max=16;
  server {{
    listen 127.0.0.1:{h1} backlog=4096;
    listen 127.0.0.1:{h2} ssl http2;
    listen 127.0.0.1:{h2c} http2;
    ssl_certificate {cert}; ssl_certificate_key {key};
    root {files}; default_type application/octet-stream;
    location = /13 {{ default_type text/plain; return 200 "{HELLO.strip()}\\n"; }}
  }}
}}
""")
    nginx = site.start("nginx", "nginx", "-c", config, "-p", site.folder, "-e", site.folder / "nginx-error.log")
    sink = site.start("sink", "python3", Path(__file__).with_name("sink.py"))
    up = int(site.until(lambda: site.output(sink), "the sink", sink))
    site.answers(f"http://127.0.0.1:{h1}/13", nginx)
    worker = site.until(lambda: descendants([nginx.pid])[1:], "nginx's worker", nginx)[0]
    system = System({"h1": f"http://127.0.0.1:{h1}", "h2": f"https://127.0.0.1:{h2}", "h2c": f"http://127.0.0.1:{h2c}",
                     "up": f"http://127.0.0.1:{up}"}, {"nginx": worker}, {"sink": sink.pid})
    return Origin(system, h1, up, key, cert, both)


def direct(site, origin):
    return origin.system


def nghttpx(site, origin):
    """HTTP/1.1 to h2 over TLS to HTTP/1.1: the work that a tunnel does."""
    h1, h2, back_port = site.ports(3)
    common = ["nghttpx", "--conf=/dev/null", "--workers=1", "--single-process"]
    back = site.start("nghttpx-back", *common, f"--errorlog-file={site.folder}/nghttpx-back.err",
                      f"--frontend=127.0.0.1,{back_port}", f"--backend=127.0.0.1,{origin.port}",
                      f"--backend=127.0.0.1,{origin.up_port};/up/", origin.key, origin.cert)
    front = site.start("nghttpx-front", *common, f"--errorlog-file={site.folder}/nghttpx-front.err",
                       f"--frontend=127.0.0.1,{h1};no-tls", f"--frontend=127.0.0.1,{h2}",
                       f"--backend=127.0.0.1,{back_port};;proto=h2;tls;sni=localhost", f"--cacert={origin.cert}",
                       origin.key, origin.cert)
    site.answers(f"http://127.0.0.1:{h1}/13", front, back)
    return System({"h1": f"http://127.0.0.1:{h1}", "h2": f"https://127.0.0.1:{h2}", "h2c": f"http://127.0.0.1:{h1}",
                   "up": f"http://127.0.0.1:{h1}"}, {"front": front.pid, "back": back.pid})


HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode {mode}
  timeout connect 5s
  timeout client 120s
  timeout server 120s
"""


def haproxy(site, origin):
    """The same way, HTTP/1.1 to h2 over TLS to HTTP/1.1."""
    h1, h2, back_port = site.ports(3)
    back_config = site.write("haproxy-back.cfg", HAPROXY.format(mode="http") + f"""
frontend in
  bind 127.0.0.1:{back_port} ssl crt {origin.both} alpn h2
  use_backend up if {{ path_beg /up/ }}
  default_backend out
backend out
  http-reuse always
  server origin 127.0.0.1:{origin.port}
backend up
  http-reuse always
  server sink 127.0.0.1:{origin.up_port}
""")
    front_config = site.write("haproxy-front.cfg", HAPROXY.format(mode="http") + f"""
frontend in
  bind 127.0.0.1:{h1}
  bind 127.0.0.1:{h2} ssl crt {origin.both} alpn h2,http/1.1
  default_backend out
backend out
  http-reuse always
  server back 127.0.0.1:{back_port} ssl verify required ca-file {origin.cert} sni str(localhost) alpn h2
""")
    back = site.start("haproxy-back", "haproxy", "-db", "-f", back_config)
    front = site.start("haproxy-front", "haproxy", "-db", "-f", front_config)
    site.answers(f"http://127.0.0.1:{h1}/13", front, back)
    return System({"h1": f"http://127.0.0.1:{h1}", "h2": f"https://127.0.0.1:{h2}", "h2c": f"http://127.0.0.1:{h1}",
                   "up": f"http://127.0.0.1:{h1}"}, {"front": front.pid, "back": back.pid})


def haproxy_tcp(site, origin):
    """Two plain relays: what a TCP tunnel without encryption does."""
    ports = site.ports(4)

    def relay(name, lines):
        text = HAPROXY.format(mode="tcp") + "".join(
            f"\nlisten {i}\n  bind 127.0.0.1:{a}\n  server to 127.0.0.1:{b}\n" for i, (a, b) in enumerate(lines))
        return site.start(name, "haproxy", "-db", "-f", site.write(f"{name}.cfg", text))

    back = relay("haproxy-tcp-back", [(ports[2], origin.port), (ports[3], origin.up_port)])
    front = relay("haproxy-tcp-front", [(ports[0], ports[2]), (ports[1], ports[3])])
    site.answers(f"http://127.0.0.1:{ports[0]}/13", front, back)
    return System({"h1": f"http://127.0.0.1:{ports[0]}", "up": f"http://127.0.0.1:{ports[1]}"},
                  {"front": front.pid, "back": back.pid})


def event(site, process, kind):
    """The first event of that kind that one of our programs has printed."""
    def found():
        for line in site.output(process).splitlines():
            try:
                read = json.loads(line)
            except ValueError:
                continue
            if read.get("event") == kind:
                return read
        return None
    return site.until(found, f"{process.label}: no event {kind!r}", process, every=0.002)


def ours_with(entry=(), client=()):
    """A variant of ours: more options of proxyentry and of tunnelc."""
    def start(site, origin):
        label = f"ours-{len(site.processes)}"
        state = site.folder / f"{label}-state"
        common = ("--dev", "--json", "--log-level", "warn", "--state-dir", state)
        tunneld = site.start(f"{label}-tunneld", BIN / "tunneld", *common, "--listen", "127.0.0.1:0")
        control = "https://" + event(site, tunneld, "ready")["control"]
        proxyentry = site.start(f"{label}-proxyentry", BIN / "proxyentry", *common, "--control", control, "--public",
                                "127.0.0.1:0", "--public-tls", "127.0.0.1:0", "--uplink", "127.0.0.1:0", *entry)
        where = event(site, proxyentry, "ready")
        event(site, proxyentry, "registered")
        began = time.monotonic()

        def tunnel(session, port):
            process = site.start(f"{label}-{session}", BIN / "tunnelc", "http", port, *common, "--server", control,
                                 "--session", session, *client)
            event(site, process, "ready")
            return process

        def url(scheme, key, session):
            return f"{scheme}://{where[key]}/session/{session}"

        up = tunnel("uploads", origin.up_port)
        site.until(lambda: time.monotonic() > began + IDLE_SECONDS, "time")
        idle = memory(up.pid)[0]
        began = time.monotonic()
        tunnelc = tunnel("bench", origin.port)
        site.answers(url("http", "public", "bench") + "/13", proxyentry, tunnelc)
        first = time.monotonic() - began
        urls = {"h1": url("http", "public", "bench"), "h2c": url("http", "public", "bench"),
                "up": url("http", "public", "uploads")}
        if "public_tls" in where:
            urls["h2"] = url("https", "public_tls", "bench")
        return System(urls, {"proxyentry": proxyentry.pid, "tunnelc": tunnelc.pid},
                      {"proxyentry": proxyentry.pid, "tunnelc": up.pid},
                      {"idle_tunnelc_rss": idle, "first_answer_seconds": first, "tunneld_rss": memory(tunneld.pid)[0]})
    return start


def rathole(site, origin):
    public, up, server = site.ports(3)
    services = (("one", public, origin.port), ("up", up, origin.up_port))
    server_text = f'[server]\nbind_addr = "127.0.0.1:{server}"\ndefault_token = "bench"\n' + "".join(
        f'[server.services.{name}]\nbind_addr = "127.0.0.1:{port}"\n' for name, port, _ in services)
    client_text = f'[client]\nremote_addr = "127.0.0.1:{server}"\ndefault_token = "bench"\n' + "".join(
        f'[client.services.{name}]\nlocal_addr = "127.0.0.1:{to}"\n' for name, _, to in services)
    front = site.start("rathole-server", "rathole", "--server", site.write("rathole-server.toml", server_text))
    back = site.start("rathole-client", "rathole", "--client", site.write("rathole-client.toml", client_text))
    return tcp_tunnel(site, public, up, {"server": front, "client": back})


def frp(site, origin):
    public, up, server = site.ports(3)
    services = (("one", public, origin.port), ("up", up, origin.up_port))
    front = site.start("frps", "frps", "-c", site.write("frps.toml", f'bindAddr = "127.0.0.1"\nbindPort = {server}\n'))
    text = f'serverAddr = "127.0.0.1"\nserverPort = {server}\n' + "".join(
        f'[[proxies]]\nname = "{name}"\ntype = "tcp"\nlocalIP = "127.0.0.1"\nlocalPort = {to}\nremotePort = {port}\n'
        for name, port, to in services)
    back = site.start("frpc", "frpc", "-c", site.write("frpc.toml", text))
    return tcp_tunnel(site, public, up, {"frps": front, "frpc": back})


def chisel(site, origin):
    public, up, server = site.ports(3)
    front = site.start("chisel-server", "chisel", "server", "--host", "127.0.0.1", "--port", server, "--reverse")
    back = site.start("chisel-client", "chisel", "client", f"http://127.0.0.1:{server}",
                      f"R:127.0.0.1:{public}:127.0.0.1:{origin.port}", f"R:127.0.0.1:{up}:127.0.0.1:{origin.up_port}")
    return tcp_tunnel(site, public, up, {"server": front, "client": back})


def bore(site, origin):
    """Its control port is always 7835."""
    public, = site.ports(1)
    front = site.start("bore-server", "bore", "server")
    site.until(lambda: time.sleep(0.3) or True, "time", front)
    back = site.start("bore-client", "bore", "local", origin.port, "--to", "127.0.0.1", "--port", public)
    return tcp_tunnel(site, public, None, {"server": front, "client": back})


def tcp_tunnel(site, public, up, processes):
    urls = {"h1": f"http://127.0.0.1:{public}"}
    if up:
        urls["up"] = f"http://127.0.0.1:{up}"
    site.answers(urls["h1"] + "/13", *processes.values())
    return System(urls, {label: process.pid for label, process in processes.items()})


# name: (how it starts, programs that have to be there). A variant of ours is one more line with ours_with().
SYSTEMS = {
    "direct": (direct, ["nginx"]),
    "nghttpx": (nghttpx, ["nghttpx"]),
    "haproxy": (haproxy, ["haproxy"]),
    "haproxy-tcp": (haproxy_tcp, ["haproxy"]),
    "ours": (ours_with(), []),
    "ours-plaintext": (ours_with(["--uplink-plaintext"], ["--uplink-plaintext"]), []),
    "rathole": (rathole, ["rathole"]),
    "frp": (frp, ["frps", "frpc"]),
    "chisel": (chisel, ["chisel"]),
    "bore": (bore, ["bore"]),
}


def absent(name):
    """The programs of that system that are not here."""
    return [program for program in SYSTEMS[name][1] if not shutil.which(program)]


def start(name, site, origin):
    missing = absent(name)
    if missing:
        raise Failed(f"{' and '.join(missing)} not found")
    return SYSTEMS[name][0](site, origin)
