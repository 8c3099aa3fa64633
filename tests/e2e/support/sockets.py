"""Sessions as raw sockets: opened, alive, closed; and arrivals that are refused."""

from __future__ import annotations

import json

from . import table
from .gate import Gate
from .raw import CLOSE, TEXT, Raw, ask, close_frame, upgrade


def bearer(credential: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {credential}")]


def opened(door: Gate, headers) -> Raw:
    raw = Raw(door.port)
    raw.open("/", headers, host=door.authority)
    return raw


def admitted(door: Gate, headers) -> bool:
    with Raw(door.port) as raw:
        return raw.send(upgrade("/", headers, host=door.authority)).response().status == 101


def refusal(door: Gate, headers) -> str | None:
    """The code of the refusal; none of who is admitted."""
    answer = ask(door.port, upgrade("/", headers, host=door.authority))
    if answer.status == 101:
        return None
    code = json.loads(answer.body)["code"]
    assert answer.status == table.TABLE[code].status
    return code


def assert_refused(door: Gate, headers, code: str) -> None:
    assert refusal(door, headers) == code


def assert_alive(raw: Raw) -> None:
    raw.send_frame(TEXT, b"still here")
    assert raw.frame().payload == b"still here"


def assert_closed(raw: Raw, code: str) -> None:
    end = raw.frame()
    assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))
    raw.send(close_frame(end.code))
    assert raw.ended(timeout=5) == b""
