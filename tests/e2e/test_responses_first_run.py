"""The first run answers the SDKs: no config, no key of anybody, no network."""

from __future__ import annotations

import re

import pytest

from support import configs, tokens
from support.raw import ask, request
from support.responses_clients import SDKS, WEATHER, agents, node_events
from support.responses_socket import MODEL, Talk

SERVE = ["serve", "--listen", "ws://127.0.0.1:0"]


@pytest.fixture
def door(gate, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    door = gate(argv=SERVE, env={"HOME": str(home), "XDG_STATE_HOME": None}, cwd=home)
    door.process.err.wait(lambda lines: any("#token=" in line for line in lines), what="welcome")
    door.token = re.search(r"^  token: (\S+)$", door.process.err.text(), re.MULTILINE).group(1)
    return door


@pytest.mark.parametrize("sdk", SDKS)
def test_each_sdk_has_turns_with_the_first_run(door, sdk):
    first, second = SDKS[sdk](door.http("/v1"), door.token, [
        {"model": MODEL, "input": "say hi"}, {"model": MODEL, "input": "go on", "previous_response_id": "last"}])
    assert first.completed().text and second.completed().text
    assert first.terminal["response"]["model"] == MODEL


def test_openai_agents_has_a_turn_with_the_first_run(door):
    [answer] = agents(door.http("/v1"), door.token, ["say hi"], MODEL)
    assert answer


def test_codex_has_a_turn_with_the_first_run(door, codex):
    ran = codex.run(door.http("/v1"), door.token)
    assert ran.code == 0 and ran.out.strip(), ran.err
    assert (ran.reconnects, ran.fell_back) == (0, False), ran.err


def test_the_same_question_has_the_same_answer(door):
    said = set()
    for _ in range(3):
        with Talk(door.ws("/v1/responses"), door.token) as talk:
            turn = talk.turn("say hi").completed()
            said.add((turn.text, tuple(turn.types)))
    assert len(said) == 1


def test_plain_http_is_answered_too(door):
    from openai import OpenAI

    with OpenAI(api_key=door.token, base_url=door.http("/v1"), max_retries=0) as client:
        assert client.responses.create(model=MODEL, input="say hi").output_text
        kinds = [event.type for event in client.responses.create(model=MODEL, input="say hi", tools=[WEATHER], stream=True)]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


@pytest.mark.parametrize("way", ["a file", "one line"])
def test_the_demo_has_the_same_models_however_it_is_served(gate, files, tmp_path, way):
    if way == "a file":
        live = gate(configs.base(files, "builtin:demo"))
    else:
        live = gate(argv=[*SERVE, "--upstream", "builtin:demo", "--ws-auth", "capability-token", "--ws-token-file", files["one"]])
    [turn] = SDKS["openai-python"](live.http("/v1"), tokens.ALICE, [{"model": MODEL, "input": "say hi"}])
    assert turn.completed().text
    page = ask(live.port, request("GET", "/", [("Authorization", f"Bearer {tokens.ALICE}")], host=live.authority))
    assert page.status == 200 and page.header("content-type").startswith("text/html")
    refused = ask(live.port, request("GET", "/v1/models", host=live.authority))
    assert refused.status == 401


def test_without_the_token_nobody_is_answered(door):
    [seen] = node_events("openai", door.http("/v1"), tokens.WRONG, [{"model": MODEL, "input": "say hi"}])
    assert "401" in seen["failed"]
