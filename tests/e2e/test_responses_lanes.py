"""Lanes of one socket: named streams that run beside each other, each in its own order, within limits."""

from __future__ import annotations

import threading

import pytest

from support import responses_story as stories
from support.responses_socket import TERMINALS
from support.responses_story import Story, Until

BEHIND = ["http", "socket", "mock"]
LONG = " ".join("abcdefghijklmnopqr")


def echo(body: dict) -> Story:
    """Answers with the last text that it was given."""
    given = body["input"]
    return stories.text(given if isinstance(given, str) else last_text(given), pace=0.01)


def last_text(items: list) -> str:
    content = items[-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def held(go: threading.Event, reply: str = "Held.") -> Story:
    """Begins at once, and goes on when it may."""
    return Story("own", {}, (*stories.started(), Until(go), *stories.text(reply).steps[2:]))


@pytest.mark.parametrize("by", BEHIND)
def test_two_lanes_run_beside_each_other(bridge, by):
    told = [stories.text(LONG, pace=0.05)] * 2
    with bridge(*told, by=by).talk() as talk:
        talk.create("one", stream_id="left").create("two", stream_id="right")
        ended = dict(talk.turns(2))
    for lane in ("left", "right"):
        ended[lane].completed(LONG, lane)
    changes = sum(one != other for one, other in zip(talk.order, talk.order[1:]))
    assert changes > 2, talk.order


@pytest.mark.parametrize("by", BEHIND)
def test_the_lane_without_a_name_runs_beside_the_others_and_stays_without(bridge, by):
    told = [stories.text(LONG, pace=0.05)] * 2
    with bridge(*told, by=by).talk() as talk:
        talk.create("one").create("two", stream_id="right")
        ended = dict(talk.turns(2))
    ended[None].completed(LONG)
    ended["right"].completed(LONG, "right")


def test_a_lane_answers_in_the_order_in_which_it_was_asked_and_asks_one_at_a_time(bridge):
    door = bridge()
    door.upstream.choose(echo)
    with door.talk() as talk:
        for number in range(4):
            for lane in ("a", "b"):
                talk.create(f"{lane}{number}", stream_id=lane)
        ended = talk.turns(8)
    for lane in ("a", "b"):
        assert [turn.completed(lane=lane).text for name, turn in ended if name == lane] == [f"{lane}{number}" for number in range(4)]
    for lane in ("a", "b"):
        mine = [asked for asked in door.upstream.asked if asked.texts()[-1].startswith(lane)]
        assert [asked.texts() for asked in mine] == [[f"{lane}{number}"] for number in range(4)]


def test_a_turn_that_waits_in_its_lane_is_not_asked_before_its_time(bridge):
    go = threading.Event()
    door = bridge(held(go))
    with door.talk() as talk:
        talk.create("first", stream_id="a").create("second", stream_id="a")
        door.upstream.wait_asked(1)
        # Another lane passes by; what waits does not.
        talk.create("third", stream_id="b")
        door.upstream.wait_asked(2)
        assert [asked.texts() for asked in door.upstream.asked] == [["first"], ["third"]]
        go.set()
        ended = talk.turns(3)
    assert [asked.texts() for asked in door.upstream.asked][2] == ["second"]
    assert [lane for lane, _ in ended].count("a") == 2


@pytest.mark.parametrize("by", BEHIND)
def test_an_error_on_a_lane_stops_no_other(bridge, by):
    with bridge(stories.text(LONG, pace=0.05), stories.refused(400, "invalid_value"), stories.text("And on."), by=by).talk() as talk:
        talk.create("one", stream_id="good")
        while talk.event()["type"] != "response.output_text.delta":
            pass
        talk.create("two", stream_id="bad").create("three", stream_id="bad")
        ended = talk.turns(3)
    turns = {}
    for lane, turn in ended:
        turns.setdefault(lane, []).append(turn)
    [good] = turns["good"]
    assert good.terminal["type"] == "response.completed"
    assert good.terminal["response"]["output"][0]["content"][0]["text"] == LONG
    refused, after = turns["bad"]
    refused.errs(400, "invalid_value", "bad")
    after.completed("And on.", "bad")


# Names ----------------------------------------------------------------------------------------------------------------

NO_NAMES = ["", "x" * 257, "a b", "a/b", "ä", "a\n", 7, True, ["a"], {"a": 1}]


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_a_name_that_is_none_is_refused_and_the_socket_serves_the_next(bridge, name):
    door = bridge()
    with door.talk() as talk:
        turn = talk.turn("say hi", stream_id=name)
        event = turn.terminal
        assert (len(turn.events), event["type"], event["status"]) == (1, "error", 400), turn.events
        assert (event["error"]["code"], event["error"]["param"], event["error"]["type"]) == ("invalid_stream_id", "stream_id", "invalid_request_error")
        talk.turn("say hi", stream_id="a.b-c_D9").completed(lane="a.b-c_D9")
        talk.turn("say hi", stream_id="x" * 256).completed(lane="x" * 256)
    assert len(door.upstream.asked) == 2


def test_the_33rd_name_is_refused_and_the_32_go_on(bridge):
    door = bridge()
    with door.talk() as talk:
        talk.turn("say hi").completed()
        for number in range(32):
            talk.turn("say hi", stream_id=f"lane-{number}").completed(lane=f"lane-{number}")
        error = talk.turn("say hi", stream_id="lane-32").errs(400, "websocket_stream_limit_reached", "lane-32")["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", "stream_id")
        talk.turn("say hi", stream_id="lane-7").completed(lane="lane-7")
        talk.turn("say hi").completed()
    assert len(door.upstream.asked) == 35


def test_16_turns_run_at_once_and_the_17th_waits_for_the_first_end(bridge):
    goes = [threading.Event() for _ in range(16)]
    door = bridge(*(held(go) for go in goes))
    with door.talk() as talk:
        for number in range(17):
            talk.create(f"turn {number}", stream_id=f"lane-{number}")
        door.upstream.wait_asked(16)
        # The lanes that run are told so; of the 17th nothing is heard, here or there.
        begun = set()
        while len(begun) < 16:
            begun.add(talk.event()["stream_id"])
        assert begun == {f"lane-{number}" for number in range(16)}
        last = {event["stream_id"] for event in drained(talk)}
        assert "lane-16" not in last and len(door.upstream.asked) == 16
        goes[3].set()
        assert door.upstream.wait_asked(17).texts() == ["turn 16"]
        for go in goes:
            go.set()
        ends = [event["stream_id"] for event in ends_of(talk, 17)]
    assert sorted(ends) == sorted(f"lane-{number}" for number in range(17))


def drained(talk) -> list[dict]:
    """What arrives until nothing does."""
    events = []
    while not talk.quiet(0.3):
        events.append(talk.event())
    return events


def ends_of(talk, count: int) -> list[dict]:
    ends = []
    while len(ends) < count:
        event = talk.event()
        if event["type"] in TERMINALS:
            ends.append(event)
    return ends


def test_more_than_can_wait_is_refused_and_nothing_that_was_taken_is_lost(bridge):
    """Ten thousand turns at once: one is under way, 64 wait, and there is an error for each other one."""
    taken = 1 + 64
    go = threading.Event()
    door = bridge(held(go))
    with door.talk() as talk:
        for _ in range(10_000):
            talk.create("say hi", stream_id="busy")
        refused = 0
        door.upstream.wait_asked(1)
        while refused < 10_000 - taken:
            event = talk.event()
            if event["type"] == "error":
                assert event["stream_id"] == "busy" and event["status"] == 429, event
                refused += 1
        go.set()
        assert {event["type"] for event in ends_of(talk, taken)} == {"response.completed"}


# Forks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_a_lane_may_begin_where_another_one_is(bridge, by):
    door = bridge(stories.text("Trunk."), stories.text("Left."), stories.text("Right."), by=by)
    with door.talk() as talk:
        trunk = talk.turn("grow", stream_id="trunk").completed("Trunk.", "trunk")
        talk.turn("left", stream_id="left", previous_response_id=trunk.id).completed("Left.", "left")
        talk.turn("right", stream_id="right", previous_response_id=trunk.id).completed("Right.", "right")
    if door.merges:
        assert [asked.texts() for asked in door.upstream.asked[1:]] == [["grow", "Trunk.", "left"], ["grow", "Trunk.", "right"]]


def test_a_lane_that_begins_anew_knows_nothing_of_its_past(bridge):
    door = bridge()
    with door.talk() as talk:
        talk.turn("one", stream_id="a").completed(lane="a")
        talk.turn("two", stream_id="a").completed(lane="a")
    assert [asked.texts() for asked in door.upstream.asked] == [["one"], ["two"]]


# Steering ---------------------------------------------------------------------------------------------------------------

STEER = '{"type": "response.steer", "previous_response_id": "%s", "input": [{"role": "user", "content": "shorter"}]}'


def test_steering_is_a_proper_failure_where_the_upstream_knows_none(bridge):
    go = threading.Event()
    door = bridge(held(go))
    with door.talk() as talk:
        name = talk.create("say hi").event()["response"]["id"]
        talk.say(STEER % name)
        while (event := talk.event())["type"] != "response.steer.failed":
            assert event["type"] == "response.in_progress", event
        assert "steering_not_supported" in str(event), event
        go.set()
        [end] = ends_of(talk, 1)
    assert end["type"] == "response.completed"
    assert len(door.upstream.asked) == 1


def test_steering_reaches_a_socket_upstream_that_knows_it(bridge):
    go = threading.Event()
    door = bridge(held(go), by="socket")
    with door.talk() as talk:
        name = talk.create("say hi").event()["response"]["id"]
        talk.say(STEER % name)
        while (event := talk.event())["type"] == "response.in_progress":
            pass
        assert event["type"] == "response.steer.accepted", event
        go.set()
        [end] = ends_of(talk, 1)
    assert end["type"] == "response.completed"
    assert door.upstream.asked[1].body["type"] == "response.steer"
