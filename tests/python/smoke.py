"""What every supported version of Python is tried with: smoke.py SERVER STATE_DIR. The standard library alone."""
import asyncio
import logging
import sys
import urllib.request

import tunnel2

OPTIONS = {"server": sys.argv[1], "state_dir": sys.argv[2]}


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read(), b" by wsgi"]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body + b" by ", "more_body": True})
    await send({"type": "http.response.body", "body": b"asgi"})


def ask(url):
    with urllib.request.urlopen(url, data=b"asked", timeout=20) as answer:
        return answer.read()


async def coroutines():
    loop = asyncio.get_running_loop()
    async with tunnel2.serve_async(asgi, **OPTIONS) as t:
        assert await loop.run_in_executor(None, ask, t.url) == b"asked by asgi"
        async for event in t.events():
            if event.type == "ready":
                break
    t = await tunnel2.forward_async("9", **OPTIONS)
    await t.aclose(drain=1)


logging.basicConfig(level=logging.INFO)
for app in (wsgi, asgi):
    with tunnel2.serve(app, **OPTIONS) as t:
        assert ask(t.url) == b"asked by " + app.__name__.encode()
        assert t.stats().requests == 1
asyncio.run(coroutines())
frame, = tunnel2.frames.Decoder().feed(tunnel2.frames.encode(1, [(2, 3)]))
assert frame.get_number(2) == 3
try:
    tunnel2.forward("9", token="short")
except tunnel2.InvalidError as error:
    assert error.name == "INVALID"
left_open = tunnel2.serve(wsgi, **OPTIONS)
print("fine with", sys.version.split()[0])
