"""Stands where api.openai.com stands: `POST /v1/responses` over HTTP/1.1, and the same API on a WebSocket.

As the real one does with `store = false`, it remembers nothing between requests, and it refuses what the real one refuses: fields that
it does not know (`generate` and `stream_id` are fields of a socket only), a `previous_response_id`, the output of a function that was not
called, an item that is there twice. What it says otherwise is told by stories. It keeps every request, byte by byte, with the moments at which it
came and at which the other side left.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import re
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Callable

from . import responses_story as stories
from .process import eventually
from .raw import CLOSE, CONTINUATION, PING, TEXT, Closed, accept_for, frame
from .responses_story import Bytes, Event, Plain, Refuse, Stop, Story, Until, Wait
from .upstreams import Connection, TcpUpstream

KNOWN = {
    "background", "client_metadata", "context_management", "conversation", "include", "input", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature",
    "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
}
ONLY_ON_A_SOCKET = {"type", "generate", "stream_id"}


@dataclass
class Asked:
    """One request, or one frame of a socket."""

    head: str
    headers: dict[str, str]
    raw: bytes
    body: dict | None
    at: float
    left_at: float | None = None
    # How many events have been written.
    told: int = 0
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def input(self) -> list | str | None:
        return self.body.get("input")

    def texts(self) -> list[str]:
        """Every text of the input's messages, in order."""
        found = []
        for item in self.input if isinstance(self.input, list) else [{"content": self.input}]:
            content = item.get("content") or []
            found += [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]
        return found

    def wait_left(self, timeout: float = 10) -> float:
        """When the other side left before it was told everything."""
        return eventually(lambda: self.left_at, timeout, every=0.002, what="the end of the request by the other side")


class Left(Exception):
    """The other side is gone."""


class Upstream:
    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.asked: list[Asked] = []
        self.upgrades: list[dict[str, str]] = []
        self.chooser: Callable[[dict], Story] | None = None
        self._told: deque[Story] = deque()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self.server = TcpUpstream(self._serve)
        self.port = self.server.port
        self.url = f"{self.server.url}/v1"
        self.ws_url = f"ws://127.0.0.1:{self.port}/v1"

    # What it is told ------------------------------------------------------------------------------------------------

    def tell(self, *told: Story) -> "Upstream":
        """What is answered next, a story for each request; after them comes `stories.text()` again."""
        self._told.extend(told)
        return self

    def choose(self, chooser: Callable[[dict], Story]) -> "Upstream":
        """What is answered, by the request's body."""
        self.chooser = chooser
        return self

    def wait_asked(self, count: int, timeout: float = 10) -> Asked:
        """The request of this number, from 1."""
        eventually(lambda: len(self.asked) >= count, timeout, every=0.002, what=f"request {count} at the upstream")
        return self.asked[count - 1]

    def close(self) -> None:
        self.server.close()

    # What it does ---------------------------------------------------------------------------------------------------

    def _story(self, body: dict) -> Story:
        with self._lock:
            if self._told:
                return self._told.popleft()
        return self.chooser(body) if self.chooser else stories.text()

    def _serve(self, connection: Connection) -> None:
        connection.timeout = 120
        connection.sock.settimeout(120)
        while True:
            head = connection.read_request().decode("latin-1")
            headers = {name.lower(): value for name, value in connection.headers()}
            if "sec-websocket-key" in headers:
                self.upgrades.append(headers)
                return Socket(self, connection, head, headers).serve()
            if headers.get("expect") == "100-continue":
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            raw = b"".join(connection.chunks()) if headers.get("transfer-encoding") else connection.read(int(headers.get("content-length", 0)))
            asked = Asked(head, headers, raw, parsed(raw), time.monotonic())
            with self._lock:
                self.asked.append(asked)
            try:
                teller = Stream(self, connection, asked)
                self._answer(teller, head, headers, asked.body)
            except (Left, Closed, OSError):
                asked.left_at = asked.left_at or time.monotonic()
                return
            finally:
                asked.answered.set()

    def _answer(self, teller: "Stream", head: str, headers: dict, body: dict | None) -> None:
        method, path, _ = head.split(" ", 2)
        if (method, path.split("?")[0]) != ("POST", "/v1/responses"):
            return teller.tell(stories.refused(404, message=f"Invalid URL ({method} {path})"))
        if refusal := self.refuses(headers) or objection(body, set(), on_a_socket=False):
            return teller.tell(refusal)
        teller.tell(self._story(body))

    def refuses(self, headers: dict) -> Story | None:
        if self.key is None or headers.get("authorization") == f"Bearer {self.key}":
            return None
        return stories.refused(401, "invalid_api_key", "Incorrect API key provided.")

    def new_id(self) -> str:
        return f"resp_{next(self._ids):032x}"


def parsed(raw: bytes) -> dict | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def objection(body: dict | None, known_ids: set[str], on_a_socket: bool) -> Story | None:
    """What the real one refuses before it does anything."""
    if body is None:
        return stories.refused(400, message="We could not parse the JSON body of your request.")
    for name in body:
        if name not in KNOWN and not (on_a_socket and name in ONLY_ON_A_SOCKET):
            return stories.refused(400, "unknown_parameter", f"Unknown parameter: '{name}'.", param=name)
    if not isinstance(body.get("model"), str):
        return stories.refused(400, "missing_required_parameter", "Missing required parameter: 'model'.", param="model")
    previous = body.get("previous_response_id")
    if previous is not None and previous not in known_ids:
        return stories.unknown_previous(previous)
    return objection_to_input(body.get("input"), previous)


def objection_to_input(given: object, previous: str | None) -> Story | None:
    items = given if isinstance(given, list) else []
    called = {item.get("call_id") for item in items if item.get("type") == "function_call"}
    for item in items:
        if item.get("type") == "function_call_output" and item["call_id"] not in called and previous is None:
            return stories.refused(400, message=f"No tool call found for function call output with call_id {item['call_id']}.", param="input")
    ids = [item["id"] for item in items if item.get("id")]
    for twice in {name for name in ids if ids.count(name) > 1}:
        return stories.refused(400, message=f"Duplicate item found with id {twice}. Remove duplicate items from your input and try again.", param="input")
    return None


def objection_to_lane(body: dict, names: set) -> Story | None:
    if "stream_id" not in body:
        return None
    name = body["stream_id"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name):
        return stories.refused(400, "invalid_stream_id", "Invalid 'stream_id'.", param="stream_id")
    if name not in names and len(names - {None}) >= 32:
        return stories.refused(400, "websocket_stream_limit_reached", "There are 32 streams on this connection.", param="stream_id")
    return None


class Teller:
    """Tells one story, with the numbers and names of its response filled in."""

    def __init__(self, upstream: Upstream, asked: Asked) -> None:
        self.asked = asked
        self.id = upstream.new_id()
        self.numbers = itertools.count()
        self.ended = False

    def tell(self, story: Story) -> None:
        for step in story.steps:
            self.take(step)
        if not self.ended:
            self.finish()

    def take(self, step) -> None:
        match step:
            case Event(data):
                self.event(self.filled(data))
            case Wait(seconds):
                self.wait(seconds)
            case Until(event):
                while not event.is_set():
                    self.wait(0.01)
            case Refuse() | Plain() | Bytes() | Stop():
                getattr(self, type(step).__name__.lower())(step)
            case _:
                raise AssertionError(f"no step: {step}")

    def filled(self, data: dict) -> dict:
        event = {"sequence_number": next(self.numbers), **data} if "sequence_number" not in data else dict(data)
        if isinstance(event.get("response"), dict):
            event["response"] = {**whole_response(self.id, self.asked.body), **event["response"]}
        message = self.id.replace("resp_", "msg_")
        return json.loads(json.dumps(event).replace(stories.MESSAGE, message))


def whole_response(name: str, body: dict) -> dict:
    """A response as the API shows it at any time."""
    return {
        "id": name, "object": "response", "created_at": int(time.time()), "status": "in_progress", "background": False, "error": None,
        "incomplete_details": None, "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {}, "model": body.get("model"), "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True), "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"), "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default", "store": body.get("store", True), "temperature": 1.0, "text": {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools", []), "top_p": 1.0, "truncation": "disabled",
        "usage": None, "user": None,
    }


class Stream(Teller):
    """Over HTTP: server-sent events where `stream` is true, else the whole response at the end."""

    def __init__(self, upstream: Upstream, connection: Connection, asked: Asked) -> None:
        super().__init__(upstream, asked)
        self.connection = connection
        self.streams = bool(asked.body and asked.body.get("stream"))
        self.headed = False
        self.last: dict | None = None

    def event(self, event: dict) -> None:
        self.last = event
        if self.streams:
            self.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.asked.told += 1

    def write(self, data: bytes) -> None:
        if not self.headed:
            self.head(200, (("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")))
        self.connection.send(b"%x\r\n%s\r\n" % (len(data), data))

    def head(self, status: int, headers: tuple) -> None:
        self.headed = True
        lines = [f"HTTP/1.1 {status} X", f"x-request-id: req_{self.id[5:]}", "openai-version: 2020-10-01", *(f"{k}: {v}" for k, v in headers)]
        self.connection.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def finish(self) -> None:
        self.ended = True
        if not self.streams and not self.headed:
            return self.whole(200, (self.last or {}).get("response", {}), "application/json")
        if not self.headed:
            self.write(b": nothing\n\n")
        self.connection.send(b"0\r\n\r\n")

    def whole(self, status: int, body: object, kind: str, headers: tuple = ()) -> None:
        self.ended = True
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.head(status, (("content-type", kind), ("content-length", str(len(data))), *headers))
        self.connection.send(data)

    def refuse(self, step: Refuse) -> None:
        kind = "text/plain" if isinstance(step.body, (str, bytes)) else "application/json"
        self.whole(step.status, step.body, kind, step.headers)

    def plain(self, step: Plain) -> None:
        self.whole(step.status, step.body, step.kind)

    def bytes(self, step: Bytes) -> None:
        self.write(step.data)

    def stop(self, step: Stop) -> None:
        self.ended = True
        self.connection.reset() if step.reset else self.connection.close()
        raise Closed

    def wait(self, seconds: float) -> None:
        """The other side says nothing while it is answered, so that whatever can be read is its end."""
        # Not `select`, which knows no descriptors from 1024 on: a long run has more.
        poll = select.poll()
        poll.register(self.connection.sock, select.POLLIN)
        if poll.poll(seconds * 1000):
            with contextlib.suppress(OSError):
                assert self.connection.sock.recv(1) == b"", "another request before the answer to the first"
            self.asked.left_at = time.monotonic()
            raise Left


class Socket:
    """Over WebSocket: the same API with its lanes, its memory and its error events."""

    def __init__(self, upstream: Upstream, connection: Connection, head: str, headers: dict) -> None:
        self.upstream, self.connection, self.head, self.headers = upstream, connection, head, headers
        self.gone = threading.Event()
        self.sending = threading.Lock()
        self.lanes: dict[str | None, queue.Queue] = {}
        self.in_flight = threading.Semaphore(16)
        # As the real one: of each lane its last response.
        self.last: dict[str | None, str] = {}

    def serve(self) -> None:
        if refusal := self.upstream.refuses(self.headers):
            [step] = refusal.steps
            body = json.dumps(step.body).encode()
            self.connection.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            return
        accept = accept_for(self.headers["sec-websocket-key"])
        self.connection.send(
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        try:
            for data in self.messages():
                self.take(data)
        finally:
            self.left_at = time.monotonic()
            self.gone.set()

    def messages(self):
        whole = b""
        while True:
            got = self.connection.frame()
            if got.opcode == PING:
                self.say(frame(0xA, got.payload, mask=None))
            elif got.opcode == CLOSE:
                self.say(frame(CLOSE, got.payload[:2], mask=None))
                return
            elif got.opcode in (TEXT, CONTINUATION):
                whole += got.payload
                if got.fin:
                    yield whole
                    whole = b""

    def say(self, data: bytes) -> None:
        with self.sending:
            self.connection.send(data)

    def event(self, event: dict) -> None:
        self.say(frame(TEXT, json.dumps(event).encode(), mask=None))

    def take(self, data: bytes) -> None:
        asked = Asked(self.head, self.headers, data, parsed(data), time.monotonic())
        with self.upstream._lock:
            self.upstream.asked.append(asked)
        if asked.body is None or asked.body.get("type") != "response.create":
            return self.steer_or_refuse(asked)
        lane = asked.body.get("stream_id")
        if refusal := objection_to_lane(asked.body, set(self.lanes)):
            return Frames(self, asked).tell(refusal)
        if lane not in self.lanes:
            self.lanes[lane] = queue.Queue()
            threading.Thread(target=self.work, args=(self.lanes[lane],), daemon=True).start()
        self.lanes[lane].put(asked)

    def steer_or_refuse(self, asked: Asked) -> None:
        if asked.body is not None and asked.body.get("type") == "response.steer":
            previous = asked.body.get("previous_response_id")
            return self.event({"type": "response.steer.accepted", "previous_response_id": previous, "response_id": previous})
        told = asked.body.get("type") if asked.body else None
        error = {"type": "invalid_request_error", "code": "invalid_value", "message": f"Unknown event type: {told!r}.", "param": "type"}
        self.event({"type": "error", "status": 400, "error": error})

    def work(self, waiting: queue.Queue) -> None:
        while not self.gone.is_set():
            asked = waiting.get()
            try:
                with self.in_flight:
                    self.answer(Frames(self, asked))
            except (Left, Closed, OSError):
                asked.left_at = asked.left_at or time.monotonic()
                return
            finally:
                asked.answered.set()

    def answer(self, teller: "Frames") -> None:
        body = teller.asked.body
        if refusal := objection(body, set(self.last.values()), on_a_socket=True):
            return teller.tell(refusal)
        prepares = body.get("generate") is False
        teller.tell(Story("prepared", {}, (*stories.started(), stories.completed([], None))) if prepares else self.upstream._story(body))
        lane = body.get("stream_id")
        if not teller.failed:
            self.last[lane] = teller.id
        elif self.last.get(lane) == body.get("previous_response_id"):
            self.last.pop(lane, None)


class Frames(Teller):
    def __init__(self, socket: Socket, asked: Asked) -> None:
        super().__init__(socket.upstream, asked)
        self.socket = socket
        self.lane = {"stream_id": asked.body["stream_id"]} if "stream_id" in asked.body else {}
        self.failed = False

    def event(self, event: dict) -> None:
        self.failed |= event["type"] in ("error", "response.failed")
        if event["type"] == "error":
            error = {"type": event["code"], "code": event["code"], "message": event["message"], "param": event["param"]}
            event = {"type": "error", "status": 500, "error": error}
        self.socket.event({**event, **self.lane})

    def finish(self) -> None:
        self.ended = True

    def refuse(self, step: Refuse) -> None:
        self.ended = self.failed = True
        error = step.body["error"] if isinstance(step.body, dict) and "error" in step.body else {"message": str(step.body), "type": "server_error"}
        headers = {"headers": dict(step.headers)} if step.headers else {}
        self.socket.event({"type": "error", "status": step.status, "error": {**error, **headers}, **headers, **self.lane})

    def plain(self, step: Plain) -> None:
        raise AssertionError("no plain body on a socket")

    def bytes(self, step: Bytes) -> None:
        self.socket.say(step.data)

    def stop(self, step: Stop) -> None:
        self.ended = True
        # Another thread reads: until its call is over, the system keeps the connection whatever is closed here.
        self.socket.connection.sock.shutdown(socket.SHUT_RDWR)
        self.socket.connection.reset() if step.reset else self.socket.connection.close()
        raise Closed

    def wait(self, seconds: float) -> None:
        if self.socket.gone.wait(seconds):
            self.asked.left_at = self.socket.left_at
            raise Left
