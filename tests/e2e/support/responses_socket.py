"""The client's side of the protocol by hand: frames as a test wants them, and turns that are looked at closely."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field

from websockets.sync.client import connect

MODEL = "gpt-5.4"
TERMINALS = ("response.completed", "response.failed", "response.incomplete", "error")


@dataclass
class Turn:
    """The events of one turn, in order, and when each came."""

    events: list[dict] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def terminal(self) -> dict:
        return self.events[-1]

    @property
    def id(self) -> str:
        return self.terminal["response"]["id"]

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "response.output_text.delta")

    @property
    def numbers(self) -> list[int]:
        return [event["sequence_number"] for event in self.events if "sequence_number" in event]

    def look(self, lane: str | None = None) -> "Turn":
        """What must be true of every turn: one terminal and that at the end, numbers that rise, one response, one lane."""
        assert [kind for kind in self.types if kind in TERMINALS] == [self.types[-1]], self.types
        # What keeps the connection alive may have no number, or repeat the last one.
        told = [event for event in self.events if event["type"] not in ("keepalive", "response.in_progress")]
        numbers = [event["sequence_number"] for event in told if "sequence_number" in event]
        assert numbers == sorted(set(numbers)), numbers
        assert self.numbers == sorted(self.numbers), self.numbers
        if self.terminal["type"] != "error":
            assert len(numbers) == len(told), self.events
            ids = {event["response"]["id"] for event in self.events if "response" in event}
            assert len(ids) == 1, ids
            assert self.terminal["response"]["object"] == "response"
            assert self.terminal["response"]["status"] == self.terminal["type"].split(".")[1]
        assert {event.get("stream_id") for event in self.events if event["type"] != "keepalive"} == {lane}, self.events
        return self

    def completed(self, text: str | None = None, lane: str | None = None) -> "Turn":
        self.look(lane)
        assert self.terminal["type"] == "response.completed", self.terminal
        if text is not None:
            assert self.text == text
        return self

    def errs(self, status: int, code: str | None, lane: str | None = None) -> dict:
        """An `error` event, alone or at the end: what real clients act on."""
        self.look(lane)
        event = self.terminal
        assert (event["type"], event.get("status"), event.get("error", {}).get("code")) == ("error", status, code), event
        assert event["error"]["type"] and event["error"]["message"], event
        return event


class Talk:
    """One socket."""

    def __init__(self, url: str, token: str | None = None, *, headers: tuple = (), **kwargs) -> None:
        bearer = [("Authorization", f"Bearer {token}")] if token else []
        self.socket = connect(url, additional_headers=[*bearer, *headers], proxy=None, max_size=None, compression=None,
                              ping_interval=None, close_timeout=2, **kwargs)
        self.waiting: list[tuple[dict, float]] = []

    # Out ------------------------------------------------------------------------------------------------------------

    def create(self, given=None, **fields) -> "Talk":
        """One `response.create`; a field that is `...` is left out."""
        event = {"type": "response.create", "model": MODEL, **({} if given is None else {"input": given}), **fields}
        return self.say(json.dumps({name: value for name, value in event.items() if value is not ...}))

    def say(self, data: str | bytes, **kwargs) -> "Talk":
        self.socket.send(data, **kwargs)
        return self

    # In -------------------------------------------------------------------------------------------------------------

    def read(self, timeout: float = 10) -> tuple[dict, float]:
        data = self.socket.recv(timeout=timeout)
        assert isinstance(data, str), "a binary frame, which no client of this protocol takes"
        return json.loads(data), time.monotonic()

    def event(self, timeout: float = 10) -> dict:
        return (self.waiting.pop(0) if self.waiting else self.read(timeout))[0]

    def turn(self, given=None, timeout: float = 10, **fields) -> Turn:
        """Asks, if there is anything to ask, and reads until the turn's end."""
        if given is not None or fields:
            self.create(given, **fields)
        turn = Turn()
        while not turn.events or turn.types[-1] not in TERMINALS:
            event, at = self.waiting.pop(0) if self.waiting else self.read(timeout)
            turn.events.append(event)
            turn.times.append(at)
        return turn

    def turns(self, count: int, timeout: float = 10) -> list[tuple[str | None, Turn]]:
        """Reads until so many turns have ended, on whatever lanes; each with its lane, in the order of their ends."""
        going: dict[str | None, Turn] = {}
        ended = []
        self.order: list[str | None] = []
        while len(ended) < count:
            event, at = self.read(timeout)
            lane = event.get("stream_id")
            self.order.append(lane)
            turn = going.setdefault(lane, Turn())
            turn.events.append(event)
            turn.times.append(at)
            if event["type"] in TERMINALS:
                ended.append((lane, going.pop(lane)))
        assert not going, going
        return ended

    def quiet(self, seconds: float) -> bool:
        """An assertion of silence, not a wait for luck."""
        try:
            self.waiting.append(self.read(seconds))
            return False
        except TimeoutError:
            return True

    def closed(self, timeout: float = 10) -> tuple[int, str]:
        """The close code and reason; whatever came before is passed over."""
        from websockets.exceptions import ConnectionClosed

        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                self.socket.recv(timeout=max(0.01, deadline - time.monotonic()))
            except ConnectionClosed as error:
                assert error.rcvd is not None, "closed without a code"
                return error.rcvd.code, error.rcvd.reason
        raise AssertionError("not closed in time")

    def close(self) -> None:
        self.socket.close()

    def vanish(self) -> None:
        """The end of a client that says no farewell."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def said(role: str, text: str) -> dict:
    return {"type": "message", "role": role, "content": [{"type": "input_text" if role != "assistant" else "output_text", "text": text}]}
