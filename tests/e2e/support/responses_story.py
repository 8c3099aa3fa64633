"""What a model does with one request, as data: told by the scripted upstream, and by a mock as a scene."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace

REPLY = "The model says moonstone."

# Stands for the id of a response's message: no two responses have the same, and the teller fills it in.
MESSAGE = "msg_of_this_response"

USAGE = {
    "input_tokens": 42,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 49,
}


@dataclass(frozen=True)
class Story:
    """Steps that are taken in order. `kind` and `told` say the same once more, for who writes scenes of it."""

    kind: str
    told: dict
    steps: tuple = field(repr=False)

    def then(self, *steps) -> "Story":
        return replace(self, kind="own", steps=(*self.steps, *steps))

    def before(self, *steps) -> "Story":
        return replace(self, kind="own", steps=(*steps, *self.steps))


# Steps ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refuse:
    """An HTTP status with a body, in place of a stream; on a socket an `error` event."""

    status: int
    body: object
    headers: tuple = ()


@dataclass(frozen=True)
class Event:
    """One event. The teller fills in `sequence_number`, and of a response its id and its model."""

    data: dict


@dataclass(frozen=True)
class Bytes:
    """These bytes and no others, where a stream of events is expected."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Silence, until it is over or the other side leaves."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """Silence, until this is set or the other side leaves."""

    event: threading.Event


@dataclass(frozen=True)
class Stop:
    """The connection ends: in good order, or with a reset."""

    reset: bool = False


@dataclass(frozen=True)
class Plain:
    """A whole body of JSON, in place of a stream."""

    body: object
    status: int = 200
    kind: str = "application/json"


# Stories --------------------------------------------------------------------------------------------------------------


def text(reply: str = REPLY, *, think: float = 0, pace: float = 0, usage: dict | None = USAGE) -> Story:
    """A message. `think` is the silence between `response.in_progress` and the first output, `pace` that before each delta."""
    steps = (*started(), *silence(think), *message(reply, pace), completed([message_item(reply)], usage))
    return Story("text", {"text": reply, "think": think, "pace": pace, "usage": usage}, steps)


def call(name: str, arguments: dict, call_id: str = "call_1", usage: dict | None = USAGE) -> Story:
    """A function call."""
    written = json.dumps(arguments)
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": "", "status": "in_progress"}
    done = {**item, "arguments": written, "status": "completed"}
    place = {"item_id": item["id"], "output_index": 0}
    steps = (
        *started(),
        Event({"type": "response.output_item.added", "output_index": 0, "item": item}),
        Event({"type": "response.function_call_arguments.delta", **place, "delta": written}),
        Event({"type": "response.function_call_arguments.done", **place, "name": name, "arguments": written}),
        Event({"type": "response.output_item.done", "output_index": 0, "item": done}),
        completed([done], usage),
    )
    return Story("call", {"name": name, "arguments": arguments, "call_id": call_id, "usage": usage}, steps)


def refused(status: int, code: str | None = None, message: str = "It does not please me.", kind: str = "invalid_request_error",
            param: str | None = None, headers: tuple = ()) -> Story:
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Story("refused", {"status": status, **body, "headers": dict(headers)}, (Refuse(status, body, headers),))


def refused_with(status: int, body: object, headers: tuple = ()) -> Story:
    """A status with a body that is none of the API's."""
    return Story("refused", {"status": status, "body": body, "headers": dict(headers)}, (Refuse(status, body, headers),))


def unknown_previous(given: str) -> Story:
    return refused(400, "previous_response_not_found", f"Previous response with id '{given}' not found.", param="previous_response_id")


def failed(code: str, message: str = "It went wrong.", after: str | None = None) -> Story:
    """`response.failed`, perhaps after a message."""
    end = Event({"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": message}}})
    return Story("failed", {"code": code, "message": message, "after": after}, (*started(), *(message_of(after)), end))


def incomplete(reason: str, after: str | None = "Not all of") -> Story:
    end = Event({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": reason}, "usage": USAGE}})
    return Story("incomplete", {"reason": reason, "after": after}, (*started(), *(message_of(after)), end))


def flat_error(code: str | None = "server_error", message: str = "The server had an error.", after: str | None = None) -> Story:
    """The `error` event of a stream: flat, without a status, and the last one."""
    end = Event({"type": "error", "code": code, "message": message, "param": None})
    return Story("flat error", {"code": code, "message": message, "after": after}, (*started(), *(message_of(after)), end))


def without_end(after: str | None = "The model says") -> Story:
    """A stream that ends in good order, without a terminal event."""
    return Story("without end", {"after": after}, (*started(), *(message_of(after))))


def reset_in_mid_stream(after: str | None = "The model says") -> Story:
    return Story("reset", {"after": after}, (*started(), *(message_of(after)), Stop(reset=True)))


def reset_before_head() -> Story:
    return Story("reset before head", {}, (Stop(reset=True),))


def silent(after: str | None = None, before_head: bool = False, seconds: float = 60) -> Story:
    """Says nothing any more: before the head, or after what was said so far."""
    steps = (Wait(seconds),) if before_head else (*started(), *(message_of(after)), Wait(seconds))
    return Story("silent", {"after": after, "before_head": before_head, "seconds": seconds}, steps)


def plain_json(body: object = None) -> Story:
    """200 with a whole response where a stream was asked for."""
    whole = {"id": "resp_plain", "object": "response", "status": "completed", "output": [message_item(REPLY)], "usage": USAGE}
    return Story("plain json", {"body": body or whole}, (Plain(body or whole),))


# Their parts ----------------------------------------------------------------------------------------------------------


def started() -> tuple:
    return (Event({"type": "response.created", "response": {"status": "in_progress"}}),
            Event({"type": "response.in_progress", "response": {"status": "in_progress"}}))


def silence(seconds: float) -> tuple:
    return (Wait(seconds),) if seconds else ()


def message_of(reply: str | None) -> tuple:
    """A message that was begun."""
    return () if reply is None else tuple(message(reply, 0)[:-3])


def message(reply: str, pace: float) -> list:
    place = {"item_id": MESSAGE, "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    steps: list = [
        Event({"type": "response.output_item.added", "output_index": 0, "item": {**message_item(""), "status": "in_progress", "content": []}}),
        Event({"type": "response.content_part.added", **place, "part": empty}),
    ]
    for piece in pieces(reply):
        steps += [*silence(pace), Event({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []})]
    return steps + [
        Event({"type": "response.output_text.done", **place, "text": reply, "logprobs": []}),
        Event({"type": "response.content_part.done", **place, "part": {**empty, "text": reply}}),
        Event({"type": "response.output_item.done", "output_index": 0, "item": message_item(reply)}),
    ]


def pieces(reply: str) -> list[str]:
    """Words with the spaces before them."""
    words = reply.split(" ")
    return [words[0], *(" " + word for word in words[1:])]


def message_item(reply: str) -> dict:
    part = {"type": "output_text", "text": reply, "annotations": [], "logprobs": []}
    return {"id": MESSAGE, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def completed(output: list, usage: dict | None) -> Event:
    return Event({"type": "response.completed", "response": {"status": "completed", "output": output, "usage": usage}})
