"""How long things live on the bridge: while a model thinks, when a client leaves, after an hour; and what is written down of each turn."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time

import pytest

from support import responses_story as stories, tokens
from support.process import eventually
from support.raw import TEXT, Raw, close_frame, request
from support.responses_clients import SDKS, agents
from support.responses_socket import MODEL, TERMINALS
from support.responses_story import Bytes, Story, Until, Wait

# How soon the upstream is left when nobody wants its answer any more, on a machine that is busy with other things.
SOON = 0.1
SLACK = 0.4


# While it thinks --------------------------------------------------------------------------------------------------------

THINKING = {
    "before the head": lambda: stories.text("Hello.").before(Wait(2.5)),
    "before the first event": lambda: stories.text("Hello.").before(Bytes(b": I am here\n\n"), Wait(2.5)),
    "before the output": lambda: stories.text("Hello.", think=2.5),
    "between the words": lambda: Story("own", {}, (*stories.text("Hello.").steps[:5], Wait(2.5), *stories.text("Hello.").steps[5:])),
}


@pytest.mark.parametrize("when", THINKING)
def test_while_the_model_thinks_the_client_is_told_that_it_lives(bridge, when):
    door = bridge(THINKING[when](), keepalive="500ms")
    with door.talk() as talk:
        turn = talk.turn("say hi").completed("Hello.")
    gaps = [after - before for before, after in zip(turn.times, turn.times[1:])]
    assert max(gaps) < 1.2, list(zip(turn.types, turn.times))
    told = [kind for kind in turn.types if kind not in {step.data["type"] for step in stories.text("Hello.").steps}]
    repeated = turn.types.count("response.in_progress") - 1
    assert len(told) + repeated >= 3, turn.types
    # Nothing is said before the response exists that claims to be of it.
    assert all("response" not in event for event in turn.events[:turn.types.index("response.created")])


def test_while_a_stream_flows_nothing_is_added(bridge):
    with bridge(stories.text("a b c d e f g h i j", pace=0.2), keepalive="1s").talk() as talk:
        turn = talk.turn("say hi").completed("a b c d e f g h i j")
    assert turn.numbers == list(range(18))


def test_an_idle_socket_is_told_nothing(bridge):
    with bridge(keepalive="500ms").talk() as talk:
        talk.turn("say hi").completed()
        assert talk.quiet(2)


def test_each_lane_is_kept_alive_by_its_own_name(bridge):
    with bridge(stories.text("A.", think=2), stories.text("B.", think=2), keepalive="500ms").talk() as talk:
        talk.create("a", stream_id="a").create("b", stream_id="b")
        for lane, turn in talk.turns(2):
            assert turn.look(lane).terminal["type"] == "response.completed"


@pytest.mark.parametrize("sdk", SDKS)
def test_the_sdks_take_what_keeps_them_alive(bridge, sdk):
    door = bridge(stories.text("Hello.", think=2), stories.text("Again.").before(Wait(2)), keepalive="500ms")
    first, second = SDKS[sdk](door.base, door.token, [{"model": MODEL, "input": "one"}, {"model": MODEL, "input": "two"}])
    assert (first.text, second.text) == ("Hello.", "Again.")


def test_openai_agents_takes_what_keeps_it_alive(bridge):
    door = bridge(stories.text("Hello.", think=2), stories.text("Again.").before(Wait(2)), keepalive="500ms")
    assert agents(door.base, door.token, ["one", "two"], MODEL) == ["Hello.", "Again."]


# When the client leaves -------------------------------------------------------------------------------------------------


CREATE = json.dumps({"type": "response.create", "model": MODEL, "input": "say hi"}).encode()
LEAVES = {
    "says farewell": lambda raw: raw.send(close_frame(1000)),
    "is gone": Raw.close,
    "is lost": Raw.reset,
}


@pytest.mark.parametrize("by", ["http", "socket"])
@pytest.mark.parametrize("how", LEAVES)
@pytest.mark.parametrize("when", ["before the head", "before the output", "between the words"])
def test_the_upstream_is_left_when_its_client_leaves(bridge, how, when, by):
    story, heard = {
        "before the head": (stories.silent(before_head=True), None),
        "before the output": (stories.silent(), b"response.created"),
        "between the words": (stories.text("a b c " * 200, pace=0.05), b"response.output_text.delta"),
    }[when]
    door = bridge(story, by=by)
    with Raw(door.gate.port) as raw:
        raw.open("/v1/responses", [("Authorization", f"Bearer {door.token}")], host=door.gate.authority)
        raw.send_frame(TEXT, CREATE)
        asked = door.upstream.wait_asked(1)
        if heard:
            raw.read_until(heard)
        at = time.monotonic()
        LEAVES[how](raw)
        took = asked.wait_left() - at
    assert took < SOON + SLACK, took


def test_all_lanes_of_a_client_that_leaves_are_left_and_what_waited_is_never_asked(bridge):
    door = bridge(*[stories.silent() for _ in range(5)])
    talk = door.talk()
    for number in range(4):
        talk.create(f"turn {number}", stream_id=f"lane-{number}").create("waits", stream_id=f"lane-{number}")
    door.upstream.wait_asked(4)
    at = time.monotonic()
    talk.vanish()
    took = [asked.wait_left() - at for asked in list(door.upstream.asked)]
    assert max(took) < SOON + SLACK, took
    assert len(door.upstream.asked) == 4


@pytest.mark.parametrize("by", ["http", "socket"])
def test_the_median_of_ten_leaves_takes_less_than_100_ms_and_none_much_longer(bridge, by):
    """The median without slack: a busy machine adds to single ones."""
    door = bridge(*[stories.silent() for _ in range(10)], by=by)
    took = []
    for number in range(10):
        talk = door.talk()
        assert talk.create("say hi").event()["type"] == "response.created"
        at = time.monotonic()
        talk.vanish()
        took.append(door.upstream.asked[number].wait_left() - at)
    assert statistics.median(took) < SOON, took
    assert max(took) < SOON + SLACK, took


def test_a_post_that_is_left_leaves_its_upstream(bridge):
    door = bridge(stories.silent())
    body = json.dumps({"model": MODEL, "input": "hi", "stream": True}).encode()
    fields = [("Authorization", f"Bearer {tokens.ALICE}"), ("Content-Length", str(len(body)))]
    with Raw(door.gate.port) as raw:
        raw.send(request("POST", "/v1/responses", fields, host=door.gate.authority, body=body))
        raw.read_until(b"response.created")
        at = time.monotonic()
        raw.close()
        assert door.upstream.asked[0].wait_left() - at < SOON + SLACK


def test_a_client_that_reads_nothing_holds_no_memory(bridge):
    """The upstream says 256 MiB; the client reads none of it."""
    door = bridge(stories.text(" ".join(["x" * (1 << 20)] * 256)))
    with door.talk() as talk:
        talk.create("say much")
        asked = door.upstream.wait_asked(1)
        seen = [-1]

        def stuck() -> bool:
            seen.append(asked.told)
            return seen[-1] == seen[-2]

        # Nobody takes what the upstream says, so that it gets stuck.
        eventually(stuck, timeout=20, every=0.5, what="a stuck upstream")
        assert asked.told < 256
        assert largest(door.gate.process.pid) < 128 << 20


def largest(pid: int) -> int:
    """The largest that the process ever was, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


# After an hour ------------------------------------------------------------------------------------------------------------


def test_a_socket_that_is_too_old_says_so_in_the_protocols_own_words(bridge):
    door = bridge(max_age="1s")
    begun = time.monotonic()
    with door.talk() as talk:
        talk.turn("say hi").completed()
        event = talk.event()
        assert 0.9 < time.monotonic() - begun < 3
        error = event["error"]
        assert (event["type"], event["status"], error["type"], error["code"]) == ("error", 400, "invalid_request_error", "websocket_connection_limit_reached")
        assert error["message"].startswith("Responses websocket connection limit reached")
        assert talk.closed()[0] == 1000
    assert len(door.upstream.asked) == 1


def test_what_waits_when_the_socket_grows_old_is_refused_and_what_runs_is_finished(bridge):
    door = bridge(stories.text("a b c d e f g h", pace=0.25), max_age="1s")
    with door.talk() as talk:
        talk.create("runs").create("waits")
        ended = talk.turns(2)
        kinds = sorted(turn.terminal["type"] for _, turn in ended)
        assert kinds == ["error", "response.completed"], kinds
    assert len(door.upstream.asked) == 1


def test_a_turn_that_runs_when_the_socket_grows_old_is_finished(bridge):
    with bridge(stories.text("a b c d e f g h", pace=0.25), max_age="1s").talk() as talk:
        talk.turn("say hi").completed("a b c d e f g h")


# What is written down -----------------------------------------------------------------------------------------------------


def metric(door, name: str, **labels) -> float:
    for line in door.gate.metrics().splitlines():
        head, _, value = line.rpartition(" ")
        if head.split("{")[0] == name and all(f'{key}="{want}"' in head for key, want in labels.items()):
            return float(value)
    return 0


def turns_of(door) -> list[dict]:
    return [record["fields"] for record in door.gate.records() if record.get("target") == "portcullis::turn"]


@pytest.mark.parametrize("by", ["http", "socket", "mock"])
def test_the_tokens_of_each_turn_are_in_the_log_and_in_the_metrics(bridge, by):
    door = bridge(stories.text("One."), stories.text("Two."), stories.refused(400, "invalid_value"), by=by)
    with door.talk() as talk:
        talk.turn("one").completed("One.")
        talk.turn("two", stream_id="a").completed("Two.", "a")
        talk.turn("three").errs(400, "invalid_value")
        eventually(lambda: len(turns_of(door)) == 3, what="three turns in the log")
    first, second, third = turns_of(door)
    for turn in (first, second):
        assert (turn["model"], turn["subject"], turn["route"]) == (MODEL, "alice", "responses")
        assert (turn["tokens_in"], turn["tokens_out"], turn["tokens_cached"]) == (42, 7, 10)
        assert 0 <= turn["first_token_ms"] <= turn["duration_ms"] < 10_000
    assert third.get("tokens_out") in (None, 0)
    assert metric(door, "portcullis_turn_tokens_total", kind="input") == 84
    assert metric(door, "portcullis_turn_tokens_total", kind="output") == 14
    assert metric(door, "portcullis_turn_tokens_total", kind="cached") == 20


@pytest.mark.parametrize("by", ["http", "socket", "mock"])
def test_how_long_turns_and_their_first_tokens_took_is_in_the_metrics(bridge, by):
    door = bridge(stories.text("One.", think=0.3), stories.text("Two.", think=0.3), stories.refused(400, "invalid_value"), by=by)
    with door.talk() as talk:
        talk.turn("one").completed("One.")
        talk.turn("two").completed("Two.")
        talk.turn("three").errs(400, "invalid_value")
        eventually(lambda: len(turns_of(door)) == 3, what="three turns in the log")
    turns = turns_of(door)
    # The one that was refused had no token.
    for name, field, count in (("duration", "duration_ms", 3), ("first_token", "first_token_ms", 2)):
        told = [turn[field] for turn in turns if turn.get(field) is not None]
        assert len(told) == count
        name = f"portcullis_turn_{name}_seconds"
        assert metric(door, f"{name}_count", route="responses") == count
        # The log has whole milliseconds, rounded down.
        total = metric(door, f"{name}_sum", route="responses")
        assert 0.6 <= total and 0 <= total * 1000 - sum(told) < count, (total, told)


def test_the_tokens_of_a_post_count_too(bridge):
    door = bridge(stories.text("One."), stories.text("Two."))
    for stream in (True, False):
        assert door.post(json.dumps({"model": MODEL, "input": "hi", "stream": stream}).encode()).status == 200
    eventually(lambda: len(turns_of(door)) == 2, what="two turns in the log")
    assert [(turn["tokens_in"], turn["tokens_out"]) for turn in turns_of(door)] == [(42, 7)] * 2


def test_what_was_said_is_in_no_log(bridge):
    door = bridge(stories.text(f"The answer is {tokens.MARK}."))
    with door.talk() as talk:
        talk.turn(f"The question is {tokens.MARK}.").completed()
    # The gate's end looks for the mark in all that it printed.
    eventually(lambda: len(turns_of(door)) == 1, what="the turn in the log")


# Many at once ---------------------------------------------------------------------------------------------------------------


def test_a_hundred_sockets_have_their_own_turns(bridge):
    import websockets

    door = bridge()
    door.upstream.choose(lambda body: stories.text(f"You said {body['input'][-1]['content'] if isinstance(body['input'], list) else body['input']}.", pace=0.01))

    async def one(number: int) -> str:
        async with websockets.connect(door.url, additional_headers={"Authorization": f"Bearer {tokens.ALICE}"}, proxy=None) as socket:
            await socket.send(json.dumps({"type": "response.create", "model": MODEL, "input": f"number {number}"}))
            said = ""
            async for message in socket:
                event = json.loads(message)
                said += event.get("delta", "")
                if event["type"] in TERMINALS:
                    return said

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(100)))

    assert asyncio.run(all_of_them()) == [f"You said number {number}." for number in range(100)]


def test_a_stalled_upstream_stalls_nobody_else(bridge):
    go = threading.Event()
    door = bridge(Story("own", {}, (*stories.started(), Until(go), *stories.text("Held.").steps[2:])))
    with door.talk() as talk, door.talk() as other:
        talk.create("wait")
        door.upstream.wait_asked(1)
        for _ in range(10):
            other.turn("say hi").completed(stories.REPLY)
        go.set()
        talk.turn().completed("Held.")


# A drain ------------------------------------------------------------------------------------------------------------------


def test_a_turn_under_way_ends_well_in_a_drain_and_no_other_begins(bridge):
    go = threading.Event()
    door = bridge(Story("own", {}, (*stories.started(), Until(go), *stories.text("To the end.").steps[2:])))

    with door.talk() as talk:

        def refused() -> bool:
            talk.create("more", stream_id="b")
            while (event := talk.event())["type"] not in TERMINALS:
                pass
            assert event["stream_id"] == "b", event
            return event["type"] == "error" and event["status"] == 503

        talk.create("say hi")
        while talk.event()["type"] != "response.created":
            pass
        door.gate.drain()
        eventually(refused, what="a turn that is refused")
        go.set()
        while (event := talk.event())["type"] not in TERMINALS:
            pass
        assert event["type"] == "response.completed"
        assert talk.closed() == (1012, "draining")
    assert door.gate.process.wait(10) == 0
