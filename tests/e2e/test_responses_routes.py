"""Several bridges in one gate, and how soon an upstream that is not there is given up."""

from __future__ import annotations

import json

import pytest

from support import responses, responses_story as stories, tokens
from support.responses_socket import Talk

SCENES = {"scene": [
    {"user": "weather", "steps": [{"call": {"name": "get_weather", "arguments": {"town": "Bern"}}}]},
    {"model": "small", "steps": [{"text": "{model} says: {prompt}"}]},
    {"user": "fail", "answer": {"status": {"code": 429, "headers": {"retry-after": "1"}, "body": {"error": {"type": "rate_limit_error", "message": "Slow down.", "code": "slow"}}}}},
    {"steps": [{"text": "A scene in JSON."}]},
]}


@pytest.fixture
def both(gate, files, model, tmp_path):
    """A gate with a route to the upstream, and one whose answers are scenes in JSON; all else of the two is the same."""
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps(SCENES))
    same = {"aliases": [{"match": "fast", "to": "small"}], "models": ["fast", "gpt-*"]}
    config = responses.config(model.url, files, **same)
    mocked = responses.route(model.url, files, mock="inject", scenes=path, **same)
    config["route"].append({**mocked, "name": "mocked", "path": "/mock/*"})
    live = gate(config)
    return live, lambda route: Talk(live.ws(f"/{route}/responses"), tokens.ALICE)


def test_one_gate_has_a_route_to_the_upstream_and_one_that_is_mocked(both, model):
    model.tell(stories.text("The upstream says so."), stories.text("And again."))
    live, talk = both
    with talk("v1") as real, talk("mock") as mocked:
        real.turn("say hi").completed("The upstream says so.")
        mocked.turn("say hi").completed("A scene in JSON.")
        real.turn("go on").completed("And again.")
        # The same preparation, and the same policy.
        assert mocked.turn("hello", model="fast").completed("small says: hello").terminal["response"]["model"] == "fast"
        for one in (real, mocked):
            one.turn("say hi", model="o3").errs(400, "model_not_found")
    assert len(model.asked) == 2
    assert sorted(fields["route"] for fields in live.decisions("admitted")) == ["mocked", "responses"]


def test_scenes_in_json_call_and_fail_as_those_in_toml(both):
    _, talk = both
    with talk("mock") as mocked:
        [item] = mocked.turn("the weather?").completed("").terminal["response"]["output"]
        assert (item["name"], json.loads(item["arguments"])) == ("get_weather", {"town": "Bern"})
        event = mocked.turn("fail").errs(429, "slow")
        assert event["headers"]["retry-after"] == "1"


# Upstreams that are not there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_a_host_that_says_nothing_in_tls_is_no_connection_in_time(gate, files, raw_upstream, scheme):
    """It was not reached, whatever its port: 502 after `connect_timeout`, as for a port that nobody answers. 504 is for an upstream that was asked."""
    silent = raw_upstream(lambda connection: connection.read(1 << 20))
    config = responses.config(f"{scheme}://127.0.0.1:{silent.port}/v1", files, more={"connect_timeout": "300ms", "response_timeout": "20s"})
    live = gate(config)
    with Talk(live.ws("/v1/responses"), tokens.ALICE) as talk:
        turn = talk.turn("say hi", timeout=10)
    error = turn.errs(502, None)["error"]
    assert error["type"] == "server_error"


@pytest.mark.parametrize("by", ["http", "socket"])
def test_an_upstream_that_was_asked_and_says_nothing_is_504(raw_upstream, gate, files, by):
    silent = raw_upstream(lambda connection: connection.read(1 << 20))
    scheme = {"http": "http", "socket": "ws"}[by]
    live = gate(responses.config(f"{scheme}://127.0.0.1:{silent.port}/v1", files, more={"response_timeout": "300ms"}))
    with Talk(live.ws("/v1/responses"), tokens.ALICE) as talk:
        assert talk.turn("say hi").errs(504, None)["error"]["type"] == "server_error"
