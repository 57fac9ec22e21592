"""examples/quickstart.sh does what it says: once through, twice at once, staying, and with a taken port."""
import os
import signal
import socket
import subprocess
import threading

from programs import ROOT, wait_until
from wire import ask

SCRIPT = ROOT / "examples/quickstart.sh"


def run(*arguments, **environment):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=400,
                          env={**os.environ, **environment})


def test_shows_requests_and_ends_with_0():
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("hello from the origin") == 2
    assert "/session/quickstart/" in done.stdout and "quickstart.localhost" in done.stdout


def test_two_at_once():
    found = []
    threads = [threading.Thread(target=lambda: found.append(run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in found] == [0, 0], [done.stderr for done in found]


def test_stay_serves_until_it_is_ended_and_leaves_nothing():
    process = subprocess.Popen([SCRIPT, "--stay"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout), daemon=True)
    reader.start()
    wait_until(lambda: any("until Ctrl-C" in line for line in said), "quickstart to stay", timeout=300)
    line = next(line for line in said if "/session/quickstart/" in line and "http://" in line)
    host, port = line.split("http://")[1].split("/")[0].split(":")
    assert ask((host, int(port)), "GET", "/session/quickstart/hello.txt").status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    reader.join(5)
    wait_until(lambda: not accepts(host, int(port)), "the programs to be gone")


def accepts(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def test_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name in ("T2_PUBLIC_PORT", "T2_CONTROL_PORT", "T2_ORIGIN_PORT", "T2_UPLINK_PORT"):
            done = run(**{name: port})
            assert done.returncode == 1
            last = done.stderr.strip().splitlines()[-1]
            assert last.startswith("quickstart: ") and port in last and "use" in last, done.stderr


def test_unknown_option():
    done = run("--nonsense")
    assert done.returncode == 1 and "--nonsense" in done.stderr
