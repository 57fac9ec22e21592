"""serve with WSGI apps: what they are given, what they answer, streaming both ways, and what goes wrong."""
import hashlib
import io
import json
import logging
import threading
import time
import wsgiref.validate

import pytest

import tunnel2
from asking import connect, get, split, until
from tunnel2._wsgi import host_and_port

MIB = 1 << 20


class App:
    """Routes by the first segment of a path to a function (environ, start_response)."""

    def __init__(self):
        self.gate = threading.Event()
        self.noted = []

    def __call__(self, environ, start_response):
        return getattr(self, environ["PATH_INFO"].split("/")[1] or "hello")(environ, start_response)

    @staticmethod
    def hello(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2")])
        return [b"hello"]

    @staticmethod
    def environ(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]

    @staticmethod
    def digest(environ, start_response):
        digest, n = hashlib.sha256(), 0
        while data := environ["wsgi.input"].read(100_000):
            digest.update(data)
            n += len(data)
        start_response("200 OK", [])
        return [f"{n} {digest.hexdigest()}".encode()]

    @staticmethod
    def lines(environ, start_response):
        start_response("200 OK", [])
        return [b"|".join(line.rstrip() for line in environ["wsgi.input"])]

    @staticmethod
    def echo(environ, start_response):
        start_response("200 OK", [])
        return iter(lambda: environ["wsgi.input"].read1(65536), b"")

    def slow(self, environ, start_response):
        write = start_response("200 OK", [])
        write(b"first")
        assert self.gate.wait(20)
        return [b"second"]

    def endless(self, environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                self.noted.append(time.monotonic())
                yield b"x" * 65536
        finally:
            self.noted.append("closed")

    @staticmethod
    def broken(environ, start_response):
        raise RuntimeError("it is broken")

    @staticmethod
    def breaks(environ, start_response):
        start_response("200 OK", [])
        yield b"x" * 10
        raise RuntimeError("it breaks")

    @staticmethod
    def changes_its_mind(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            import sys
            start_response("418 Teapot", [("X-Mind", "changed")], sys.exc_info())
        return [b"short and stout"]

    @staticmethod
    def wrong_length(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        return [b"x" * 5]

    @staticmethod
    def wrong_field(environ, start_response):
        start_response("200 OK", [("X-Injected", "a\r\nb: c")])
        return [b"never"]

    @staticmethod
    def nothing(environ, start_response):
        start_response("204 No Content", [])
        return []

    @staticmethod
    def no_start(environ, start_response):
        return [b"never"]

    @staticmethod
    def unread(environ, start_response):
        start_response("403 Forbidden", [])
        return [b"not read"]


@pytest.fixture(scope="module")
def app():
    return App()


@pytest.fixture(scope="module")
def t(site, app):
    with tunnel2.serve(app, session="wsgi", threads=4, **site.options) as tunnel:
        yield tunnel


def is_cut(answer):
    """Not whole; or, where the entry had not passed on anything yet, a problem of its own."""
    return not answer.whole or answer.status == 502


def test_a_simple_answer(t):
    answer = get(t)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.fields.get("content-length") == "5" and answer.fields.all("x-twice") == ["1", "2"]


def test_the_environ(t):
    (host, port), _ = split(t)
    answer = get(t, "/environ/a%20b%2Fc?q=1&r=%20", "X-Some: a", "X-Some: b", "Cookie: a=1", "Proxy: evil",
                 "X_Some: evil", "Content-Type: text/x", host=f"{host}:{port}", body=b"12345", method="POST")
    environ = json.loads(answer.body)
    expected = {"REQUEST_METHOD": "POST", "PATH_INFO": "/environ/a b/c", "QUERY_STRING": "q=1&r=%20",
                "SCRIPT_NAME": "/session/wsgi", "HTTP_X_SOME": "a, b", "HTTP_COOKIE": "a=1", "CONTENT_LENGTH": "5",
                "CONTENT_TYPE": "text/x", "SERVER_NAME": host, "SERVER_PORT": str(port), "wsgi.url_scheme": "http",
                "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": f"{host}:{port}"}
    assert {k: environ.get(k) for k in expected} == expected
    assert "HTTP_PROXY" not in environ and environ["tunnel2.request_id"] == environ["HTTP_X_REQUEST_ID"]


@pytest.mark.parametrize("authority, scheme, expected", [
    ("a.example", "http", ("a.example", "80")), ("a.example", "https", ("a.example", "443")),
    ("a.example:8080", "http", ("a.example", "8080")), ("[::1]:8080", "http", ("[::1]", "8080")),
    ("[::1]", "http", ("[::1]", "80")), ("", "http", ("", "80"))])
def test_host_and_port(authority, scheme, expected):
    assert host_and_port(authority, scheme) == expected


def test_it_keeps_to_the_specification(site):
    """wsgiref's validator stands between."""
    def app(environ, start_response):
        body = environ["wsgi.input"].read(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"valid ", body]

    with tunnel2.serve(wsgiref.validate.validator(app), **site.options) as t:
        assert get(t, body=b"0123456789", method="POST").body == b"valid 0123456789"


@pytest.mark.parametrize("size", [0, 1, 65536, 5 * MIB])
def test_content_comes_whole(t, size):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    answer = get(t, "/digest", body=body, method="POST")
    assert answer.body.decode() == f"{size} {hashlib.sha256(body).hexdigest()}"


def test_content_by_lines_and_in_chunks(t):
    with connect(t) as client:
        client.request("POST", split(t, "/lines")[1], "Transfer-Encoding: chunked")
        for piece in (b"one\ntw", b"o\nthree"):
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"one|two|three"


def test_streaming_both_ways_at_once(t):
    """What comes is sent back before the rest has come."""
    with connect(t) as client:
        client.request("POST", split(t, "/echo")[1], "Transfer-Encoding: chunked")
        client.send(b"3\r\nabc\r\n")
        response = client.final_head()
        pieces = client.pieces(response)
        assert next(pieces) == b"abc"
        client.send(b"3\r\ndef\r\n0\r\n\r\n")
        assert b"".join(pieces) == b"def"


def test_what_is_written_is_sent_at_once(t, app):
    app.gate.clear()
    with connect(t) as client:
        client.request("GET", split(t, "/slow")[1])
        pieces = client.pieces(client.final_head())
        assert next(pieces) == b"first"
        app.gate.set()
        assert b"".join(pieces) == b"second"


def test_an_app_waits_for_who_reads_slowly_and_ends_when_they_go(t, app):
    app.noted.clear()
    with connect(t, receive_buffer=4096) as client:
        client.request("GET", split(t, "/endless")[1])
        client.final_head()

        def stands_still():
            n = len(app.noted)
            time.sleep(0.3)
            return n and len(app.noted) == n
        until(stands_still, "the app's wait")
        assert len(app.noted) * 65536 < 16 * MIB
    until(lambda: app.noted[-1] == "closed", "the app's end")


def test_head_and_no_content(t):
    answer = get(t, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert get(t, "/nothing").status == 204


def test_an_exception_is_a_500_and_logged(t, caplog):
    for path in ("/broken", "/no_start"):
        caplog.clear()
        answer = get(t, path)
        assert answer.status == 500 and b"broken" not in answer.body
        record = next(r for r in caplog.records if r.name == "tunnel2.serve")
        assert record.levelno == logging.ERROR and record.exc_info and path in record.getMessage()


def test_an_exception_after_the_head_cuts_the_answer(t, caplog):
    answer = get(t, "/breaks")
    assert is_cut(answer)
    assert any(r.exc_info for r in caplog.records)


def test_start_response_again_with_exc_info(t):
    answer = get(t, "/changes_its_mind")
    assert answer.status == 418 and answer.fields.get("x-mind") == "changed" and answer.body == b"short and stout"


def test_a_field_that_is_none_is_a_500(t, caplog):
    answer = get(t, "/wrong_field")
    assert answer.status == 500 and "b" not in answer.fields
    assert "INVALID" in caplog.text


def test_content_that_is_too_short_is_cut(t, caplog):
    assert is_cut(get(t, "/wrong_length"))
    until(lambda: "INVALID" in caplog.text, "the log")


def test_content_that_is_not_read(t):
    answer = get(t, "/unread", body=b"x" * 1000, method="POST")
    assert (answer.status, answer.body) == (403, b"not read")


def test_many_at_once(t):
    problems = []

    def some():
        with connect(t) as client:
            for i in range(50):
                body = b"%d" % i * 10
                if client.ask("POST", split(t, "/digest")[1], body=body).body.split()[0] != b"%d" % len(body):
                    problems.append(i)
    askers = [threading.Thread(target=some) for _ in range(16)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert not problems


def test_an_upgrade_is_answered_as_any_request(t):
    answer = get(t, "/hello", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    assert (answer.status, answer.body) == (200, b"hello")


def test_closing_does_not_wait_for_the_app(site):
    gate = threading.Event()

    def app(environ, start_response):
        gate.wait(20)
        start_response("200 OK", [])
        return [b"late"]

    t = tunnel2.serve(app, **site.options)
    with connect(t) as client:
        client.request("GET", split(t)[1])
        until(lambda: t.stats().active, "the request")
        started = time.monotonic()
        t.close()
        assert time.monotonic() - started < 3
        assert client.response().status >= 500
    gate.set()


def test_draining_waits_for_the_app(site):
    gate = threading.Event()

    def app(environ, start_response):
        gate.wait(20)
        start_response("200 OK", [])
        return [b"in time"]

    with connect(t := tunnel2.serve(app, **site.options)) as client:
        client.request("GET", split(t)[1])
        until(lambda: t.stats().active, "the request")
        threading.Timer(0.3, gate.set).start()
        t.close(drain=20)
        assert client.response().body == b"in time"


def test_what_is_no_app_is_a_type_error():
    with pytest.raises(TypeError):
        tunnel2.serve(io.StringIO(), token="t" * 20)
    with pytest.raises(ValueError, match="cgi"):
        tunnel2.serve(App.hello, interface="cgi", token="t" * 20)
    with pytest.raises(tunnel2.InvalidError):
        tunnel2.serve(App.hello, kind="tcp", token="t" * 20)
