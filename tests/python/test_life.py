"""Garbage collection, fork, threads, the end of the interpreter: scripts of their own, under the same library."""
import signal
import textwrap
import time

import pytest

from conftest import python

HEAD = """
import gc, os, sys, threading, time, urllib.request
import tunnel2
OPTIONS = dict(server=sys.argv[1], state_dir=sys.argv[2])

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"answer"]

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"answer"})

def get(t):
    return urllib.request.urlopen(t.url, timeout=20).read()

def try_to_get(t):
    try:
        get(t)
    except Exception:
        pass

def names():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("tunnel2"))

def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
"""


@pytest.fixture
def run(site):
    """Runs a script to its end, which is a good one; returns what it printed."""
    def run(body, status=0, timeout=60):
        process = start(site, body)
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == status, f"{process.returncode}\n{out}\n{err[-6000:]}"
        assert "Sanitizer" not in err and "runtime error" not in err, err[-6000:]
        return out, err
    return run


def start(site, body):
    return python("-X", "dev", "-c", HEAD + textwrap.dedent(body), site.options["server"], site.options["state_dir"])


# ---- the end of the interpreter ----

@pytest.mark.parametrize("how", ["pass", "sys.exit(0)", "os._exit(0)",
                                 "threading.Thread(target=lambda: time.sleep(0.2)).start()"])
def test_an_open_tunnel_does_not_hold_up_the_end(run, how):
    began = time.monotonic()
    out, err = run(f"""
        t = tunnel2.serve(app, **OPTIONS)
        u = tunnel2.serve(asgi, **OPTIONS)
        v = tunnel2.forward("9", **OPTIONS)
        print(get(t), get(u), flush=True)
        {how}
    """)
    assert out == "b'answer' b'answer'\n" and err == ""
    assert time.monotonic() - began < 20


def test_an_app_that_is_busy_does_not_hold_up_the_end(run):
    out, err = run("""
        entered = threading.Event()
        def busy(environ, start_response):
            entered.set()
            time.sleep(60)
        t = tunnel2.serve(busy, **OPTIONS)
        threading.Thread(target=try_to_get, args=(t,), daemon=True).start()
        entered.wait(20)
    """)
    assert err == ""


def test_a_tunnel_at_module_level_and_in_cycles(run):
    out, err = run("""
        class Holder: pass
        h = Holder()
        h.tunnel, h.me = tunnel2.serve(app, **OPTIONS), h
        h.events = h.tunnel.events()
        sys.modules["kept"] = h
    """)
    assert err == ""


def test_an_exception_ends_the_block_at_once(run):
    out, err = run("""
        def slow(environ, start_response):
            time.sleep(1.5)
            start_response("200 OK", [])
            return []
        try:
            with tunnel2.serve(slow, **OPTIONS) as t:
                threading.Thread(target=try_to_get, args=(t,), daemon=True).start()
                until(lambda: t.stats().active)
                began = time.monotonic()
                raise KeyError
        except KeyError:
            assert time.monotonic() - began < 1.2
        print(t.closed)
        os._exit(0)
    """)
    assert out == "True\n"


# ---- garbage collection ----

def test_a_tunnel_that_nobody_has_closes_itself(run):
    out, err = run("""
        import weakref
        for make in (lambda: tunnel2.serve(app, **OPTIONS), lambda: tunnel2.serve(asgi, **OPTIONS),
                     lambda: tunnel2.forward("9", **OPTIONS)):
            t = make()
            alive = weakref.ref(t)
            client = t._client
            del t
            gc.collect()
            assert alive() is None
            assert client.wait(lambda: client.closed, 20) and client.closed
        until(lambda: names() == ["tunnel2"])
        with tunnel2.serve(app, **OPTIONS) as t:
            assert get(t) == b"answer"
        until(lambda: names() == [])
    """)
    assert err == ""


def test_a_collection_on_the_loops_thread(run):
    """The last reference goes while the library calls back."""
    out, err = run("""
        import logging
        class Handler(logging.Handler):
            def emit(self, record):
                held.clear()
                gc.collect()
        held = [tunnel2.serve(app, log_level=logging.DEBUG, **OPTIONS)]
        client = held[0]._client
        logging.getLogger("tunnel2").addHandler(Handler())
        logging.getLogger("tunnel2").setLevel(logging.DEBUG)
        logging.getLogger("tunnel2").propagate = False
        u = tunnel2.forward("9", log_level=logging.DEBUG, **OPTIONS)
        assert client.wait(lambda: client.closed, 20) and client.closed
        u.close()
    """)
    assert "Traceback" not in err, err


def test_many_tunnels_one_after_another(run):
    out, err = run("""
        def fds():
            return len(os.listdir("/proc/self/fd"))
        for i in range(12):
            with tunnel2.serve(app if i % 2 else asgi, **OPTIONS) as t:
                get(t)
            gc.collect()
            if i == 3:
                before = fds()
        assert fds() <= before, (before, fds())
        assert names() == [], names()
    """)
    assert err == ""


def test_collections_while_requests_come(run):
    out, err = run("""
        gc.set_threshold(1)
        class Cycle: pass
        def churn(environ, start_response):
            c = Cycle(); c.me = c; c.environ = environ
            return app(environ, start_response)
        with tunnel2.serve(churn, **OPTIONS) as t:
            askers = [threading.Thread(target=lambda: [get(t) for _ in range(25)]) for _ in range(4)]
            [a.start() for a in askers]
            [a.join() for a in askers]
            assert t.stats().requests >= 100 and t.stats().requests_failed == 0
    """)
    assert err == ""


# ---- fork ----

def test_a_child_leaves_the_parents_tunnel_alone(run):
    out, err = run("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        t = tunnel2.serve(app, **OPTIONS)
        pid = os.fork()
        if pid == 0:
            for call in (t.stats, t.wait, lambda: next(t.events())):
                try:
                    call()
                except tunnel2.StateError as error:
                    assert "forked" in str(error)
                else:
                    os._exit(1)
            t.close()
            with tunnel2.serve(asgi, **OPTIONS) as mine:
                assert get(mine) == b"answer"
            del t
            gc.collect()
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert get(t) == b"answer"
        t.close()
    """)
    assert err == ""


def test_a_child_may_end_in_all_ways(run):
    out, err = run("""
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        with tunnel2.serve(app, **OPTIONS) as t:
            context = multiprocessing.get_context("fork")
            for target in (print, gc.collect, lambda: sys.exit(0)):
                p = context.Process(target=target)
                p.start()
                p.join(20)
                assert p.exitcode == 0
            assert get(t) == b"answer"
    """)
    assert err == ""


def test_forks_while_requests_come(run):
    out, err = run("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        with tunnel2.serve(app, **OPTIONS) as t:
            over = []
            def ask():
                while not over:
                    get(t)
            asker = threading.Thread(target=ask)
            asker.start()
            for _ in range(10):
                pid = os.fork()
                if pid == 0:
                    gc.collect()
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
            over.append(True)
            asker.join()
    """)
    assert err == ""


# ---- signals ----

@pytest.mark.parametrize("how", ["t.wait()", "[e for e in t.events()]", "time.sleep(60)"])
def test_ctrl_c_ends_it_at_once(site, how):
    process = start(site, f"""
        with tunnel2.serve(app, **OPTIONS) as t:
            print(t.url, flush=True)
            {how}
    """)
    assert process.stdout.readline().startswith("http")
    time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 3
    assert process.returncode == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt"), err


def test_ctrl_c_while_it_opens(site):
    process = start(site, """
        print("opening", flush=True)
        tunnel2.forward("9", **{**OPTIONS, "server": "https://127.0.0.1:9"})
    """)
    assert process.stdout.readline() == "opening\n"
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 3 and process.returncode == -signal.SIGINT, err
