"""The life of ASGI apps: lifespan, on a loop of their own or of the caller's, and what is under way at the end."""
import asyncio
import functools
import threading
import time

import pytest

import tunnel2
from asking import connect, get, split, threads, until
from tunnel2 import _tunnel


async def answer(send, body):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


class App:
    """Notes its lifespan, and answers with the name of its thread."""

    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await answer(send, threading.current_thread().name.encode())
            return
        for kind in ("startup", "shutdown"):
            self.seen.append((await receive())["type"])
            await send({"type": f"lifespan.{kind}.complete"})


def test_an_app_that_does_not_start_is_an_error(options):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(tunnel2.StateError, match="no database"):
        tunnel2.serve(app, **options)
    until(lambda: threads() == [], "the threads' end")


def test_an_app_without_lifespan_is_served(options):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await answer(send, b"plain")

    with tunnel2.serve(app, **options) as t:
        assert get(t).body == b"plain"
    assert threads() == []


def test_serving_on_the_callers_loop(options):
    app = App()

    async def main():
        async with tunnel2.serve_async(app, **options) as t:
            found = await asyncio.get_running_loop().run_in_executor(None, get, t)
            assert found.body.decode() == threading.current_thread().name
            assert app.seen == ["lifespan.startup"]
        assert app.seen[-1] == "lifespan.shutdown"
        async with tunnel2.serve_async(lambda environ, start: [start("200 OK", []), b"wsgi"][1:], **options) as t:
            found = await asyncio.get_running_loop().run_in_executor(None, get, t)
            assert found.body == b"wsgi"
    asyncio.run(main())
    assert threads() == []


def test_closing_cancels_what_is_under_way(options):
    cancelled = []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    t = tunnel2.serve(app, **options)
    with connect(t) as client:
        client.request("GET", split(t)[1])
        until(lambda: t.stats().active, "the request")
        started = time.monotonic()
        t.close()
        assert time.monotonic() - started < 3
        assert client.response().status >= 500
    assert cancelled == [True] and threads() == []


class Callable3:
    def __call__(self, scope, receive, send):
        pass


def wsgi(environ, start_response):
    return []


@pytest.mark.parametrize("app, asgi", [
    (App(), True), (App().__call__, True), (functools.partial(App().__call__), True), (Callable3(), True),
    (lambda scope, receive, send: None, True), (wsgi, False), (functools.partial(wsgi), False),
    (lambda environ, start: [], False), (lambda environ, start, extra=None: [], False), (print, False)])
def test_what_an_app_speaks_is_seen_by_its_signature(app, asgi):
    assert _tunnel.is_asgi(app) is asgi
