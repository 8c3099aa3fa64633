"""One turn after another on a socket of the bridge: what is forwarded, in which order and with which numbers, and what the upstream is asked."""

from __future__ import annotations

import json

import pytest

from support import responses, responses_story as stories
from support.responses_clients import WEATHER
from support.responses_socket import MODEL, said
from support.responses_story import Bytes, Event

BEHIND = ["http", "socket", "mock"]
# The mock tells a message in pieces of three words.
PIECES = {"http": 4, "socket": 4, "mock": 2}
TRANSCRIPT = [
    "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done",
    "response.completed",
]


def of(turn, kind: str) -> dict:
    [event] = [event for event in turn.events if event["type"] == kind]
    return event


# Transcripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_the_events_of_a_turn_are_the_upstreams_own_in_order(bridge, by):
    with bridge(stories.text("The model says moonstone."), by=by).talk() as talk:
        turn = talk.turn("say hi").completed("The model says moonstone.")
    at = TRANSCRIPT.index("response.output_text.delta")
    assert turn.types == [*TRANSCRIPT[:at], *TRANSCRIPT[at:at + 1] * PIECES[by], *TRANSCRIPT[at + 1:]]
    assert turn.numbers == list(range(len(turn.events)))
    assert of(turn, "response.output_text.done")["text"] == turn.text
    [item] = turn.terminal["response"]["output"]
    assert item == of(turn, "response.output_item.done")["item"]
    assert item["content"][0]["text"] == turn.text


@pytest.mark.parametrize("by", BEHIND)
def test_the_events_of_a_function_call_are_the_upstreams_own_in_order(bridge, by):
    with bridge(stories.call("get_weather", {"town": "Bern"}), by=by).talk() as talk:
        turn = talk.turn("How is it?").completed("")
    assert turn.types == [
        "response.created", "response.in_progress", "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    assert turn.numbers == list(range(7))
    [item] = turn.terminal["response"]["output"]
    assert (item["type"], item["name"], json.loads(item["arguments"])) == ("function_call", "get_weather", {"town": "Bern"})
    assert item["call_id"] and item == of(turn, "response.output_item.done")["item"]


@pytest.mark.parametrize("by", BEHIND)
def test_each_turn_counts_anew_and_has_a_name_of_its_own(bridge, by):
    with bridge(stories.text("one"), stories.text("two"), stories.text("three"), by=by).talk() as talk:
        turns = [talk.turn(word).completed(word) for word in ("one", "two", "three")]
    assert [turn.numbers[0] for turn in turns] == [0, 0, 0]
    assert len({turn.id for turn in turns}) == 3


@pytest.mark.parametrize("by", BEHIND)
def test_turns_that_are_asked_at_once_are_answered_one_after_another(bridge, by):
    with bridge(stories.text("one"), stories.text("two"), stories.text("three"), by=by).talk() as talk:
        for word in ("one", "two", "three"):
            talk.create(word)
        for word in ("one", "two", "three"):
            talk.turn().completed(word)


@pytest.mark.parametrize("by", ["http", "socket"])
def test_events_and_fields_that_nobody_knows_pass_as_they_are(bridge, by):
    strange = {"type": "response.of_tomorrow", "deep": [{"x": [1.5, None, "ü\u2028\U0001f980"]}], "number": 12345678901234567890}
    *begun, end = stories.text("Hello.").steps
    with bridge(stories.Story("own", {}, (*begun, Event(strange), end)), by=by).talk() as talk:
        turn = talk.turn("say hi").completed("Hello.")
    known = of(turn, "response.of_tomorrow")
    assert {name: known[name] for name in strange} == strange


# Each form that a stream of events may have, around the same events.
FORMS = {
    "line feeds": lambda events: b"".join(b"event: %s\ndata: %s\n\n" % event for event in events),
    "carriage returns and line feeds": lambda events: b"".join(b"event: %s\r\ndata: %s\r\n\r\n" % event for event in events),
    "carriage returns": lambda events: b"".join(b"event: %s\rdata: %s\r\r" % event for event in events),
    "no event lines": lambda events: b"".join(b"data: %s\n\n" % data for _, data in events),
    "no space after the colon": lambda events: b"".join(b"data:%s\n\n" % data for _, data in events),
    "ids, retries and comments": lambda events: b": hello\n\n" + b"".join(b"id: 7\nretry: 10\n: comment\nevent: %s\ndata: %s\n\n" % event for event in events),
    "a byte order mark": lambda events: b"\xef\xbb\xbf" + b"".join(b"event: %s\ndata: %s\n\n" % event for event in events),
    "data in several lines": lambda events: b"".join(b"event: %s\n%s\n\n" % (kind, b"\n".join(b"data: " + line for line in data.split(b"\n"))) for kind, data in
                                                   ((kind, json.dumps(json.loads(data), indent=1).encode()) for kind, data in events)),
    "a farewell of the older API": lambda events: b"".join(b"event: %s\ndata: %s\n\n" % event for event in events) + b"data: [DONE]\n\n",
}


def written(reply: str = "Größe: 3 €.") -> list[tuple[bytes, bytes]]:
    """A whole turn as type and data; its JSON is not escaped, so that letters have several bytes."""
    events = []
    for number, step in enumerate(stories.text(reply).steps):
        event = {**step.data, "sequence_number": number}
        if "response" in event:
            event["response"] = {"id": "resp_own", "object": "response", "model": MODEL, "output": [], **event["response"]}
        events.append((event["type"].encode(), json.dumps(event, ensure_ascii=False).encode()))
    return events


@pytest.mark.parametrize("pieces", ["whole", "single bytes"])
@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_read_in_every_form_that_it_may_have(bridge, form, pieces):
    data = FORMS[form](written())
    steps = (Bytes(data),) if pieces == "whole" else tuple(Bytes(data[at:at + 1]) for at in range(len(data)))
    with bridge(stories.Story("own", {}, steps)).talk() as talk:
        turn = talk.turn("say hi").completed("Größe: 3 €.")
        assert turn.numbers == list(range(len(turn.events)))
        talk.turn("again").completed(stories.REPLY)


def test_nothing_that_follows_a_terminal_event_is_forwarded(bridge):
    whole = stories.text("Once.")
    late = (Event({"type": "response.output_text.delta", "delta": "late"}), whole.steps[-1], *stories.failed("server_error").steps[-1:])
    with bridge(whole.then(*late), stories.text("Twice.")).talk() as talk:
        talk.turn("one").completed("Once.")
        talk.turn("two").completed("Twice.")


def test_numbers_that_fall_upstream_do_not_fall_here(bridge):
    numbers = iter([0, 1, 7, 3, 3, 2, 9, 0, 1, 1, 4])
    steps = tuple(Event({**step.data, "sequence_number": next(numbers)}) for step in stories.text("Hello").steps)
    with bridge(stories.Story("own", {}, steps)).talk() as talk:
        turn = talk.turn("say hi").completed("Hello")
    assert len(turn.numbers) == len(turn.events)


def test_a_large_event_passes(bridge):
    reply = "x" * (3 << 20)
    with bridge(stories.text(reply)).talk() as talk:
        talk.turn("say much", timeout=20).completed(reply)


# What the upstream is asked -------------------------------------------------------------------------------------------


@pytest.fixture
def asked(bridge):
    """What the upstream is asked for one `response.create`, by socket and by POST."""

    def ask(given="say hi", headers=(), by="socket", **fields_and_settings):
        fields = {name[2:]: value for name, value in fields_and_settings.items() if name.startswith("f_")}
        settings = {name: value for name, value in fields_and_settings.items() if not name.startswith("f_")}
        door = bridge(**settings)
        if by == "socket":
            with door.talk(headers=headers) as talk:
                talk.turn(given, **fields).completed(stories.REPLY)
        else:
            body = {"model": MODEL, "input": given, **fields}
            answer = door.post(json.dumps(body).encode(), headers)
            assert answer.status == 200, answer.body
        [asked] = door.upstream.asked
        return asked

    return ask


WAYS = ["socket", "post"]


@pytest.mark.parametrize("by", WAYS)
def test_forced_fields_are_forced_and_removed_ones_removed(asked, by):
    one = asked(by=by, force={"store": False, "service_tier": "flex"}, remove=["temperature", "metadata"], f_store=True, f_temperature=0.5,
                f_metadata={"a": "b"}, f_top_p=0.5)
    assert (one.body["store"], one.body["service_tier"], one.body["top_p"]) == (False, "flex", 0.5)
    assert {"temperature", "metadata"}.isdisjoint(one.body)


def test_what_only_a_socket_knows_is_not_asked_upstream(asked):
    one = asked(f_stream_id=..., f_generate=True, f_stream=False)
    assert {"type", "generate", "stream_id", "previous_response_id"}.isdisjoint(one.body)
    assert one.body["stream"] is True


@pytest.mark.parametrize("by", WAYS)
def test_a_schema_of_a_tool_keeps_its_underscores_and_metadata_does_not_pass(asked, by):
    tool = {"type": "function", "name": "f", "description": "d", "strict": False, "parameters": {
        "type": "object", "properties": {"_id": {"type": "string"}, "deep": {"type": "object", "properties": {"_x": {"type": "object", "properties": {"_y": {}}}}}},
        "required": ["_id"]}}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"_id\": \"7\"}", "_internal": {"trace": 1}}
    given = [{**said("user", "hi"), "_trace": "t"}, call, {"type": "function_call_output", "call_id": "c", "output": "{\"_id\": 7}"}]
    text = {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object", "properties": {"_z": {"type": "string"}}}}}
    one = asked(given, by=by, f_tools=[tool], f_text=text, f__meta={"a": 1})
    assert one.body["tools"] == [tool]
    assert one.body["text"] == text
    assert "_meta" not in one.body
    assert one.input == [said("user", "hi"), {k: v for k, v in call.items() if k != "_internal"}, given[2]]


@pytest.mark.parametrize("by", WAYS)
def test_references_to_items_that_the_upstream_did_not_keep_are_not_asked(asked, by):
    one = asked([said("user", "hi"), {"type": "item_reference", "id": "msg_1"}], by=by)
    assert one.input == [said("user", "hi")]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("given, want", [(None, "House rules."), ("Be brief.", "House rules.\nBe brief.")])
def test_the_routes_instructions_come_before_the_clients(asked, by, given, want):
    fields = {} if given is None else {"f_instructions": given}
    assert asked(by=by, instructions="House rules.", **fields).body["instructions"] == want


# What a mock can tell of its request: the model's name, a tool that was put there, that nothing follows what the user said.
PREPARED = """
[[scene]]
model = "gpt-5"
last = "user"
names_tool = true
steps = [{ text = "{model} may call {tool}." }]

[[scene]]
steps = [{ text = "Nobody prepared this." }]
"""


@pytest.mark.parametrize("by", BEHIND)
def test_the_preparation_is_the_same_before_every_upstream(bridge, by, tmp_path):
    scenes = tmp_path / "prepared.toml"
    scenes.write_text(PREPARED)
    settings = {"scenes": scenes} if by == "mock" else {}
    told = "gpt-5 may call get_weather."
    door = bridge(stories.text(told), by=by, aliases=[{"match": "fast", "to": "gpt-5"}], force={"store": False, "tools": [WEATHER]},
                  remove=["temperature"], instructions="House rules.", **settings)
    given = [said("user", "Call get_weather."), {"type": "item_reference", "id": "msg_1"}]
    with door.talk() as talk:
        turn = talk.turn(given, model="fast", temperature=0.5, store=True, instructions="Be brief.").completed(told)
    assert turn.terminal["response"]["model"] == "fast"
    if by == "mock":
        return
    [asked] = door.upstream.asked
    assert (asked.body["model"], asked.body["store"], asked.body["tools"]) == ("gpt-5", False, [WEATHER])
    assert (asked.body["instructions"], asked.input) == ("House rules.\nBe brief.", given[:1])
    assert "temperature" not in asked.body


def test_instructions_may_be_in_a_file(asked, tmp_path):
    (tmp_path / "rules.md").write_text("House rules,\nin two lines.\n")
    assert asked(instructions_file=tmp_path / "rules.md").body["instructions"].rstrip("\n") == "House rules,\nin two lines."


def test_without_instructions_of_the_route_the_clients_pass_untouched(asked):
    assert asked(f_instructions="Be brief.").body["instructions"] == "Be brief."


SENT = [
    ("OpenAI-Beta", "responses_websockets=2026-02-06, responses_multi_agent=v1"), ("Originator", "tester"), ("X-Codex-Turn-Metadata", "{}"), ("Cookie", "a=b"),
    ("X-Api-Key", "mine"), ("X-Custom", "y"), ("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "1.2.3.4"),
]


@pytest.mark.parametrize("by", WAYS)
def test_headers_pass_by_an_allow_list(asked, by):
    one = asked(headers=SENT, by=by, forward_headers=["openai-beta", "originator"])
    # Over HTTP there is no beta of sockets.
    assert (one.headers["openai-beta"], one.headers["originator"]) == ("responses_multi_agent=v1", "tester")
    assert {"x-codex-turn-metadata", "cookie", "x-api-key", "x-custom", "forwarded"}.isdisjoint(one.headers)
    assert one.headers["authorization"] == f"Bearer {responses.UPSTREAM_KEY}"
    assert one.headers["content-type"] == "application/json"
    assert not [name for name in one.headers if name.startswith("sec-websocket")]
    assert "upgrade" not in one.headers


def test_the_upstream_is_asked_for_a_stream(asked):
    one = asked()
    assert "text/event-stream" in one.headers["accept"]
    assert one.head.startswith("POST /v1/responses HTTP/1.1\r\n")


# Aliases --------------------------------------------------------------------------------------------------------------

ALIASES = [
    {"match": "gpt-4o-mini", "kind": "exact", "to": "small-1"},
    {"match": "claude-", "kind": "prefix", "to": "gpt-x", "ignore_case": True},
    {"match": "-latest", "kind": "suffix", "to": "new-1"},
    {"match": "^o[0-9]+(-mini)?$", "kind": "regex", "to": "think-1"},
    {"match": "claude-4-latest", "kind": "exact", "to": "never"},
]
MAPPED = {
    "gpt-4o-mini": "small-1", "gpt-4o-mini-2": "gpt-4o-mini-2", "GPT-4o-mini": "GPT-4o-mini", "claude-4": "gpt-x", "CLAUDE-4": "gpt-x",
    "claude-4-latest": "gpt-x", "my-claude-": "my-claude-", "some-latest": "new-1", "o3": "think-1", "o3-mini": "think-1", "o3-max": "o3-max",
}


def test_the_first_alias_that_fits_is_asked_and_what_the_client_asked_for_is_told(bridge):
    door = bridge(aliases=ALIASES)
    with door.talk() as talk:
        for name in MAPPED:
            turn = talk.turn("say hi", model=name).completed(stories.REPLY)
            assert {event["response"]["model"] for event in turn.events if "response" in event} == {name}
    assert [asked.body["model"] for asked in door.upstream.asked] == list(MAPPED.values())


@pytest.mark.parametrize("by", ["http", "socket"])
def test_an_alias_is_restored_at_any_depth_and_text_is_not_touched(bridge, by):
    deep = {"type": "response.of_tomorrow", "model": "gpt-x", "list": [{"model": "gpt-x"}, [{"deep": {"model": "gpt-x", "name": "gpt-x"}}]],
            "other": {"model": "gpt-y"}, "odd": {"model": ["gpt-x"]}}
    *begun, end = stories.text('I am gpt-x, "model":"gpt-x".').steps
    with bridge(stories.Story("own", {}, (*begun, Event(deep), end)), by=by, aliases=ALIASES).talk() as talk:
        turn = talk.turn("who?", model="Claude-9").completed('I am gpt-x, "model":"gpt-x".')
    told = of(turn, "response.of_tomorrow")
    assert told["model"] == "Claude-9"
    assert told["list"] == [{"model": "Claude-9"}, [{"deep": {"model": "Claude-9", "name": "gpt-x"}}]]
    assert (told["other"], told["odd"]) == ({"model": "gpt-y"}, {"model": ["gpt-x"]})
    assert turn.terminal["response"]["output"][0]["content"][0]["text"] == turn.text


@pytest.mark.parametrize("by", BEHIND)
def test_an_alias_is_restored_in_what_the_bridge_says_itself(bridge, by):
    with bridge(stories.failed("server_error"), stories.text("Hello."), by=by, aliases=ALIASES).talk() as talk:
        assert talk.turn("who?", model="claude-4").look().terminal["response"]["model"] == "claude-4"
        assert talk.turn("who?", model="claude-4").completed("Hello.").terminal["response"]["model"] == "claude-4"
        assert talk.turn([], model="claude-4", generate=False).completed("").terminal["response"]["model"] == "claude-4"
