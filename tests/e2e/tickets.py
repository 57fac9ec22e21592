"""Tickets made by hand, good and bad, with the signing key of a tunneld's state directory or another."""
import base64
import hashlib
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(document):
    return b64(json.dumps(document, separators=(",", ":")).encode())


def signing_key(site):
    """tunneld's newest private key: the first in keys.pem."""
    pem = (site.state / "keys.pem").read_bytes()
    first = pem[:pem.index(b"-----END") + pem[pem.index(b"-----END"):].index(b"\n") + 1]
    return serialization.load_pem_private_key(first, None)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def kid(key):
    """The thumbprint of RFC 7638."""
    point = key.public_key().public_numbers()
    jwk = {"crv": "P-256", "kty": "EC", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
    return b64(hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest())


def es256(key, text):
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def claims(ticket):
    """What a ticket says."""
    return json.loads(unb64(ticket.split(".")[1]))


def verify(ticket, jwks):
    """Fails unless the ticket is ES256, signed by the key of the set that it names."""
    head, content, signature = ticket.split(".")
    header = json.loads(unb64(head))
    assert header["alg"] == "ES256"
    jwk, = [key for key in jwks["keys"] if key["kid"] == header["kid"]]
    x, y = (int.from_bytes(unb64(jwk[name]), "big") for name in ("x", "y"))
    raw = unb64(signature)
    assert len(raw) == 64
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(
        encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
        f"{head}.{content}".encode(), ec.ECDSA(hashes.SHA256()))


def make(key, base, header=None, **changes):
    """A ticket with the claims of base, changed (None: left out), signed by key."""
    header = {"alg": "ES256", "typ": "JWT", "kid": kid(key), **(header or {})}
    content = {k: v for k, v in {**base, **changes}.items() if v is not None}
    text = f"{compact({k: v for k, v in header.items() if v is not None})}.{compact(content)}"
    return f"{text}.{es256(key, text)}"


def now():
    return int(time.time())
