"""A capture of real sessions: every byte that the client received, parsed by hand, while the gate puts a close of its own in."""

from __future__ import annotations

import pytest

from support import configs, tokens
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, Closed, Raw, close_frame, frame, parse_frames
from support.upstreams import Connection

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]


class Talker:
    """An upstream that talks without a pause in frames of many sizes, cut into segments that end where no frame ends."""

    SIZES = (0, 1, 125, 126, 127, 1000, 65535, 65536, 300_000)

    def __init__(self) -> None:
        self.said = bytearray()

    def __call__(self, connection: Connection) -> None:
        connection.accept()
        number = 0
        pending = bytearray()
        try:
            while True:
                size = self.SIZES[number % len(self.SIZES)]
                payload = bytes([number % 251]) * size
                # Every third message comes in two fragments, so that a close may also fall between them.
                if number % 3 == 0:
                    piece = frame(BINARY, payload, fin=False, mask=None) + frame(CONTINUATION, payload, mask=None)
                else:
                    piece = frame(BINARY, payload, mask=None)
                pending += piece
                number += 1
                while len(pending) > 4099:
                    connection.send(bytes(pending[:4099]))
                    self.said += pending[:4099]
                    del pending[:4099]
        except OSError:
            return


ENDS = {
    "lifetime": ({"lifetime": "1s"}, 4001, "lifetime_reached"),
    "expiry": ({}, 4001, "expired"),
    "drain": ({}, 1012, "draining"),
}


@pytest.mark.parametrize("how", ENDS)
def test_an_injected_close_lies_between_frames(gate, files, raw_upstream, how):
    session, code, reason = ENDS[how]
    talker = Talker()
    door = gate(configs.base(files, raw_upstream(talker).url, session={"ping": "300ms", **session}))
    bearer = BEARER if how != "expiry" else [("Authorization", f"Bearer {tokens.make(exp=2)}")]
    with Raw(door.port) as raw:
        raw.open("/", bearer, host=door.authority)
        raw.received[: raw.received.index(b"\r\n\r\n") + 4] = b""
        asked = False
        try:
            while True:
                # A client that answers no ping would end as idle.
                got = raw.frame()
                if got.opcode == PING:
                    raw.send_frame(PONG, got.payload)
                if how == "drain" and not asked and len(raw.received) > 8 << 20:
                    door.drain()
                    asked = True
        except (Closed, OSError):
            pass
        capture = bytes(raw.received)
    if how == "drain":
        assert door.process.wait(10) == 0

    frames, rest = parse_frames(capture)
    assert rest == b"", "the capture ends in the middle of a frame"
    at, last = frames[-1]
    assert (last.opcode, last.code, last.reason, last.masked) == (CLOSE, code, reason, False)
    assert [f.opcode for _, f in frames].count(CLOSE) == 1
    # What is left when the gate's own frames are cut out is, byte for byte, what the upstream said.
    passed = b"".join(capture[start:end] for (start, f), end in zip(frames, ends(frames, capture)) if f.opcode not in (CLOSE, PING, PONG))
    assert len(passed) > 1 << 20
    assert bytes(talker.said[: len(passed)]) == passed or talker_prefix(len(passed)) == passed
    if how == "lifetime":
        assert PING in [f.opcode for _, f in frames]


def ends(frames, capture: bytes) -> list[int]:
    return [start for start, _ in frames[1:]] + [len(capture)]


def talker_prefix(size: int) -> bytes:
    """What the talker says, made again, for the last send may not have returned before the cut."""
    said, number = bytearray(), 0
    while len(said) < size:
        length = Talker.SIZES[number % len(Talker.SIZES)]
        payload = bytes([number % 251]) * length
        if number % 3 == 0:
            said += frame(BINARY, payload, fin=False, mask=None) + frame(CONTINUATION, payload, mask=None)
        else:
            said += frame(BINARY, payload, mask=None)
        number += 1
    return bytes(said[:size])
