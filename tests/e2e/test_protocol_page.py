"""The commands of docs/PROTOCOL.md, 11, typed in their order: each is answered. Ports are other ones, since somebody may have these."""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import pytest
from websockets.sync.server import serve

import certificates
import grpc_service
import ports
from programs import BIN, DEADLINE, ENVIRONMENT, ROOT, SANITIZER, wait_until
from tcp import listens

SECTION = (ROOT / "docs/PROTOCOL.md").read_text().split("\n## 11. ")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^    (.*)$", SECTION, re.M)
SAID = [12000, 12001, 12002, 12010, 12011, 12443, 8000, 8443, 50051, 6379, 53]
FROM_RANGE = {20053: 0, 20379: 1}
WITH_CONTROL = {"tunneld --dev": "--listen 127.0.0.1:12002 --public 127.0.0.1:12000 --uplink 127.0.0.1:12001",
                "tunnelc": "--server https://127.0.0.1:12002", "proxyentry --dev": "--control https://127.0.0.1:12002"}


class Person:
    """Types commands: what ends with & is waited for until it says that it is ready, all else until it ends well."""

    def __init__(self, folder):
        first = ports.free(len(SAID))
        self.port = {said: first + i for i, said in enumerate(SAID)}
        self.range = ports.free(4)
        self.port.update({said: self.range + i for said, i in FROM_RANGE.items()})
        self.started = []
        self.log = folder / "log"
        environment = {name: value for name, value in os.environ.items() if name != "XDG_STATE_HOME"}
        self.environment = {**environment, **ENVIRONMENT, "HOME": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def here(self, text):
        for start, more in WITH_CONTROL.items():
            if text.startswith(start):
                text = f"{text} {more}"
        text = text.replace("20000-20999", f"{self.range}-{self.range + 3}").replace("python3", sys.executable)
        known = "|".join(str(said) for said in self.port)
        return re.sub(rf"(?<![\d.])({known})(?![\d.])", lambda found: str(self.port[int(found.group())]), text)

    def start(self, command):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(["bash", "-c", "exec " + self.here(command)], cwd=ROOT, env=self.environment,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        said = []
        threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
        self.started.append(process)
        ready = "is published" if command.startswith("tunnelc") else "entry "
        wait_until(lambda: any(ready in line for line in list(said)), f"{command!r} is ready")

    def run(self, command):
        done = subprocess.run(["bash", "-c", "set -o pipefail; " + self.here(command)], cwd=ROOT, env=self.environment,
                              capture_output=True, timeout=DEADLINE)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode(errors="replace")

    def answered(self, command):
        said = self.run(command)
        return said if said and "urn:tunnel2" not in said else None

    def close(self):
        for process in reversed(self.started):
            process.terminate()
            process.wait(DEADLINE)
        assert not SANITIZER.search(self.log.read_text())


def answer(connection, request):
    """Of plain requests: the library serves WebSockets alone."""
    if "upgrade" not in request.headers:
        return connection.respond(200, "".join(f"{name}: {value}\n" for name, value in request.headers.raw_items()))
    return None


def echo(connection):
    for message in connection:
        connection.send(message)


def http_origin(port):
    server = serve(echo, "127.0.0.1", port, process_request=answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.shutdown


def grpc_origin(port):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc_service.Service().handlers(),))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    return lambda: server.stop(None).wait()


def dns_origin(port):
    """NOERROR to every question, without an answer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))

    def run():
        while True:
            query, peer = sock.recvfrom(4096)
            if not query:
                return
            sock.sendto(query[:2] + b"\x81\x80" + query[4:], peer)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def stop():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        thread.join(DEADLINE)
        sock.close()
    return stop


def program(arguments, port, folder):
    process = subprocess.Popen(arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: listens(("127.0.0.1", port)), f"{arguments[0]} listens")

    def stop():
        process.terminate()
        process.wait(DEADLINE)
    return stop


@pytest.fixture
def person(tmp_path):
    assert shutil.which("redis-server") and shutil.which("redis-cli") and shutil.which("dig")
    certificates.make_ca(tmp_path, "ca")
    certificates.issue(tmp_path, "ca", "own", "DNS:localhost,DNS:app.example.com")
    typist = Person(tmp_path)
    port = typist.port
    stops = [http_origin(port[8000]), grpc_origin(port[50051]), dns_origin(port[53]),
             program(["openssl", "s_server", "-accept", str(port[8443]), "-cert", "own.pem", "-key", "own-key.pem", "-www", "-quiet"],
                     port[8443], tmp_path),
             program(["redis-server", "--port", str(port[6379]), "--bind", "127.0.0.1", "--save", ""], port[6379], tmp_path)]
    yield typist
    typist.close()
    for stop in stops:
        stop()


# What of an answer shows that it was the thing itself.
SHOWS = {"websockets": "hello", "grpc": "grpc-status: 0", "-r 0-99": "# The protocol", "/docs/": "PROTOCOL.md", "redis-cli": "PONG",
         "dig": "NOERROR", "app.example.com": "Cipher", "secure": "Cipher", "under": "X-Team: red", "web-east": "Forwarded: for=127.0.0.1;"}


def test_each_command_is_answered(person):
    assert len(COMMANDS) > 25
    for command in COMMANDS:
        if command.endswith("&"):
            person.start(command.removesuffix("&"))
            continue
        # Sessions come to an entry that has just started a moment later than it says that it is there.
        said = wait_until(lambda: person.answered(command), f"{command!r} is answered")
        for part, shown in SHOWS.items():
            assert part not in command or shown.lower() in said.lower(), (command, said)
