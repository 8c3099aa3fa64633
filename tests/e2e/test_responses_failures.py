"""Everything that can go wrong behind the bridge, told in the form that real clients act on: one terminal event, its number after the last one."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import pytest

from support import configs, responses_story as stories, tokens
from support.responses_socket import Talk, Turn
from support.responses_story import Bytes, Stop, Story, Until
from support.upstreams import free_port

SLOW_DOWN = (("retry-after", "7"), ("x-request-id", "req_1"))


@dataclass(frozen=True)
class Row:
    """What happens behind, and what the client is told: an `error` with a status, or the end of the response that had begun."""

    story: Story
    status: int | None = None
    code: str | None = None
    message: str | None = None
    kind: str | None = None
    headers: dict | None = None
    before: int = 0  # events that are forwarded before it
    mocked: int | None = None  # the same where a mock tells it, which begins every stream well, and ends every message

    def look(self, turn: Turn, by: str = "http") -> None:
        before = self.before if by != "mock" or self.mocked is None else self.mocked
        assert len(turn.events) == before + 1, turn.events
        if self.status is not None:
            error = turn.errs(self.status, self.code)
            told, headers = error["error"], error.get("headers")
        else:
            turn.look()
            assert turn.terminal["type"] == "response.failed", turn.terminal
            told, headers = turn.terminal["response"]["error"], None
            assert told["code"] == self.code
            assert turn.numbers == list(range(before + 1))
        if self.message:
            assert self.message in told["message"], told
        if self.kind:
            assert told["type"] == self.kind
        if self.headers:
            # At the top for the command line, inside for the SDKs.
            assert self.headers.items() <= headers.items() and self.headers.items() <= told["headers"].items(), error


SAID = 8  # the same when the message was ended
BEGUN = 5  # events of `stories.message_of("…")` and what starts a response, for one word
GONE = "server_error"

# The same upstream over HTTP and as the mock plays it.
ROWS = {
    "400 of the request": Row(stories.refused(400, "invalid_value", "No such effort.", param="reasoning.effort"), 400, "invalid_value", "No such effort.", "invalid_request_error"),
    "400 of the context": Row(stories.refused(400, "context_length_exceeded", "Too long."), 400, "context_length_exceeded", "Too long."),
    "400 of a response that is not known": Row(stories.unknown_previous("resp_x"), 400, "previous_response_not_found", "resp_x"),
    "404": Row(stories.refused(404, "model_not_found", "No such model."), 404, "model_not_found", "No such model."),
    "429": Row(stories.refused(429, "rate_limit_exceeded", "Slow down.", "requests", headers=SLOW_DOWN), 429, "rate_limit_exceeded", "Slow down.", headers={"retry-after": "7"}),
    "500": Row(stories.refused(500, None, "We are sorry.", "server_error"), 500, None, "We are sorry.", "server_error"),
    "503": Row(stories.refused(503, "server_is_overloaded", "Too many.", "service_unavailable_error", headers=SLOW_DOWN), 503, "server_is_overloaded", "Too many.",
               headers={"retry-after": "7"}),
    "a reset before the head": Row(stories.reset_before_head(), 502, None),
    "a reset in mid-stream": Row(stories.reset_in_mid_stream("The"), None, GONE, before=BEGUN, mocked=SAID),
    "an end without a terminal": Row(stories.without_end("The"), None, GONE, before=BEGUN, mocked=SAID),
    "a flat error at once": Row(Story("flat error", {"code": "server_error", "message": "Oh.", "after": None}, stories.flat_error(message="Oh.").steps[2:]), 500, "server_error", "Oh.", mocked=2),
    "a flat error in mid-stream": Row(stories.flat_error(message="Oh.", after="The"), 500, "server_error", "Oh.", before=BEGUN, mocked=SAID),
    "response.failed": Row(stories.failed("rate_limit_exceeded", "Slow down."), None, "rate_limit_exceeded", "Slow down.", before=2),
    "response.failed in mid-stream": Row(stories.failed("server_error", "Oh.", after="The"), None, "server_error", "Oh.", before=BEGUN, mocked=SAID),
    "JSON that is no response": Row(stories.plain_json({"hello": "there"}), 502, None),
}


@pytest.mark.parametrize("by", ["http", "mock"])
@pytest.mark.parametrize("name", ROWS)
def test_what_goes_wrong_behind_is_told_once_and_the_socket_serves_the_next_turn(bridge, name, by):
    row = ROWS[name]
    door = bridge(row.story, stories.text("Better."), by=by)
    with door.talk() as talk:
        row.look(talk.turn("say hi"), by)
        talk.turn("again").completed("Better.")
    if by == "http":
        # Not the bridge but the client decides what is tried again.
        assert len(door.upstream.asked) == 2


@pytest.mark.parametrize("by", ["http", "socket"])
@pytest.mark.parametrize("status", [401, 403])
def test_the_gates_own_key_is_not_the_clients_affair(bridge, status, by):
    """The client must neither log in again nor learn which key it was."""
    with bridge(stories.refused(status, "invalid_api_key", "Incorrect API key: sk-7."), stories.text("Better."), by=by).talk() as talk:
        error = talk.turn("say hi").errs(502, None)["error"]
        assert "sk-7" not in error["message"]
        talk.turn("again").completed("Better.")


@pytest.mark.parametrize("by", ["http", "mock"])
def test_a_whole_response_where_a_stream_was_asked_for_is_told_as_events(bridge, by):
    with bridge(stories.plain_json(), stories.text("Better."), by=by).talk() as talk:
        turn = talk.turn("say hi").completed()
        assert turn.terminal["response"]["output"][0]["content"][0]["text"] == stories.REPLY
        assert turn.types[0] == "response.created" and "response.output_item.done" in turn.types
        talk.turn("again").completed("Better.")


@pytest.mark.parametrize("by", ["http", "socket", "mock"])
@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_an_incomplete_response_is_one_terminal_and_no_failure(bridge, reason, by):
    with bridge(stories.incomplete(reason), stories.text("Better."), by=by).talk() as talk:
        turn = talk.turn("say hi").look()
        assert turn.terminal["type"] == "response.incomplete"
        assert turn.terminal["response"]["incomplete_details"] == {"reason": reason}
        assert turn.text == "Not all of"
        talk.turn("again").completed("Better.")


# What an upstream says that is not the API's ----------------------------------------------------------------------------

BODIES = {
    "another shape": ({"detail": "Unsupported parameter: metadata"}, "Unsupported parameter: metadata"),
    "a text": ("upstream connect error", "upstream connect error"),
    "an array": ([{"error": "bad"}], None),
    "an error that is a text": ({"error": "bad thing"}, "bad thing"),
    "nothing": ("", None),
    "no text": (b"\xff\xfe\x00", None),
    "a page": ("<html><body>Bad gateway</body></html>", None),
    "very much": ("x" * (2 << 20), None),
}


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize("body", BODIES)
def test_a_status_counts_whatever_its_body_is(bridge, body, status):
    data, message = BODIES[body]
    door = bridge(stories.refused_with(status, data), stories.text("Better."))
    with door.talk() as talk:
        event = talk.turn("say hi").look().terminal
        assert (event["type"], event["status"]) == ("error", status)
        assert event["error"]["type"] and event["error"]["message"]
        assert len(json.dumps(event)) < 70_000
        if message:
            assert message in event["error"]["message"]
        talk.turn("again").completed("Better.")


@pytest.mark.parametrize("status", [204, 302, 304])
def test_a_status_that_is_no_answer_is_a_bad_gateway(bridge, status):
    door = bridge(stories.refused_with(status, "" if status != 302 else "elsewhere", (("location", "http://127.0.0.1:1/"),)), stories.text("Better."))
    with door.talk() as talk:
        assert talk.turn("say hi").look().terminal["status"] == 502


def test_retry_after_as_a_date_passes_too(bridge):
    when = "Wed, 21 Oct 2099 07:28:00 GMT"
    with bridge(stories.refused(429, "rate_limit_exceeded", headers=(("retry-after", when),))).talk() as talk:
        assert talk.turn("say hi").errs(429, "rate_limit_exceeded")["headers"]["retry-after"] == when


BROKEN = {
    "no JSON": b"data: {\"type\": \"response.output_text.delta\n\n",
    "no object": b"data: 5\n\n",
    "an array": b"data: []\n\n",
    "no type": b"data: {\"a\": 1}\n\n",
    "no UTF-8": b"data: {\"type\": \"response.output_text.delta\", \"delta\": \"\xff\"}\n\n",
    "no stream": b"<html>" + b"x" * 4096 + b"</html>",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_stream_with_a_broken_event_still_has_one_terminal(bridge, what):
    """An event that is none ends the turn, lines that are no event are passed over; neither is forwarded, nor ends the socket."""
    begun = stories.text("Hello.").steps
    door = bridge(Story("own", {}, (*begun[:4], Bytes(BROKEN[what]), *begun[4:])), stories.text("Better."))
    with door.talk() as talk:
        turn = talk.turn("say hi").look()
        assert turn.terminal["type"] == ("response.completed" if what == "no stream" else "response.failed")
        talk.turn("again").completed("Better.")


def test_an_event_without_end_is_given_up(bridge):
    """64 MiB in one line: more than any event of this API."""
    piece = Bytes(b"x" * (1 << 20))
    door = bridge(Story("own", {}, (*stories.started(), Bytes(b"data: {\"type\": \"x"), *[piece] * 64)), stories.text("Better."))
    with door.talk() as talk:
        assert talk.turn("say hi", timeout=20).look().terminal["type"] == "response.failed"
        talk.turn("again").completed("Better.")


# Nobody there -----------------------------------------------------------------------------------------------------------


def test_an_upstream_that_nobody_serves_is_a_bad_gateway_and_the_socket_stays(bridge, gate):
    door = bridge()
    door.config["route"][0]["upstream"] = f"responses:http://127.0.0.1:{free_port()}/v1"
    door.gate = gate(door.config)
    with door.talk() as talk:
        for _ in range(2):
            event = talk.turn("say hi").look().terminal
            assert (event["type"], event["status"]) == ("error", 502)


def test_silence_before_the_head_is_a_gateway_timeout(bridge):
    door = bridge(stories.silent(before_head=True), more={"response_timeout": "500ms"})
    with door.talk() as talk:
        event = talk.turn("say hi").look().terminal
        assert (event["type"], event["status"]) == ("error", 504)
        talk.turn("again").completed(stories.REPLY)
    assert door.upstream.asked[0].wait_left()


def test_a_head_without_events_and_an_end_is_a_failure(bridge):
    with bridge(Story("own", {}, (Bytes(b": I am here\n\n"),)), stories.text("Better.")).talk() as talk:
        turn = talk.turn("say hi").look()
        assert turn.terminal["type"] == "response.failed"
        talk.turn("again").completed("Better.")


def test_a_reset_between_two_turns_is_not_noticed(bridge):
    """An idle connection to the upstream that died meanwhile costs no turn."""
    door = bridge(stories.text("One.").then(Stop(reset=True)), stories.text("Two."))
    with door.talk() as talk:
        talk.turn("one").completed("One.")
        talk.turn("two").completed("Two.")


# The upstream speaks TLS --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_an_upstreams_certificate_is_judged_by_the_routes_authority(bridge, gate, certs, files, model, scheme):
    """TLS is spoken by a gate before the scripted upstream, whose key the bridge knows and nobody asks for there."""
    door = bridge(stories.text("Over TLS."))
    veil = {**configs.base(files, model.url), "auth": {"required": False}}
    veil["listener"] = [{"url": "wss://127.0.0.1:0", "tls_cert": certs.cert, "tls_key": certs.key}]
    veil["route"] = [{"path": "/*", "upstream": model.url.removesuffix("/v1"), "public": True, "pass_credential": True}]
    base = f"responses:{scheme}://127.0.0.1:{gate(veil).port}/v1"
    for settings, comes_through in (({"tls_ca": certs.ca}, True), ({}, False)):
        told = gate({**door.config, "route": [{**door.config["route"][0], "upstream": base, **settings}]})
        with Talk(told.ws("/v1/responses"), tokens.ALICE) as talk:
            turn = talk.turn("say hi")
            if comes_through:
                turn.completed("Over TLS.")
            else:
                assert (turn.terminal["type"], turn.terminal["status"]) == ("error", 502)
                assert "certificate" not in turn.terminal["error"]["message"]


# The upstream is a socket itself ------------------------------------------------------------------------------------------

RELAYED = {name: ROWS[name] for name in ROWS if name.startswith(("4", "5")) or name.startswith("response.failed")}


@pytest.mark.parametrize("name", RELAYED)
def test_what_a_socket_upstream_says_is_relayed_as_it_is(bridge, name):
    with bridge(RELAYED[name].story, stories.text("Better."), by="socket").talk() as talk:
        RELAYED[name].look(talk.turn("say hi"))
        talk.turn("again").completed("Better.")


def test_a_socket_upstream_that_is_lost_in_mid_turn_is_a_failure_of_that_turn(bridge):
    with bridge(stories.reset_in_mid_stream("The"), stories.text("Better."), by="socket").talk() as talk:
        Row(stories.text(), None, GONE, before=BEGUN, mocked=SAID).look(talk.turn("say hi"))


# One of many ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["http", "mock"])
@pytest.mark.parametrize("name", ["400 of the request", "a reset in mid-stream", "an end without a terminal", "a flat error in mid-stream"])
def test_the_failure_of_a_lane_is_told_on_that_lane(bridge, name, by):
    row = ROWS[name]
    with bridge(row.story, stories.text("Better."), by=by).talk() as talk:
        turn = talk.turn("say hi", stream_id="bad").look("bad")
        assert turn.terminal["type"] == ("error" if row.status else "response.failed")
        talk.turn("again", stream_id="bad").completed("Better.", "bad")


def test_the_end_of_one_turns_upstream_is_not_the_end_of_anothers(bridge):
    go = threading.Event()
    held = Story("own", {}, (*stories.started(), Until(go), *stories.text("Held.").steps[2:]))
    door = bridge(held, stories.reset_in_mid_stream())
    with door.talk() as talk:
        talk.create("wait", stream_id="a")
        door.upstream.wait_asked(1)
        talk.create("die", stream_id="b")
        assert first_end(talk) == ("b", "response.failed")
        go.set()
        assert first_end(talk) == ("a", "response.completed")


def first_end(talk) -> tuple[str, str]:
    while True:
        event = talk.event()
        if event["type"] in ("response.completed", "response.failed", "response.incomplete", "error"):
            return event.get("stream_id"), event["type"]
