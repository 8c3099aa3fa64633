"""The refusal table as the design states it, written down again: status, challenge error, close code, recovery."""

from __future__ import annotations

import json
from typing import NamedTuple

from .raw import Response


class Row(NamedTuple):
    status: int | None
    bearer: str | None  # None: no WWW-Authenticate; "": a challenge without an error
    close: int | None
    recovery: str


TABLE = {
    "host_forbidden": Row(403, None, None, "stop"),
    "origin_forbidden": Row(403, None, None, "stop"),
    "missing_credential": Row(401, "", 1008, "login"),
    "malformed_credential": Row(401, "invalid_request", 1008, "login"),
    "invalid_credential": Row(401, "invalid_token", 1008, "login"),
    "expired": Row(401, "invalid_token", 4001, "refresh"),
    "key_unknown": Row(401, "invalid_token", 4001, "refresh"),
    "keys_unavailable": Row(503, None, 1013, "retry"),
    "revoked": Row(401, "invalid_token", 4004, "login"),
    "account_disabled": Row(403, None, 4004, "login"),
    "not_yet_valid": Row(401, "invalid_token", 1013, "retry"),
    "revoked": Row(401, "invalid_token", 4004, "login"),
    "account_disabled": Row(403, None, 4004, "login"),
    "insufficient_scope": Row(403, "insufficient_scope", 4003, "stop"),
    "not_owner": Row(403, None, 4003, "stop"),
    "resource_unknown": Row(404, None, 4404, "stop"),
    "auth_timeout": Row(408, None, 1008, "retry"),
    "session_limit": Row(429, None, 4029, "retry"),
    "rate_limited": Row(429, None, 1013, "retry"),
    "failed_too_often": Row(429, None, 1013, "retry"),
    "message_too_big": Row(413, None, 1009, "stop"),
    "idle": Row(None, None, 1001, "retry"),
    "lifetime_reached": Row(None, None, 4001, "refresh"),
    "policy_changed": Row(None, None, 4001, "refresh"),
    "slow_consumer": Row(None, None, 1013, "retry"),
    "draining": Row(503, None, 1012, "retry"),
    "overloaded": Row(503, None, 1013, "retry"),
    "upstream_unreachable": Row(502, None, 1014, "retry"),
    "upstream_timeout": Row(504, None, 1014, "retry"),
}


def problem(answer: Response) -> dict:
    assert answer.header("content-type") == "application/problem+json", (answer.status, answer.headers, answer.body)
    return json.loads(answer.body)


def bearer_error(challenge: str | None) -> str | None:
    """What `Row.bearer` says of a challenge."""
    if challenge is None:
        return None
    assert challenge.startswith("Bearer "), challenge
    for part in challenge.removeprefix("Bearer ").split(","):
        name, _, value = part.strip().partition("=")
        if name == "error":
            return value.strip('"')
    return ""


def assert_denied(answer: Response, code: str) -> dict:
    """The HTTP denial of this refusal, whole: status, challenge, body."""
    row = TABLE[code]
    body = problem(answer)
    got = (answer.status, body["code"], body["status"], body["recovery"], bearer_error(answer.header("www-authenticate")))
    assert got == (row.status, code, row.status, row.recovery, row.bearer)
    assert body["type"] and body["title"]
    return body


def close_of(code: str) -> tuple[int, str]:
    """The close code and reason that tell this refusal."""
    return TABLE[code].close, code
