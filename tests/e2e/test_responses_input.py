"""Messages that are none: each is answered by an `error` event, costs the upstream nothing, and the socket serves the next."""

from __future__ import annotations

import json

import pytest

from support import responses_story as stories, tokens
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, frame
from support.responses_socket import MODEL

GOOD = json.dumps({"type": "response.create", "model": MODEL, "input": "say hi"})


def create(**fields) -> str:
    return json.dumps({"type": "response.create", "model": MODEL, **fields})


# What is sent, and the code of the answer.
MESSAGES = {
    "nothing": ("", "invalid_json"),
    "a space": (" ", "invalid_json"),
    "half an object": ('{"type": "response.create"', "invalid_json"),
    "single quotes": ("{'type': 'response.create'}", "invalid_json"),
    "more after it": (GOOD + "x", "invalid_json"),
    "two objects": (GOOD + GOOD, "invalid_json"),
    "a number that is none": (GOOD[:-1] + ', "top_p": NaN}', "invalid_json"),
    "an array": (f"[{GOOD}]", "invalid_json"),
    "a text": (json.dumps(GOOD), "invalid_json"),
    "a number": ("5", "invalid_json"),
    "null": ("null", "invalid_json"),
    "no type": (json.dumps({"model": MODEL, "input": "hi"}), "missing_required_parameter"),
    "a type that is no text": (json.dumps({"type": 5}), "invalid_value"),
    "another type": (json.dumps({"type": "response.cancel", "response_id": "resp_1"}), "invalid_value"),
    "a type of the realtime API": (json.dumps({"type": "session.update", "session": {}}), "invalid_value"),
    "the type of an answer": (json.dumps({"type": "response.completed"}), "invalid_value"),
    "input that is a number": (create(input=5), "invalid_type"),
    "input that is an object": (create(input={"role": "user"}), "invalid_type"),
    "a previous response that is a number": (create(input="hi", previous_response_id=5), "invalid_type"),
    "a thousand brackets": (create(input="@").replace('"@"', "[" * 1000 + "]" * 1000), "invalid_json"),
    "a million brackets": ("[" * 1_000_000, "invalid_json"),
    "a million objects": ('{"a":' * 1_000_000, "invalid_json"),
}


def is_error(event: dict, code: str | None) -> None:
    assert (event["type"], event["status"], event["error"]["type"]) == ("error", 400, "invalid_request_error"), event
    assert event["error"]["message"]
    assert len(json.dumps(event)) < 4096
    if code:
        assert event["error"]["code"] == code, event


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_none_is_told_so_and_the_socket_serves_the_next(bridge, name):
    message, code = MESSAGES[name]
    door = bridge()
    with door.talk() as talk:
        is_error(talk.say(message).event(), code)
        talk.turn("say hi").completed(stories.REPLY)
    assert len(door.upstream.asked) == 1


def test_a_binary_message_is_told_so_and_the_socket_serves_the_next(bridge):
    door = bridge()
    with door.talk() as talk:
        for message in (b"", b"\x00\xff", GOOD.encode()):
            is_error(talk.say(message).event(), "invalid_message")
        talk.turn("say hi").completed(stories.REPLY)
    assert len(door.upstream.asked) == 1


@pytest.mark.parametrize("data", [b"\xff", GOOD.encode() + b"\xc3", GOOD.replace("hi", "\xe4").encode("latin-1"), b"\xed\xa0\x80", b"\xf4\x90\x80\x80"], ids=repr)
def test_a_text_that_is_no_utf_8_is_told_so_and_the_socket_serves_the_next(bridge, data):
    with bridge().talk() as talk:
        is_error(talk.say(data, text=True).event(), "invalid_message")
        talk.turn("say hi").completed(stories.REPLY)


@pytest.mark.parametrize("size", [21 << 20, 200 << 20], ids=["21 MiB", "200 MiB"])
def test_a_message_that_is_too_large_is_told_so_and_kept_nowhere(bridge, size):
    door = bridge()
    with door.talk() as talk:
        before = memory(door.gate.process.pid)
        is_error(talk.say("x" * size).event(timeout=30), "message_too_large")
        assert memory(door.gate.process.pid) - before < 64 << 20
        talk.turn("say hi").completed(stories.REPLY)
        is_error(talk.say(b"x" * size).event(timeout=30), None)
        talk.turn("say hi").completed(stories.REPLY)


def memory(pid: int) -> int:
    """The largest that the process ever was, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_large_message_within_the_limit_is_a_turn(bridge):
    door = bridge()
    given = "a" * (15 << 20)
    with door.talk() as talk:
        talk.turn(given, timeout=30).completed(stories.REPLY)
    assert door.upstream.asked[0].texts() == [given]


def test_what_is_wrong_on_a_lane_is_told_on_that_lane(bridge):
    with bridge().talk() as talk:
        event = talk.say(create(input=5, stream_id="a")).event()
        is_error(event, "invalid_type")
        assert event["stream_id"] == "a"


def test_nonsense_in_mid_turn_does_not_disturb_the_turn(bridge):
    with bridge(stories.text("a b c d e f g h", pace=0.05)).talk() as talk:
        talk.create("say hi")
        assert talk.event()["type"] == "response.created"
        for message in ("{", b"\x00", "[]"):
            talk.say(message)
        events = [talk.event() for _ in range(15 + 3)]
    errors = [event for event in events if event["type"] == "error"]
    turn = [event for event in events if event["type"] != "error"]
    assert len(errors) == 3
    assert turn[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in turn] == list(range(1, len(turn) + 1))


def test_a_flood_of_nonsense_ends_no_gate(bridge):
    door = bridge()
    with door.talk() as talk:
        for _ in range(5_000):
            talk.say("{")
        for _ in range(5_000):
            is_error(talk.event(), "invalid_json")
        talk.turn("say hi").completed(stories.REPLY)


# Frames -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def raw(bridge):
    door = bridge()
    with Raw(door.gate.port) as raw:
        raw.open("/v1/responses", [("Authorization", f"Bearer {tokens.ALICE}")], host=door.gate.authority)
        yield raw


def events(raw: Raw) -> list[str]:
    """The types of a whole turn."""
    kinds: list[str] = []
    while not kinds or kinds[-1] not in ("response.completed", "error"):
        got = raw.frame()
        assert (got.opcode, got.fin, got.rsv, got.masked) == (TEXT, True, 0, False)
        kinds.append(json.loads(got.payload)["type"])
    return kinds


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_message_in_fragments_is_one_message(raw, piece):
    data = GOOD.replace("hi", "ä€\U0001f980").encode()
    pieces = [data[at:at + piece] for at in range(0, len(data), piece)]
    for at, part in enumerate(pieces):
        raw.send_frame(TEXT if at == 0 else CONTINUATION, part, fin=at == len(pieces) - 1)
        if at % 50 == 0:
            raw.send_frame(PING, b"between")
            assert (raw.frame().opcode) == PONG
    assert events(raw)[-1] == "response.completed"


def test_a_frame_in_single_bytes_is_one_message(raw):
    for byte in frame(TEXT, GOOD.encode()):
        raw.send(bytes([byte]))
    assert events(raw)[-1] == "response.completed"


def test_a_ping_is_answered_with_what_it_said(raw):
    raw.send_frame(PING, b"are you there")
    got = raw.frame()
    assert (got.opcode, got.payload) == (PONG, b"are you there")


VIOLATIONS = {
    "no mask": lambda: frame(TEXT, GOOD.encode(), mask=None),
    "a reserved bit": lambda: frame(TEXT, GOOD.encode(), rsv=4),
    "an unknown opcode": lambda: frame(3, b"x"),
    "a continuation of nothing": lambda: frame(CONTINUATION, b"x"),
    "a text within a text": lambda: frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "a ping in fragments": lambda: frame(PING, b"x", fin=False),
    "a long ping": lambda: frame(PING, b"x" * 126),
    "a close of one byte": lambda: frame(CLOSE, b"x"),
    "a length beyond 63 bits": lambda: b"\x81\xff" + b"\xff" * 8 + b"\0" * 4,
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_violation_of_framing_ends_the_socket_as_a_protocol_error(raw, what):
    raw.send(VIOLATIONS[what]())
    end = raw.frame()
    assert (end.opcode, end.code) in ((CLOSE, 1002), (CLOSE, 1009)), end
    raw.send_frame(CLOSE, end.payload[:2])
    assert raw.ended(timeout=5) == b""


def test_a_binary_message_in_fragments_is_told_once(raw):
    raw.send_frame(BINARY, b"x", fin=False).send_frame(CONTINUATION, b"y", fin=False).send_frame(CONTINUATION, b"z")
    assert events(raw) == ["error"]
    raw.send_frame(TEXT, GOOD.encode())
    assert events(raw)[-1] == "response.completed"
