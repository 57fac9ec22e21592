"""Asking for what is published."""
import threading
import time
from urllib.parse import urlsplit

from wire import Client, ask

DEADLINE = 20.0


def split(tunnel, path="/"):
    """(address, path) of the first public URL."""
    url = urlsplit(tunnel.url)
    return (url.hostname, url.port), url.path.rstrip("/") + path


def get(tunnel, path="/", *lines, method="GET", **options):
    address, target = split(tunnel, path)
    return ask(address, method, target, *lines, **options)


def connect(tunnel, **options):
    return Client(split(tunnel)[0], **options)


def until(condition, what):
    """condition()'s first true value."""
    end = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
        time.sleep(0.01)


def threads():
    """Names of the package's threads that are there."""
    return [t.name for t in threading.enumerate() if t.name.startswith("tunnel2")]
