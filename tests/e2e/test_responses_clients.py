"""The real clients of the Responses API on one socket of the gate: a turn, a function call, a chain, a fork, two lanes."""

from __future__ import annotations

import asyncio
import json

import pytest

from support import responses, responses_story as stories, tokens
from support.responses_clients import SDKS, SUNNY, WEATHER, Codex, agents, dump, node_events
from support.responses_socket import MODEL, TERMINALS, Turn
from support.responses_tap import Tap

BEHIND = ["http", "socket", "mock"]
ASKED = "How is the weather in Bern?"
GO_ON = "And tomorrow?"


def get_weather(town: str) -> str:
    """The weather of a town.

    Args:
        town: Its name.
    """
    return SUNNY


# A turn ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_sdk_has_a_plain_turn(bridge, sdk, by):
    door = bridge(stories.text("Hello from afar."), by=by)
    [turn] = SDKS[sdk](door.base, door.token, [{"model": MODEL, "input": "say hi"}])
    turn.completed("Hello from afar.")
    assert turn.types[:2] == ["response.created", "response.in_progress"]
    assert turn.terminal["response"]["model"] == MODEL


@pytest.mark.parametrize("by", BEHIND)
def test_openai_agents_has_a_plain_turn(bridge, by):
    door = bridge(stories.text("Hello from afar."), by=by)
    assert agents(door.base, door.token, ["say hi"], MODEL) == ["Hello from afar."]


@pytest.mark.parametrize("by", BEHIND)
def test_codex_has_a_plain_turn_on_the_socket(bridge, codex, by):
    door = bridge(stories.text("Hello from afar."), by=by)
    ran = codex.run(door.base, door.token)
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "Hello from afar.", 0, False), ran.err
    if door.gate:
        assert [fields["protocol"] for fields in door.gate.decisions("admitted")] == ["websocket"]


def test_codex_has_the_same_turn_by_post(bridge, codex):
    door = bridge(stories.text("Hello from afar."))
    ran = codex.run(door.base, door.token, websockets=False)
    assert (ran.code, ran.out.strip()) == (0, "Hello from afar."), ran.err


@pytest.mark.parametrize("credential", ["capability", "jwt"])
@pytest.mark.parametrize("sdk", ["openai-python", "openai-node 7"])
def test_the_key_of_an_sdk_is_a_credential_of_the_gate_and_the_upstream_gets_its_own(bridge, sdk, credential):
    door = bridge()
    token = tokens.ALICE if credential == "capability" else tokens.make(scope="chat")
    [turn] = SDKS[sdk](door.base, token, [{"model": MODEL, "input": "say hi"}])
    turn.completed(stories.REPLY)
    [asked] = door.upstream.asked
    assert asked.headers["authorization"] == f"Bearer {responses.UPSTREAM_KEY}"
    assert token.encode() not in asked.head.encode() + asked.raw


def test_a_jwt_is_the_key_of_openai_agents_and_of_codex(bridge, codex):
    door = bridge()
    token = tokens.make(scope="chat")
    assert agents(door.base, token, ["say hi"], MODEL) == [stories.REPLY]
    ran = codex.run(door.base, token)
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, stories.REPLY, 0, False), ran.err
    assert {fields["verifier"] for fields in door.gate.decisions("admitted")} == {"jwt"}
    for asked in door.upstream.asked:
        assert asked.headers["authorization"] == f"Bearer {responses.UPSTREAM_KEY}"
        assert token.encode() not in asked.head.encode() + asked.raw


# A function call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_sdk_calls_a_function_and_chains_its_output(bridge, sdk, by):
    door = bridge(stories.call("get_weather", {"town": "Bern"}), stories.text("It is sunny."), stories.text("It stays so."), by=by)
    orders = [{"model": MODEL, "input": ASKED, "tools": [WEATHER]}, {"model": MODEL, "input": GO_ON, "tools": [WEATHER], "previous_response_id": "last"}]
    called, told, more = SDKS[sdk](door.base, door.token, orders, {"get_weather": SUNNY})
    assert json.loads(called.completed().terminal["response"]["output"][0]["arguments"]) == {"town": "Bern"}
    told.completed("It is sunny.")
    more.completed("It stays so.")
    if door.merges:
        assert_history(door.upstream.asked)


def assert_history(asked) -> None:
    """Each request upstream holds everything that was said before, once and in order, and names nothing that only a socket knows."""
    kinds = [[item["type"] for item in one.input] if isinstance(one.input, list) else one.input for one in asked]
    call = ["function_call", "function_call_output"]
    assert kinds[0] in (ASKED, ["message"])
    assert kinds[1:] == [["message", *call], ["message", *call, "message", "message"]], kinds
    assert asked[2].texts() == [ASKED, "It is sunny.", GO_ON]
    [output] = [item for item in asked[1].input if item["type"] == "function_call_output"]
    assert (output["call_id"], output["output"]) == ("call_1", SUNNY)
    for one in asked:
        assert {"previous_response_id", "generate", "stream_id", "type"}.isdisjoint(one.body), list(one.body)


@pytest.mark.parametrize("by", BEHIND)
def test_openai_agents_calls_a_function_and_goes_on(bridge, by):
    door = bridge(stories.call("get_weather", {"town": "Bern"}), stories.text("It is sunny."), stories.text("It stays so."), by=by)
    assert agents(door.base, door.token, [ASKED, GO_ON], MODEL, {"get_weather": get_weather}) == ["It is sunny.", "It stays so."]
    if door.merges:
        assert [len(asked.input) for asked in door.upstream.asked] == [1, 3, 5]


@pytest.mark.parametrize("by", BEHIND)
def test_openai_agents_may_chain_by_the_response_before(bridge, by):
    """As its `auto_previous_response_id` does: the output alone, and the id of the call's response."""
    door = bridge(stories.call("get_weather", {"town": "Bern"}), stories.text("It is sunny."), by=by)
    assert agents(door.base, door.token, [ASKED], MODEL, {"get_weather": get_weather}, chain=True) == ["It is sunny."]
    if door.merges:
        assert [item.get("type", "message") for item in door.upstream.asked[1].input] == ["message", "function_call", "function_call_output"]


@pytest.mark.parametrize("by", BEHIND)
def test_codex_runs_a_command_and_tells_its_output(bridge, codex, by):
    door = bridge(stories.call("exec_command", {"cmd": "echo moon$((1+1))stone"}), stories.text("It ran."), by=by)
    ran = codex.run(door.base, door.token, "run it")
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "It ran.", 0, False), ran.err
    if door.merges:
        [output] = [item for item in door.upstream.asked[-1].input if item["type"] == "function_call_output"]
        assert output["call_id"] == "call_1"


# Warm-up and chain ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tapped(bridge):
    """A bridge behind a tap, which sees what the client's frames said."""
    taps = []

    def start(*told, **kwargs):
        door = bridge(*told, **kwargs)
        tap = Tap(door.gate.port if door.gate else door.upstream.port)
        taps.append(tap)
        return door, tap

    yield start
    for tap in taps:
        tap.close()


def literal(frame: bytes, text: str) -> bytes:
    """The text as it stands in the frame, quotes and escapes and all."""
    for ascii in (False, True):
        written = json.dumps(text, ensure_ascii=ascii).encode()
        if written in frame:
            return written
    raise AssertionError("the frame writes its text in a way of its own")


def test_the_prompt_of_codexs_warm_up_reaches_the_upstream_byte_for_byte_once_in_each_request(tapped, codex):
    door, tap = tapped(stories.call("exec_command", {"cmd": "true"}), stories.text("It ran."))
    ran = codex.run(f"http://127.0.0.1:{tap.port}/v1", door.token, "run it")
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "It ran.", 0, False), ran.err
    [[warm_up, first, second]] = tap.sockets()
    before, asked, output = (json.loads(frame) for frame in (warm_up, first, second))
    assert before["generate"] is False and len(before["input"]) == 1
    assert [item["type"] for item in output["input"]] == ["function_call_output"]
    prompt = literal(warm_up, before["input"][0]["content"][0]["text"])
    assert len(prompt) > 15_000 and prompt not in first and prompt not in second

    # The warm-up itself is no request; each request after it has the prompt where the chain begins.
    assert [one.raw.count(prompt) for one in door.upstream.asked] == [1, 1]
    merged = [*before["input"], *asked["input"]]
    assert door.upstream.asked[0].input == merged
    called, given = door.upstream.asked[1].input[len(merged):]
    assert door.upstream.asked[1].input[:len(merged)] == merged
    assert (called["type"], called["call_id"], given) == ("function_call", "call_1", output["input"][0])
    for one in door.upstream.asked:
        assert {"generate", "previous_response_id", "stream_id", "type"}.isdisjoint(one.body)
        assert (one.body["stream"], one.body["store"]) == (True, False)
        assert one.body["tools"] == asked["tools"]


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("by", ["http", "socket"])
def test_each_sdk_warms_up_and_goes_on_from_there(bridge, sdk, by):
    door = bridge(stories.text("Warm indeed."), by=by)
    system = [{"type": "message", "role": "developer", "content": "Be warm."}]
    orders = [{"model": MODEL, "input": system, "generate": False}, {"model": MODEL, "input": "say hi", "previous_response_id": "last"}]
    warm_up, turn = SDKS[sdk](door.base, door.token, orders)
    assert warm_up.completed("").terminal["response"]["output"] == []
    turn.completed("Warm indeed.")
    if door.merges:
        [asked] = door.upstream.asked
        assert asked.texts() == ["Be warm.", "say hi"]


# Lanes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_openai_python_reads_two_lanes_at_once(bridge, by):
    door = bridge(stories.text("one two three", pace=0.05), stories.text("four five six", pace=0.05), by=by)

    async def talk() -> dict[str, Turn]:
        from openai import AsyncOpenAI

        turns = {"a": Turn(), "b": Turn()}
        async with AsyncOpenAI(api_key=door.token, base_url=door.base) as client, client.responses.connect() as socket:
            for lane in turns:
                await socket.response.create(model=MODEL, input=f"on {lane}", stream_id=lane)
            async for event in socket:
                turns[event.stream_id].events.append(dump(event))
                if all(turn.events and turn.types[-1] in TERMINALS for turn in turns.values()):
                    return turns

    turns = asyncio.run(talk())
    assert sorted(turn.completed(lane=lane).text for lane, turn in turns.items()) == ["four five six", "one two three"]


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("sdk", ["openai", "openai-6"])
def test_openai_node_reads_two_lanes_at_once(bridge, sdk, by):
    door = bridge(stories.text("one two three", pace=0.05), stories.text("four five six", pace=0.05), by=by)
    orders = [{"model": MODEL, "input": f"on {lane}", "stream_id": lane} for lane in ("a", "b")]
    turns = {"a": Turn(), "b": Turn()}
    for event in node_events(sdk, door.base, door.token, orders, together=True):
        turns[event["stream_id"]].events.append(event)
    assert sorted(turn.completed(lane=lane).text for lane, turn in turns.items()) == ["four five six", "one two three"]


# Errors, as clients see them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("sdk", ["openai-python", "openai-python async"])
def test_a_refused_turn_is_an_error_event_and_the_socket_serves_the_next(bridge, sdk, by):
    door = bridge(stories.refused(400, "invalid_value", "No such effort."), stories.text("Better."), by=by)
    refused, turn = SDKS[sdk](door.base, door.token, [{"model": MODEL, "input": "bad"}, {"model": MODEL, "input": "good"}])
    assert refused.errs(400, "invalid_value")["error"]["message"] == "No such effort."
    turn.completed("Better.")


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("sdk", ["openai", "openai-6"])
def test_openai_node_is_told_the_error_that_the_upstream_gave(bridge, sdk, by):
    door = bridge(stories.refused(400, "invalid_value", "No such effort."), by=by)
    [event] = node_events(sdk, door.base, door.token, [{"model": MODEL, "input": "bad"}])
    assert "No such effort." in json.dumps(event), event


@pytest.mark.parametrize("by", BEHIND)
def test_openai_agents_raises_the_error_that_the_upstream_gave(bridge, by):
    door = bridge(stories.refused(400, "invalid_value", "No such effort."), by=by)
    with pytest.raises(Exception, match="No such effort"):
        agents(door.base, door.token, ["bad"], MODEL)


def test_codex_uses_the_built_in_provider_by_socket_too(bridge, tmp_path):
    """An address for `openai` and a key, as a person would set them: no table of a provider."""
    door = bridge(stories.text("Hello from afar."))
    codex = Codex(tmp_path / "built-in")
    ran = codex.run_built_in(door.base, door.token)
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "Hello from afar.", 0, False), ran.err
    if door.gate:
        assert {fields["protocol"] for fields in door.gate.decisions("admitted") if fields["route"] == "responses"} >= {"websocket"}
