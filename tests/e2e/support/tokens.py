"""Credentials for the tests: good ones by PyJWT, bad ones by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import jwt

# No log line, body or header of a gate may ever hold this mark; the gate fixture looks for it.
MARK = "MARKsecretMARK"
ALICE = f"alice-{MARK}-token"
BOB = f"bob-{MARK}-token"
WRONG = f"wrong-{MARK}-token"
SECRET = f"hmac-{MARK}-0123456789abcdef0123456789"
OTHER_SECRET = f"other-{MARK}-fedcba9876543210fedcba98"
ISSUER = "https://issuer.example"
AUDIENCE = "gate"

# Every JWT that a test made, so that the logs can be searched for all of them.
issued: set[str] = set()


def sha256_hex(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def sha256_hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(*, exp: float | None = 600, **more) -> dict:
    """Good claims for the test verifier; `exp` and `nbf` count from now, a claim that is None is left out."""
    now = int(time.time())
    base = {"sub": "alice", "iss": ISSUER, "aud": AUDIENCE, "exp": None if exp is None else now + int(exp)}
    if "nbf" in more and more["nbf"] is not None:
        more["nbf"] = now + int(more["nbf"])
    base.update(more)
    return {name: value for name, value in base.items() if value is not None}


def make(secret: str = SECRET, algorithm: str = "HS256", headers: dict | None = None, **kwargs) -> str:
    token = jwt.encode(claims(**kwargs), secret, algorithm=algorithm, headers=headers)
    issued.add(token)
    return token


def by_hand(payload: bytes | dict, header: bytes | dict | None = None, secret: str = SECRET, digest="sha256") -> str:
    """A token signed truly over exactly these bytes, which no library would agree to make."""
    if header is None:
        header = {"alg": "HS256", "typ": "JWT"}
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    signed = f"{b64(header)}.{b64(payload)}"
    token = f"{signed}.{b64(hmac.new(secret.encode(), signed.encode(), digest).digest())}"
    issued.add(token)
    return token


def k8s(token: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + b64(token.encode())


def phx(token: str) -> str:
    return "base64url.bearer.phx." + b64(token.encode())


def own(token: str) -> str:
    return "portcullis.bearer." + b64(token.encode())


def openai(token: str) -> str:
    return "openai-insecure-api-key." + token
