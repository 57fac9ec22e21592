"""A reverse tunnel: publishes a port, or an app of this process, at an address that the public can reach.

    with tunnel2.forward("localhost:8000", server="https://tunnel.example.com", token="…") as t:
        print(t.url)
        t.wait()

    tunnel2.serve(app, …)           # a WSGI or ASGI app, without a port
    await tunnel2.forward_async(…)  # and serve_async

See README.md of the package for the whole.
"""
from . import frames
from ._client import Event, Stats
from ._library import VERSION as __version__
from ._sessions import Session, end_session, sessions
from ._tunnel import EventStream, Opening, Tunnel, forward, forward_async, serve, serve_async
from .errors import (
                     AuthError,
                     CertificateError,
                     ConflictError,
                     Error,
                     InvalidError,
                     NotFoundError,
                     StateError,
                     Timeout,
                     UnavailableError,
)
from .options import Options

__all__ = [
    "AuthError", "CertificateError", "ConflictError", "Error", "Event", "EventStream", "InvalidError", "NotFoundError",
    "Opening", "Options", "Session", "StateError", "Stats", "Timeout", "Tunnel", "UnavailableError", "__version__",
    "end_session", "forward", "forward_async", "frames", "serve", "serve_async", "sessions",
]
