"""The sessions that a control plane knows: its API over HTTPS (docs/PROTOCOL.md, 2)."""
from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from . import errors, options

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    class Where(TypedDict, total=False):
        """Of which control plane, and as whom; as for a tunnel."""

        server: str
        token: str
        token_file: options.StrPath
        ca_file: options.StrPath | None
        dev: bool
        state_dir: options.StrPath | None
        timeout: float

SERVER = "https://127.0.0.1:12002"
ANSWER_MAX = 16 * 1024 * 1024  # bytes of a page
_ERRORS = {400: errors.INVALID, 401: errors.AUTH, 403: errors.FORBIDDEN, 404: errors.NOT_FOUND, 409: errors.CONFLICT}


@dataclass(frozen=True)
class Session:
    """One that is registered."""

    session: str
    owner: str
    kind: str
    created_at: int  # seconds since 1970
    channels: int  # clients that serve it now
    active: int
    requests: int
    bytes_in: int
    bytes_out: int


class _Api:
    """Requests to one control plane."""

    def __init__(self, given: Any) -> None:
        import ssl
        resolved = options.resolve(given)
        if "token" not in resolved:
            raise errors.InvalidError(errors.INVALID, "a token is required")
        url = urlsplit(resolved.get("server", SERVER))
        if url.scheme != "https" or not url.hostname:
            raise errors.InvalidError(errors.INVALID, f"{resolved.get('server')!r}: https://HOST:PORT is taken")
        self._address = (url.hostname, url.port or 443)
        self._timeout = resolved.get("timeout", 30.0)
        self._fields = {"Authorization": f"Bearer {resolved['token']}"}
        try:
            self._tls = ssl.create_default_context(cafile=resolved.get("ca_file"))
        except OSError as error:
            raise errors.NotFoundError(errors.NOT_FOUND, f"{resolved.get('ca_file')}: {error}") from error

    def ask(self, method: str, path: str) -> Any:
        """The answer's JSON, None where it has none. Raises what a problem stands for."""
        import http.client
        import ssl
        connection = http.client.HTTPSConnection(*self._address, timeout=self._timeout, context=self._tls)
        try:
            connection.request(method, path, headers=self._fields)
            answer = connection.getresponse()
            body = answer.read(ANSWER_MAX)
            content = json.loads(body) if body else None
        except ssl.SSLError as error:
            raise errors.CertificateError(errors.CERTIFICATE, str(error)) from error
        except socket.timeout as error:
            raise errors.Timeout(errors.TIMEOUT, "the control plane does not answer") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise errors.UnavailableError(errors.UNAVAILABLE, f"no answer of the control plane: {error}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            detail = content.get("detail") if isinstance(content, dict) else None
            raise errors.error_of(_ERRORS.get(answer.status, errors.UNAVAILABLE), detail or answer.reason)
        return content


def sessions(**where: Unpack[Where]) -> list[Session]:
    """Those of the token's owner; for an admin all."""
    api, path, found = _Api(where), "/v1/sessions?limit=1000", []
    while True:
        page = api.ask("GET", path)
        for item in page.get("sessions", ()):
            found.append(Session(*(item.get(name, kind()) for name, kind in (
                ("session", str), ("owner", str), ("kind", str), ("created_at", int), ("channels", int),
                ("active", int), ("requests", int), ("bytes_in", int), ("bytes_out", int)))))
        if not page.get("next"):
            return found
        path = f"/v1/sessions?limit=1000&after={quote(page['next'], safe='')}"


def end_session(session: str, **where: Unpack[Where]) -> None:
    """Ends it: its clients are told, and its tickets are void. Raises NotFoundError where there is none."""
    _Api(where).ask("DELETE", f"/v1/sessions/{quote(session, safe='')}")
