"""Warm-ups and chains: what a socket remembers of its turns, and for how long."""

from __future__ import annotations

import pytest

from support import responses_story as stories
from support.responses_clients import SUNNY, WEATHER
from support.responses_socket import MODEL, said
from support.responses_story import Event, Story, completed, started

BEHIND = ["http", "socket", "mock"]
SYSTEM = said("developer", "Be brief, and say nothing of \u00e4\u2028 or \"quotes\" \\ slashes.")


def unknown(turn, name: str, lane=None) -> None:
    error = turn.errs(400, "previous_response_not_found", lane)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "previous_response_id")
    assert error["message"] == f"Previous response with id '{name}' not found."


# Warm-ups -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("given", [None, [], [SYSTEM], "Be brief."], ids=["none", "empty", "items", "text"])
def test_a_warm_up_is_a_completed_response_without_output(bridge, given, by):
    door = bridge(stories.text("Warm."), by=by)
    with door.talk() as talk:
        warm_up = talk.turn(given, generate=False).completed("")
        assert warm_up.terminal["response"]["output"] == []
        assert warm_up.id and warm_up.terminal["response"]["model"] == MODEL
        talk.turn("say hi", previous_response_id=warm_up.id).completed("Warm.")
    if door.merges:
        [asked] = door.upstream.asked
        assert asked.texts() == [*([] if not given else ["Be brief."] if given == "Be brief." else [SYSTEM["content"][0]["text"]]), "say hi"]


@pytest.mark.parametrize("by", BEHIND)
def test_a_warm_up_may_come_at_any_time_and_continue_what_was(bridge, by):
    door = bridge(stories.text("One."), stories.text("Two."), by=by)
    with door.talk() as talk:
        first = talk.turn("one").completed("One.")
        warm_up = talk.turn([SYSTEM], generate=False, previous_response_id=first.id).completed("")
        talk.turn("two", previous_response_id=warm_up.id).completed("Two.")
    if door.merges:
        assert door.upstream.asked[1].texts() == ["one", "One.", SYSTEM["content"][0]["text"], "two"]


def test_a_turn_after_a_warm_up_may_have_no_input_of_its_own(bridge):
    door = bridge()
    with door.talk() as talk:
        warm_up = talk.turn("say hi", generate=False).completed("")
        talk.turn([], previous_response_id=warm_up.id).completed(stories.REPLY)
    [asked] = door.upstream.asked
    assert asked.texts() == ["say hi"]


@pytest.mark.parametrize("by", BEHIND)
def test_warm_ups_are_of_their_lane(bridge, by):
    door = bridge(stories.text("A."), stories.text("B."), by=by)
    with door.talk() as talk:
        warm = {lane: talk.turn(f"for {lane}", generate=False, stream_id=lane).completed("", lane) for lane in ("a", "b")}
        for lane in warm:
            talk.turn("go", stream_id=lane, previous_response_id=warm[lane].id).completed(f"{lane.upper()}.", lane)
    if door.merges:
        assert [asked.texts() for asked in door.upstream.asked] == [["for a", "go"], ["for b", "go"]]


# Chains ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_each_turn_of_a_chain_knows_all_before_it(bridge, by):
    door = bridge(*(stories.text(f"Answer {n}.") for n in range(4)), by=by)
    with door.talk() as talk:
        last = {}
        for number in range(4):
            turn = talk.turn(f"question {number}", **last).completed(f"Answer {number}.")
            last = {"previous_response_id": turn.id}
    if door.merges:
        texts = [text for number in range(4) for text in (f"question {number}", f"Answer {number}.")]
        assert [asked.texts() for asked in door.upstream.asked] == [texts[:1], texts[:3], texts[:5], texts[:7]]
        assert [item["role"] for item in door.upstream.asked[3].input] == ["user", "assistant"] * 3 + ["user"]


def test_the_items_of_a_chain_are_those_that_were_given_and_answered_unchanged(bridge):
    """Reasoning that only the upstream can read, fields that nobody knows, numbers and letters as they were written."""
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA\u00e4==", "of_tomorrow": {"model": "x", "n": 12345678901234567890}}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "arguments": "{ \"town\":\"Bern\" }", "status": "completed"}
    done = [Event({"type": "response.output_item.done", "output_index": at, "item": item}) for at, item in enumerate((reasoning, call))]
    door = bridge(Story("own", {}, (*started(), *done, completed([reasoning, call], stories.USAGE))), stories.text("Sunny."))
    given = [SYSTEM, {"type": "message", "role": "user", "content": "How is it?", "phase": "final"}]
    output = {"type": "function_call_output", "call_id": "call_1", "output": SUNNY}
    with door.talk() as talk:
        first = talk.turn(given, tools=[WEATHER]).completed("")
        talk.turn([output], tools=[WEATHER], previous_response_id=first.id).completed("Sunny.")
    assert door.upstream.asked[0].input == given
    assert door.upstream.asked[1].input == [*given, reasoning, call, output]
    assert b"12345678901234567890" in door.upstream.asked[1].raw


def test_an_answer_whose_end_lists_no_output_is_remembered_by_its_items(bridge):
    """As the backend of one vendor does: `output` of the last event is empty."""
    steps = [step for step in stories.text("One.").steps if step.data["type"] != "response.completed"]
    door = bridge(Story("own", {}, (*steps, completed([], stories.USAGE))), stories.text("Two."))
    with door.talk() as talk:
        first = talk.turn("one").completed("One.")
        talk.turn("two", previous_response_id=first.id).completed("Two.")
    assert door.upstream.asked[1].texts() == ["one", "One.", "two"]


def test_instructions_are_not_carried_over(bridge):
    door = bridge()
    with door.talk() as talk:
        first = talk.turn("one", instructions="Be brief.").completed()
        talk.turn("two", previous_response_id=first.id).completed()
    assert [asked.body.get("instructions") for asked in door.upstream.asked] == ["Be brief.", None]


def test_an_incomplete_answer_can_be_continued(bridge):
    door = bridge(stories.incomplete("max_output_tokens"), stories.text("The rest."))
    with door.talk() as talk:
        first = talk.turn("one").look()
        assert first.terminal["type"] == "response.incomplete"
        talk.turn("go on", previous_response_id=first.id).completed("The rest.")
    texts = door.upstream.asked[1].texts()
    assert (texts[0], texts[-1]) == ("one", "go on")


# What is not known ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_a_response_that_the_socket_never_had_is_not_found_and_nothing_is_asked(bridge, by):
    door = bridge(stories.text("Hello."), by=by)
    with door.talk() as talk:
        unknown(talk.turn("say hi", previous_response_id="resp_of_another"), "resp_of_another")
        unknown(talk.turn("say hi", previous_response_id="resp_of_another", stream_id="a"), "resp_of_another", "a")
        talk.turn("say hi").completed("Hello.")
    if door.merges:
        assert len(door.upstream.asked) == 1


def test_a_response_is_known_to_its_own_socket_only(bridge):
    door = bridge()
    with door.talk() as talk, door.talk() as other:
        first = talk.turn("one").completed()
        unknown(other.turn("two", previous_response_id=first.id), first.id)
        talk.turn("two", previous_response_id=first.id).completed()


def test_a_lane_remembers_its_last_response_only(bridge):
    door = bridge()
    with door.talk() as talk:
        first = talk.turn("one").completed()
        second = talk.turn("two", previous_response_id=first.id).completed()
        unknown(talk.turn("again", previous_response_id=first.id), first.id)
        del second


@pytest.mark.parametrize("status", [400, 500])
def test_a_continuation_that_fails_forgets_what_it_continued(bridge, status):
    door = bridge(stories.text("One."), stories.refused(status, "invalid_value"))
    with door.talk() as talk:
        first = talk.turn("one").completed("One.")
        talk.turn("two", previous_response_id=first.id).errs(status, "invalid_value")
        unknown(talk.turn("two", previous_response_id=first.id), first.id)
        talk.turn("anew").completed(stories.REPLY)


def test_a_fork_that_fails_forgets_nothing(bridge):
    door = bridge(stories.text("One."), stories.refused(400, "invalid_value"), stories.text("Two."))
    with door.talk() as talk:
        first = talk.turn("one", stream_id="trunk").completed("One.", "trunk")
        talk.turn("two", stream_id="fork", previous_response_id=first.id).errs(400, "invalid_value", "fork")
        talk.turn("two", stream_id="trunk", previous_response_id=first.id).completed("Two.", "trunk")


def test_a_chain_that_grows_too_large_is_forgotten_and_not_the_gates_memory(bridge):
    """Each turn gives 8 MiB; sooner or later the socket says that it does not remember, and it goes on with a new chain."""
    door = bridge()
    large = "x" * (8 << 20)
    with door.talk() as talk:
        last, found = {}, 0
        for _ in range(40):
            turn = talk.turn(large, timeout=30, **last).look()
            if turn.terminal["type"] == "error":
                break
            found += 1
            last = {"previous_response_id": turn.id}
        else:
            raise AssertionError("a chain of 320 MiB is remembered")
        assert found >= 1
        assert turn.terminal["error"]["code"] == "previous_response_not_found", turn.terminal
        talk.turn("anew").completed(stories.REPLY)
