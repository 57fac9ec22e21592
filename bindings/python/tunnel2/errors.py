"""What goes wrong: the library's errors as exceptions."""
from __future__ import annotations

from ._abi import quick, text


class Error(Exception):
    """A failure with the library's code (see tunnel2/error.h): `code` -14, `name` "AUTH", `detail` a sentence."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.name = text(quick.t2_error_name(code))
        self.detail = detail or text(quick.t2_strerror(code))
        super().__init__(code, self.detail)

    def __str__(self) -> str:
        return f"{self.detail} ({self.name})"


class InvalidError(Error, ValueError):
    """An argument or an option is wrong, or not offered."""


class StateError(Error):
    """The call does not fit: what it is about has ended, or belongs to the process that forked."""


class AuthError(Error):
    """A token or ticket was missing, not accepted, or may not do this."""


class NotFoundError(Error):
    """No such session, file or directory."""


class ConflictError(Error):
    """The session or the port is somebody else's."""


class CertificateError(Error):
    """A certificate was not accepted, or a TLS handshake failed."""


class UnavailableError(Error, ConnectionError):
    """The control plane or the entry can't be reached now."""


class Timeout(Error, TimeoutError):
    """A deadline passed."""


OK, NOMEM, INVALID, STATE, LIMIT, PROTOCOL, IO, TIMEOUT = 0, -1, -2, -3, -4, -5, -6, -7
TLS, CERTIFICATE, CLOSED, CANCELLED, AUTH, FORBIDDEN, NOT_FOUND, CONFLICT = -10, -11, -12, -13, -14, -15, -16, -17
UNAVAILABLE, UNSUPPORTED = -18, -22

_CLASSES: dict[int, type[Error]] = {
    INVALID: InvalidError, UNSUPPORTED: InvalidError, STATE: StateError, TIMEOUT: Timeout, TLS: CertificateError,
    CERTIFICATE: CertificateError, AUTH: AuthError, FORBIDDEN: AuthError, NOT_FOUND: NotFoundError,
    CONFLICT: ConflictError, -8: UnavailableError, -9: UnavailableError, -12: UnavailableError, -18: UnavailableError,
    -19: AuthError, -21: UnavailableError,
}


def error_of(code: int, detail: str = "") -> Error:
    """The exception for a code, of the class that fits."""
    return _CLASSES.get(code, Error)(code, detail)


def check(code: int, detail: str = "") -> int:
    """Raises what a negative code stands for; hands on any other."""
    if code < 0:
        raise error_of(code, detail)
    return code
