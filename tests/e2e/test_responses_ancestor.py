"""What a client of ccproxy-api's codex routes finds when the gate stands in their place: the same paths and the same transcripts, and what is otherwise on purpose."""

from __future__ import annotations

import json

import pytest

from support import responses_story as stories, table
from support.raw import ask, request, upgrade
from support.responses_clients import SDKS
from support.responses_socket import MODEL, Talk

PATHS = ["/codex/v1/responses", "/codex/responses"]
ALIAS = {"match": "gpt-", "kind": "prefix", "to": "gpt-5.3-codex"}


@pytest.fixture
def door(bridge):
    """One route serves both paths: whatever ends in `/responses` is the endpoint."""
    return lambda *told, **settings: bridge(*told, more={"path": "/codex/*"}, **settings)


def talk(door, path: str) -> Talk:
    return Talk(door.gate.ws(path), door.token)


# As there ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["http", "socket", "mock"])
@pytest.mark.parametrize("path", PATHS)
def test_both_paths_are_the_endpoint_of_one_route(door, path, by):
    live = door(stories.text("Hello."), stories.text("Hello."), by=by)
    with talk(live, path) as socket:
        socket.turn("say hi").completed("Hello.")
    body = json.dumps({"model": MODEL, "input": "say hi"}).encode()
    fields = [("Authorization", f"Bearer {live.token}"), ("Content-Length", str(len(body)))]
    answer = ask(live.gate.port, request("POST", path, fields, host=live.gate.authority, body=body))
    assert answer.status == 200 and json.loads(answer.body)["output"][0]["content"][0]["text"] == "Hello."


@pytest.mark.parametrize("sdk", SDKS)
def test_an_sdk_may_keep_its_base_url(door, sdk):
    live = door(stories.text("Hello."))
    [turn] = SDKS[sdk](live.gate.http("/codex/v1"), live.token, [{"model": MODEL, "input": "say hi"}])
    turn.completed("Hello.")


def test_codex_may_keep_its_base_url(door, codex):
    live = door(stories.text("Hello."))
    ran = codex.run(live.gate.http("/codex/v1"), live.token)
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "Hello.", 0, False), ran.err


@pytest.mark.parametrize("path", PATHS)
def test_a_turn_is_the_upstreams_events_in_order_and_its_deltas_are_its_text(door, path):
    story = stories.text("The model says moonstone.")
    with talk(door(story), path) as socket:
        turn = socket.turn("say hi").completed("The model says moonstone.")
    assert turn.types == [step.data["type"] for step in story.steps]
    [done] = [event["text"] for event in turn.events if event["type"] == "response.output_text.done"]
    assert turn.text == done
    ended = turn.terminal["response"]
    assert ended["id"] and (ended["object"], ended["status"]) == ("response", "completed")


def test_a_warm_up_completes_without_output_and_the_next_turn_may_name_it(door):
    live = door(stories.text("Hello."))
    with talk(live, PATHS[0]) as socket:
        warm_up = socket.turn([], generate=False).completed("")
        assert warm_up.terminal["response"]["output"] == [] and warm_up.id
        assert live.upstream.asked == []
        socket.turn("say hi", previous_response_id=warm_up.id).completed("Hello.")
    assert len(live.upstream.asked) == 1


def test_an_alias_is_restored_in_the_response_and_in_the_items_of_its_output(door):
    item = {**stories.message_item("Hello."), "model": ALIAS["to"]}
    *begun, _ = stories.text("Hello.").steps
    live = door(stories.Story("own", {}, (*begun, stories.completed([item], stories.USAGE))), aliases=[ALIAS])
    with talk(live, PATHS[0]) as socket:
        turn = socket.turn("say hi", model="gpt-5-mini").completed("Hello.")
    assert live.upstream.asked[0].body["model"] == ALIAS["to"]
    assert turn.terminal["response"]["model"] == "gpt-5-mini"
    assert [one["model"] for one in turn.terminal["response"]["output"]] == ["gpt-5-mini"]


# Otherwise than there ---------------------------------------------------------------------------------------------------


def test_deviation_a_warm_up_is_begun_before_it_is_completed(door):
    """There it is `response.completed` alone. The service itself begins it, and clients that wait for the beginning of a response get one."""
    with talk(door(), PATHS[0]) as socket:
        warm_up = socket.turn([], generate=False).completed("")
    assert (warm_up.types, warm_up.numbers) == (["response.created", "response.completed"], [0, 1])


def test_deviation_what_makes_a_warm_up_is_generate_and_not_an_empty_input(door):
    """There any empty input is one, and a warm-up with input is sent to the model and paid for. Here a client's 17 KB are kept for its next turn."""
    live = door(stories.text("From nothing."), stories.text("Warm."))
    with talk(live, PATHS[0]) as socket:
        socket.turn([]).completed("From nothing.")
        warm_up = socket.turn([developer("Be warm.")], generate=False).completed("")
        socket.turn("say hi", previous_response_id=warm_up.id).completed("Warm.")
    assert [asked.texts() for asked in live.upstream.asked] == [[], ["Be warm.", "say hi"]]


def developer(text: str) -> dict:
    return {"type": "message", "role": "developer", "content": text}


def test_deviation_a_400_of_the_upstream_is_an_error_with_its_status(door):
    """There it is `response.failed`, on which codex sends the same bad request six times more; its type and code are kept in both."""
    live = door(stories.refused(400, "invalid_value", "No such effort."))
    with talk(live, PATHS[0]) as socket:
        error = socket.turn("say hi").errs(400, "invalid_value")["error"]
    assert (error["type"], error["message"]) == ("invalid_request_error", "No such effort.")


@pytest.mark.parametrize("path", PATHS)
def test_deviation_a_refused_handshake_is_401_with_a_code_in_place_of_a_sentence(door, path):
    """There its body is the text `Authentication required`. The status and the challenge are the same."""
    live = door()
    answer = ask(live.gate.port, upgrade(path, host=live.gate.authority))
    assert answer.status == 401 and answer.header("www-authenticate").startswith("Bearer")
    table.assert_denied(answer, "missing_credential")
    assert live.upstream.server.untouched()


def test_deviation_messages_that_are_none_do_not_end_the_socket(door):
    """There each of them closes it, with 1008 or 1011, and the turns that wait are lost."""
    with talk(door(stories.text("Hello.")), PATHS[0]) as socket:
        for message in ("{", "[]", json.dumps({"type": "response.cancel"}), b"\x00"):
            assert socket.say(message).event()["status"] == 400
        socket.turn("say hi").completed("Hello.")
