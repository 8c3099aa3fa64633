"""Plain requests on the route of a bridge: the same preparation, the same errors, as HTTP."""

from __future__ import annotations

import json

import pytest

from support import responses, responses_story as stories
from support.raw import ask, request
from support.responses_clients import SUNNY, WEATHER, dump
from support.responses_socket import MODEL, said
from support.responses_story import Bytes, Story

BEHIND = ["http", "mock"]


def body(**fields) -> bytes:
    return json.dumps({"model": MODEL, "input": "say hi", **fields}).encode()


def events(answer) -> list[dict]:
    """A stream's events, each with its type in its own line."""
    assert answer.status == 200, answer.body
    assert answer.header("content-type").split(";")[0] == "text/event-stream"
    found = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines and lines["data"] != "[DONE]":
            event = json.loads(lines["data"])
            assert lines["event"] == event["type"]
            found.append(event)
    return found


@pytest.mark.parametrize("by", BEHIND)
def test_a_request_for_a_stream_gets_the_upstreams_events(bridge, by):
    door = bridge(stories.text("Hello."), by=by)
    got = events(door.post(body(stream=True)))
    assert [event["type"] for event in got] == [step.data["type"] for step in stories.text("Hello.").steps]
    assert [event["sequence_number"] for event in got] == list(range(len(got)))
    assert "".join(event.get("delta", "") for event in got) == "Hello."


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("fields", [{}, {"stream": False}, {"stream": None}], ids=repr)
def test_a_request_without_a_stream_gets_the_whole_response(bridge, fields, by):
    answer = bridge(stories.text("Hello."), by=by).post(body(**fields))
    assert (answer.status, answer.header("content-type").split(";")[0]) == (200, "application/json")
    whole = json.loads(answer.body)
    assert (whole["object"], whole["status"], whole["model"]) == ("response", "completed", MODEL)
    assert whole["output"][0]["content"][0]["text"] == "Hello."
    assert whole["usage"] == stories.USAGE


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("stream", [True, False])
def test_the_sdk_has_its_turn_by_http_as_well(bridge, stream, by):
    from openai import OpenAI

    door = bridge(stories.call("get_weather", {"town": "Bern"}), stories.text("It is sunny."), by=by)
    with OpenAI(api_key=door.token, base_url=door.base, max_retries=0) as client:
        given = [said("user", "How is it?")]
        for want in ("function_call", "message"):
            answer = client.responses.create(model=MODEL, input=given, tools=[WEATHER], stream=stream)
            if stream:
                [answer] = [event.response for event in answer if event.type == "response.completed"]
            assert [item.type for item in answer.output] == [want]
            given += [dump(item) for item in answer.output] + [{"type": "function_call_output", "call_id": "call_1", "output": SUNNY}]
        assert answer.output_text == "It is sunny."


@pytest.mark.parametrize("by", BEHIND)
def test_an_alias_is_restored_in_a_stream_and_in_a_whole_response(bridge, by):
    aliases = [{"match": "claude-", "kind": "prefix", "to": "gpt-x"}]
    door = bridge(stories.text("I am gpt-x."), stories.text("I am gpt-x."), by=by, aliases=aliases)
    for event in events(door.post(body(model="claude-5", stream=True))):
        assert event.get("response", {}).get("model", "claude-5") == "claude-5"
    whole = json.loads(door.post(body(model="claude-5")).body)
    assert (whole["model"], whole["output"][0]["content"][0]["text"]) == ("claude-5", "I am gpt-x.")
    if by == "http":
        assert [asked.body["model"] for asked in door.upstream.asked] == ["gpt-x", "gpt-x"]


def test_what_a_socket_would_remember_is_the_upstreams_to_judge(bridge):
    door = bridge()
    answer = door.post(body(previous_response_id="resp_1"))
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "previous_response_not_found")
    assert len(door.upstream.asked) == 1


# What goes wrong ----------------------------------------------------------------------------------------------------------

STATUSES = {
    400: stories.refused(400, "invalid_value", "No such effort."),
    429: stories.refused(429, "rate_limit_exceeded", "Slow down.", "requests", headers=(("retry-after", "7"),)),
    500: stories.refused(500, None, "We are sorry.", "server_error"),
    503: stories.refused(503, "server_is_overloaded", "Too many."),
}


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_of_the_upstream_is_a_status_and_its_own_body(bridge, status, stream, by):
    story = STATUSES[status]
    answer = bridge(story, by=by).post(body(stream=stream))
    assert (answer.status, answer.header("content-type").split(";")[0]) == (status, "application/json")
    assert json.loads(answer.body)["error"]["message"] == story.told["error"]["message"]
    assert answer.header("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [True, False])
def test_the_gates_own_key_is_not_the_clients_affair(bridge, stream, status):
    answer = bridge(stories.refused(status, "invalid_api_key", "Incorrect API key: sk-7.")).post(body(stream=stream))
    assert answer.status == 502 and b"sk-7" not in answer.body
    assert answer.header("www-authenticate") is None


@pytest.mark.parametrize("stream", [True, False])
def test_an_upstream_that_is_away_is_a_bad_gateway(bridge, stream):
    answer = bridge(stories.reset_before_head()).post(body(stream=stream))
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["type"] == "server_error"


@pytest.mark.parametrize("story", [stories.reset_in_mid_stream("The"), stories.without_end("The")], ids=["a reset", "an end"])
def test_a_stream_that_breaks_has_one_terminal_event(bridge, story):
    got = events(bridge(story).post(body(stream=True)))
    terminals = [event for event in got if event["type"] in ("response.failed", "response.completed", "response.incomplete", "error")]
    assert [event["type"] for event in terminals] == ["response.failed"] and got[-1] is terminals[0]
    assert [event["sequence_number"] for event in got] == list(range(len(got)))


@pytest.mark.parametrize("story", [stories.reset_in_mid_stream("The"), stories.without_end("The")], ids=["a reset", "an end"])
def test_a_whole_response_that_breaks_is_a_bad_gateway(bridge, story):
    assert bridge(story).post(body()).status == 502


BAD_BODIES = {
    "nothing": b"", "no JSON": b"{", "an array": b"[]", "no UTF-8": b'{"model": "\xff"}', "too deep": b'{"input":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "input that is a number": b'{"model": "gpt-5", "input": 5}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_body_that_is_none_is_a_400_of_the_api_and_asks_nothing(bridge, what):
    door = bridge()
    answer = door.post(BAD_BODIES[what])
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
    assert door.upstream.asked == []


def test_a_body_that_is_too_large_is_a_413(bridge):
    door = bridge(more={"max_body": "1MiB"})
    assert door.post(body(input="x" * (2 << 20))).status == 413
    assert door.upstream.asked == []


@pytest.mark.parametrize("form", ["gzip", "br", "zstd"])
def test_a_body_that_cannot_be_prepared_is_refused_and_never_passed_on_as_it_is(bridge, form):
    door = bridge()
    answer = door.post(b"\x1f\x8b whatever", headers=(("Content-Encoding", form),))
    assert answer.status in (400, 415), answer.status
    assert door.upstream.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_told_what_is_served(bridge, method):
    door = bridge()
    answer = ask(door.gate.port, request(method, "/v1/responses", [("Authorization", f"Bearer {door.token}")], host=door.gate.authority))
    assert answer.status in (404, 405, 426)
    assert door.upstream.asked == []


def test_other_paths_are_not_the_bridges(bridge):
    door = bridge()
    for path in ("/v1/responses/resp_1", "/v1/responses/", "/v1/files", "/v1/"):
        answer = ask(door.gate.port, request("POST", path, [("Authorization", f"Bearer {door.token}"), ("Content-Length", "2")], host=door.gate.authority, body=b"{}"))
        assert answer.status in (404, 405), (path, answer.status)
    assert door.upstream.asked == []


def test_the_models_of_the_route_are_listed(bridge):
    door = bridge(models=["gpt-5", "o-*"], aliases=[{"match": "fast", "kind": "exact", "to": "gpt-5"}])
    answer = ask(door.gate.port, request("GET", "/v1/models", [("Authorization", f"Bearer {door.token}")], host=door.gate.authority))
    assert answer.status == 200
    listed = json.loads(answer.body)
    assert (listed["object"], sorted(model["id"] for model in listed["data"])) == ("list", ["fast", "gpt-5"])


def test_a_stream_is_not_held_back(bridge):
    """The first event is there while the rest is not said yet."""
    import threading

    from support.raw import Raw
    from support.responses_story import Until

    go = threading.Event()
    door = bridge(Story("own", {}, (*stories.started(), Until(go), *stories.text("Held.").steps[2:])))
    data = body(stream=True)
    fields = [("Authorization", f"Bearer {door.token}"), ("Content-Length", str(len(data)))]
    with Raw(door.gate.port) as raw:
        raw.send(request("POST", "/v1/responses", fields, host=door.gate.authority, body=data))
        raw.read_until(b"response.in_progress")
        go.set()
        raw.read_until(b"response.completed")


def test_a_broken_stream_of_a_whole_response_is_a_bad_gateway(bridge):
    assert bridge(Story("own", {}, (Bytes(b"data: nonsense\n\n"),))).post(body()).status == 502


def test_the_upstreams_key_is_the_gates(bridge):
    door = bridge()
    door.post(body())
    assert door.upstream.asked[0].headers["authorization"] == f"Bearer {responses.UPSTREAM_KEY}"
