"""Flask, FastAPI and Django, as their users write them."""
import json
import os
import re
import threading

import pytest
from websockets.sync.client import connect as ws_connect

import tunnel2
from asking import connect, get, split

MIB = 1 << 20


# ---- Flask ----

@pytest.fixture(scope="module")
def flask_tunnel(site):
    import flask
    app = flask.Flask(__name__)

    @app.get("/")
    def index():
        return f"hello {flask.request.args.get('who', 'world')}"

    @app.post("/upload")
    def upload():
        return flask.jsonify({name: len(file.read()) for name, file in flask.request.files.items()})

    @app.get("/moved")
    def moved():
        return flask.redirect(flask.url_for("index"))

    @app.get("/stream")
    def stream():
        return flask.Response((f"{i}\n" * 1000 for i in range(100)), mimetype="text/plain")

    @app.get("/broken")
    def broken():
        raise RuntimeError("broken")

    with tunnel2.serve(app, session="flask", **site.options) as tunnel:
        yield tunnel


def test_flask(flask_tunnel):
    assert get(flask_tunnel, "/?who=you").body == b"hello you"
    assert get(flask_tunnel, "/nowhere").status == 404
    assert get(flask_tunnel, "/broken").status == 500


def test_flask_finds_its_prefix(flask_tunnel):
    assert get(flask_tunnel, "/moved").fields.get("location").endswith("/session/flask/")


def test_flask_streams(flask_tunnel):
    body = get(flask_tunnel, "/stream").body
    assert body == b"".join(f"{i}\n".encode() * 1000 for i in range(100))


def test_flask_takes_a_form_in_chunks(flask_tunnel):
    form = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(MIB)
            + b"\r\n--x--\r\n")
    with connect(flask_tunnel) as client:
        client.request("POST", split(flask_tunnel, "/upload")[1], "Content-Type: multipart/form-data; boundary=x",
                       "Transfer-Encoding: chunked")
        for at in range(0, len(form), 50_000):
            piece = form[at:at + 50_000]
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        assert json.loads(client.response().body) == {"file": MIB}


# ---- FastAPI, and Starlette under it ----

@pytest.fixture(scope="module")
def fastapi_tunnel(site):
    import contextlib

    import fastapi
    from fastapi.responses import StreamingResponse
    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        seen.append("up")
        yield {"made": "at startup"}
        seen.append("down")

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/items/{number}")
    async def item(number: int, request: fastapi.Request):
        return {"number": number, "state": request.state.made, "client": request.client.host}

    @app.get("/sync")
    def sync():
        return threading.current_thread().name

    @app.post("/length")
    async def length(request: fastapi.Request):
        return sum([len(chunk) async for chunk in request.stream()])

    @app.get("/stream")
    async def stream():
        async def pieces():
            for i in range(100):
                yield f"{i}\n" * 1000
        return StreamingResponse(pieces())

    @app.get("/broken")
    async def broken():
        raise RuntimeError("broken")

    @app.websocket("/ws/{name}")
    async def ws(websocket: fastapi.WebSocket, name: str):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_json({"to": name, "text": text})

    with tunnel2.serve(app, session="fastapi", **site.options) as tunnel:
        yield tunnel
    assert seen == ["up", "down"]


def test_fastapi(fastapi_tunnel):
    answer = json.loads(get(fastapi_tunnel, "/items/7").body)
    assert answer == {"number": 7, "state": "at startup", "client": "127.0.0.1"}
    assert get(fastapi_tunnel, "/items/x").status == 422
    assert get(fastapi_tunnel, "/broken").status == 500
    assert "AnyIO" in get(fastapi_tunnel, "/sync").body.decode()


def test_fastapi_streams_both_ways(fastapi_tunnel):
    assert json.loads(get(fastapi_tunnel, "/length", body=bytes(2 * MIB), method="POST").body) == 2 * MIB
    assert get(fastapi_tunnel, "/stream").body == b"".join(f"{i}\n".encode() * 1000 for i in range(100))


def test_fastapi_documents_itself_below_its_prefix(fastapi_tunnel):
    page = get(fastapi_tunnel, "/docs").body.decode()
    assert re.search(r"url: '/session/fastapi/openapi.json'", page)


def test_fastapi_websocket(fastapi_tunnel):
    with ws_connect(fastapi_tunnel.url.replace("http", "ws", 1) + "ws/you") as client:
        client.send("hello")
        assert json.loads(client.recv(20)) == {"to": "you", "text": "hello"}


# ---- Django, both its ways ----

@pytest.fixture(scope="module")
def django_apps():
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path, reverse
    from django.views.decorators.csrf import csrf_exempt

    def index(request):
        return HttpResponse(f"hello {request.GET.get('who', 'world')} at {reverse('index')}")

    @csrf_exempt
    def length(request):
        return JsonResponse({"length": len(request.body)})

    def stream(request):
        return StreamingHttpResponse(f"{i}\n" * 1000 for i in range(100))

    urls = type("urls", (), {"urlpatterns": [path("", index, name="index"), path("length", length),
                                             path("stream", stream)]})
    settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY=os.urandom(16).hex(),
                       DATA_UPLOAD_MAX_MEMORY_SIZE=None, LOGGING_CONFIG=None)
    django.setup()
    return {"wsgi": get_wsgi_application(), "asgi": get_asgi_application()}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_django(django_apps, options, interface):
    with tunnel2.serve(django_apps[interface], session=f"django-{interface}", **options) as t:
        assert get(t, "/?who=you").body.decode() == f"hello you at /session/django-{interface}/"
        assert json.loads(get(t, "/length", body=bytes(MIB), method="POST").body) == {"length": MIB}
        assert get(t, "/stream").body == b"".join(f"{i}\n".encode() * 1000 for i in range(100))
        assert get(t, "/nowhere").status == 404
