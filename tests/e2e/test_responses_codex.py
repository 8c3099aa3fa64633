"""What `codex exec` makes of everything that can go wrong: it stops at once, waits as told, or comes back, and never asks eight times."""

from __future__ import annotations

import time

import pytest

from support import responses_story as stories, tokens
from support.responses_story import Story, Wait

HELLO = stories.text("Hello from afar.")


def good(ran) -> None:
    """The first time that it comes back on a socket it says nothing of it."""
    assert (ran.code, ran.out.strip(), ran.reconnects, ran.fell_back) == (0, "Hello from afar.", 0, False), (ran.out, ran.err)


# It stops at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["http", "mock", "socket"])
def test_a_400_stops_it_at_once_after_one_request(bridge, codex, by):
    told = [stories.refused(400, "invalid_value", "No such effort."), HELLO]
    door = bridge(*told, by=by)
    ran = codex.run(door.base, door.token)
    assert ran.code == 1 and "No such effort." in ran.err, (ran.out, ran.err)
    assert (ran.reconnects, ran.fell_back) == (0, False), ran.err
    assert ran.seconds < 5
    if door.merges:
        assert len(door.upstream.asked) == 1
    if by == "http" and door.gate:
        assert len(door.gate.decisions("admitted")) == 1


STOPS = {
    "context_length_exceeded": "context window",
    "insufficient_quota": "quota",
    "invalid_prompt": "It went wrong.",
}


@pytest.mark.parametrize("code", STOPS)
def test_a_response_that_failed_for_good_stops_it_at_once(bridge, codex, code):
    door = bridge(stories.failed(code), HELLO)
    ran = codex.run(door.base, door.token)
    assert ran.code == 1 and STOPS[code].lower() in ran.err.lower(), (ran.out, ran.err)
    assert (ran.reconnects, ran.fell_back) == (0, False), ran.err
    if door.merges:
        assert len(door.upstream.asked) == 1


@pytest.mark.parametrize("after", [None, "Not all of"])
def test_an_incomplete_response_stops_it_at_once_with_the_reason(bridge, codex, after):
    door = bridge(stories.incomplete("max_output_tokens", after), HELLO)
    ran = codex.run(door.base, door.token)
    assert ran.code == 1 and "Incomplete response returned, reason: max_output_tokens" in ran.err, (ran.out, ran.err)
    assert (ran.reconnects, ran.fell_back) == (0, False), ran.err
    if door.merges:
        assert len(door.upstream.asked) == 1


def test_an_answer_that_was_filtered_is_asked_again_with_guidance(bridge, codex):
    """It acts on the reason, which must reach it."""
    door = bridge(stories.incomplete("content_filter"), HELLO)
    good(codex.run(door.base, door.token))
    first, second = door.upstream.asked[-2:]
    assert "content_filter_guidance" in second.texts()[-1] and "content_filter_guidance" not in str(first.texts())


# It comes back --------------------------------------------------------------------------------------------------------

COMES_BACK = {
    "500": stories.refused(500, None, "We are sorry.", "server_error"),
    "503": stories.refused(503, "server_is_busy", "Too many.", "server_error"),
    "401 of the gate's own key": stories.refused(401, "invalid_api_key", "Incorrect API key."),
    "a text for a body": stories.refused_with(502, "bad gateway"),
    "a reset before the head": stories.reset_before_head(),
    "a reset in mid-stream": stories.reset_in_mid_stream(),
    "an end without a terminal": stories.without_end(),
    "a flat error at once": Story("own", {}, stories.flat_error().steps[2:]),
    "a flat error in mid-stream": stories.flat_error(after="The"),
    "JSON that is no response": stories.plain_json({"hello": "there"}),
    "response.failed": stories.failed("server_error"),
}


@pytest.mark.parametrize("what", COMES_BACK)
def test_what_may_pass_is_tried_again_soon_and_on_the_socket(bridge, codex, what):
    door = bridge(COMES_BACK[what], HELLO)
    ran = codex.run(door.base, door.token, stream_idle_timeout_ms=20_000)
    good(ran)
    assert ran.seconds < 6
    if door.merges:
        first, second = door.upstream.asked
        # It has everything again, and not twice.
        assert first.input == second.input


def test_retry_after_is_obeyed(bridge, codex):
    door = bridge(stories.refused(429, "rate_limit_exceeded", "Slow down.", "requests", headers=(("retry-after", "3"),)), HELLO)
    ran = codex.run(door.base, door.token)
    good(ran)
    first, second = door.upstream.asked[-2:]
    assert 3 <= second.at - first.at < 5


def test_a_chain_that_the_socket_does_not_know_costs_one_silent_reconnect(bridge, codex):
    door = bridge(stories.unknown_previous("resp_1"), HELLO)
    good(codex.run(door.base, door.token))


def test_the_age_limit_costs_one_silent_reconnect_with_the_whole_conversation(bridge, codex):
    door = bridge(stories.call("exec_command", {"cmd": "sleep 2.5"}), HELLO, max_age="2s")
    ran = codex.run(door.base, door.token, "run it")
    good(ran)
    if door.merges:
        first, second = door.upstream.asked
        assert second.input[:len(first.input)] == first.input
        assert [item["type"] for item in second.input[len(first.input):]] == ["function_call", "function_call_output"]
        assert len([one for one in door.gate.decisions("admitted") if one["protocol"] == "websocket"]) == 2


# Without a socket -----------------------------------------------------------------------------------------------------


def test_where_websocket_is_off_it_is_told_426_and_falls_back_within_a_second(bridge, codex):
    door = bridge(HELLO, HELLO, websocket=False)
    plain = codex.run(door.base, door.token, websockets=False)
    assert (plain.code, plain.out.strip()) == (0, "Hello from afar."), plain.err
    begun = time.monotonic()
    ran = codex.run(door.base, door.token)
    assert (ran.code, ran.out.strip(), ran.reconnects) == (0, "Hello from afar.", 0), ran.err
    assert "Falling back" not in ran.err
    # As long as a run that never tries, and less than a second more.
    assert ran.seconds - plain.seconds < 1, (plain.seconds, ran.seconds)
    assert len(door.upstream.asked) == 2 and door.upstream.asked[1].at > begun


def test_a_wrong_key_reaches_no_upstream(bridge, codex):
    door = bridge()
    ran = codex.run(door.base, tokens.WRONG, request_max_retries=0, stream_max_retries=0)
    assert ran.code == 1 and "401" in ran.err, ran.err
    assert door.upstream.server.untouched()


# Silence --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["the head", "the first event", "the output"])
def test_eight_seconds_of_thinking_are_no_silence(bridge, codex, before):
    """Its patience is three seconds."""
    said = stories.text("Hello from afar.", think=8 if before == "the output" else 0)
    if before == "the head":
        said = said.before(Wait(8))
    if before == "the first event":
        said = said.before(stories.Bytes(b": I am here\n\n"), Wait(8))
    door = bridge(said, keepalive="1s")
    ran = codex.run(door.base, door.token, stream_idle_timeout_ms=3000)
    good(ran)
    assert ran.seconds > 8
    if door.merges:
        assert len(door.upstream.asked) == 1


def test_a_flat_error_is_not_silence(bridge, codex):
    """As it is, it would be passed over, and the client would wait for the end of its patience."""
    door = bridge(stories.flat_error("rate_limit_exceeded", "Slow down."), HELLO)
    ran = codex.run(door.base, door.token, stream_idle_timeout_ms=30_000)
    good(ran)
    assert ran.seconds < 6
