"""Who may open a socket of the bridge, how who may not is told, and how the same is decided anew for each turn."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from websockets.exceptions import InvalidStatus

from support import browser as browser_, responses_story as stories, table, tokens
from support.browser import closed, event, fetch, socket, sockets
from support.gate import binary
from support.process import clean_env, eventually
from support.raw import Raw, ask, request, upgrade
from support.responses_clients import SDKS, node_events
from support.responses_socket import MODEL, Talk

OPERATOR = f"operator-{tokens.MARK}-token"
CREATE = json.dumps({"type": "response.create", "model": MODEL, "input": "say hi"})
BEHIND = ["http", "socket", "mock"]

BAD = {
    "missing_credential": lambda: None,
    "malformed_credential": lambda: "Basic dXNlcjpwdw==",
    "invalid_credential": lambda: f"Bearer {tokens.WRONG}",
    "expired": lambda: f"Bearer {tokens.make(exp=-60)}",
    "not_yet_valid": lambda: f"Bearer {tokens.make(nbf=300)}",
}


def headers_of(code: str) -> list:
    value = BAD[code]()
    return [] if value is None else [("Authorization", value)]


# Native clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
@pytest.mark.parametrize("code", BAD)
def test_an_upgrade_is_refused_before_accept_and_nothing_is_asked(bridge, code, by):
    door = bridge(by=by)
    upgraded = ask(door.gate.port, upgrade("/v1/responses", headers_of(code), host=door.gate.authority))
    posted = ask(door.gate.port, request("POST", "/v1/responses", [*headers_of(code), ("Content-Length", "2")], host=door.gate.authority, body=b"{}"))
    for answer in (upgraded, posted):
        table.assert_denied(answer, code)
    assert door.upstream.server.untouched()


def test_a_route_without_verifiers_and_without_public_is_no_route(bridge):
    """Nothing that is forgotten opens a bridge."""
    with pytest.raises(AssertionError, match="verifiers"):
        bridge(more={"verifiers": []})


@pytest.mark.parametrize("carried", [("x-api-key", tokens.ALICE), ("api-key", tokens.ALICE), ("Sec-WebSocket-Protocol", f"openai-insecure-api-key.{tokens.ALICE}")])
def test_a_credential_elsewhere_opens_nothing_by_itself(bridge, carried):
    door = bridge()
    table.assert_denied(ask(door.gate.port, upgrade("/v1/responses", [carried], host=door.gate.authority)), "missing_credential")
    answer = ask(door.gate.port, upgrade(f"/v1/responses?access_token={tokens.ALICE}", host=door.gate.authority))
    table.assert_denied(answer, "missing_credential")


def test_an_sdk_is_told_the_status_of_its_refusal(bridge):
    door = bridge()
    with pytest.raises(InvalidStatus) as error:
        SDKS["openai-python"](door.base, tokens.WRONG, [{"model": MODEL, "input": "hi"}])
    assert error.value.response.status_code == 401
    assert json.loads(error.value.response.body)["code"] == "invalid_credential"
    for sdk in ("openai", "openai-6"):
        [seen] = node_events(sdk, door.base, tokens.WRONG, [{"model": MODEL, "input": "hi"}])
        assert "401" in seen["failed"]


@pytest.mark.parametrize("token", ["capability", "jwt"])
@pytest.mark.parametrize("by", BEHIND)
def test_a_good_credential_opens_it_whatever_stands_behind(bridge, token, by):
    door = bridge(stories.text("Hello."), by=by)
    with door.talk(tokens.ALICE if token == "capability" else tokens.make()) as talk:
        talk.turn("say hi").completed("Hello.")
    assert door.gate.wait_decision(message="admitted", protocol="websocket")["subject"] == "alice"


def test_where_websocket_is_off_an_upgrade_is_426_with_a_good_credential_and_401_without(bridge):
    door = bridge(websocket=False)
    answer = ask(door.gate.port, upgrade("/v1/responses", [("Authorization", f"Bearer {tokens.ALICE}")], host=door.gate.authority))
    assert answer.status == 426
    table.assert_denied(ask(door.gate.port, upgrade("/v1/responses", host=door.gate.authority)), "missing_credential")
    assert json.loads(door.post(json.dumps({"model": MODEL, "input": "hi"}).encode()).body)["status"] == "completed"


# Browsers ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    browser = browser_.Browser()
    yield browser
    browser.stop()


@pytest.fixture
def page(bridge, browser, tmp_path):
    """A bridge behind a gate that serves a page, too, with tickets."""

    def start(*told, **kwargs):
        door = bridge(*told, more={"carriers": ["header", "subprotocol", "cookie:sid", "ticket"]}, **kwargs)
        door.config["ledger"] = {"url": f"sqlite:{tmp_path / 'ledger.db'}"}
        door.config["route"].append({"name": "page", "path": "/page", "upstream": browser.pages, "public": True})
        return door

    return start


def test_chromium_opens_it_with_a_ticket_and_has_a_turn(page, gate, browser):
    door = page(stories.text("Hello, page."))
    live = gate(door.config)
    mint = fetch(live.http("/.portcullis/ticket?route=/v1/responses"), method="POST")
    [fetched] = browser.visit(live.http("/page"), mint, cookies={"sid": tokens.ALICE})
    ticket = json.loads(fetched["text"])["ticket"]
    [[seen], [again]] = browser.visit(
        live.http("/page"), sockets(socket(f"{live.ws('/v1/responses')}?ticket={ticket}", send=[CREATE], until=10)),
        sockets(socket(f"{live.ws('/v1/responses')}?ticket={ticket}", send=[CREATE])))
    told = [json.loads(one["text"]) for one in seen if one["event"] == "message"]
    assert (told[0]["type"], told[-1]["type"]) == ("response.created", "response.completed")
    assert "".join(one.get("delta", "") for one in told) == "Hello, page."
    assert closed(seen)[0] == 1000
    assert closed(again) == table.close_of("invalid_credential")
    assert len(door.upstream.asked) == 1
    assert ticket not in live.process.err.text() and ticket not in door.upstream.asked[0].head


def test_chromium_opens_it_with_a_token_in_a_subprotocol(page, gate, browser):
    """As the SDKs for browsers do."""
    door = page(stories.text("Hello, page."))
    live = gate(door.config)
    offer = ["openai-beta.responses.v1", tokens.openai(tokens.ALICE)]
    [[seen]] = browser.visit(live.http("/page"), sockets(socket(live.ws("/v1/responses"), offer, send=[CREATE], until=10)))
    assert json.loads(seen[-2]["text"])["type"] == "response.completed"
    assert event(seen, "open")["protocol"] == "openai-beta.responses.v1"


@pytest.mark.parametrize("code", ["missing_credential", "invalid_credential", "expired", "not_yet_valid"])
def test_chromium_hears_why_it_was_refused(page, gate, browser, code):
    door = page()
    live = gate(door.config)
    offers = {"missing_credential": [], "invalid_credential": [tokens.own(tokens.WRONG)], "expired": [tokens.own(tokens.make(exp=-60))],
              "not_yet_valid": [tokens.own(tokens.make(nbf=300))]}[code]
    [[seen]] = browser.visit(live.http("/page"), sockets(socket(live.ws("/v1/responses"), [*offers, "chat.v1"], send=[CREATE])))
    assert closed(seen) == table.close_of(code)
    assert door.upstream.server.untouched()


# In mid-socket ----------------------------------------------------------------------------------------------------------


def test_a_token_that_expires_ends_its_socket_and_its_turn(bridge):
    door = bridge(stories.text("Hello."), stories.silent("And"))
    with door.talk(tokens.make(exp=3)) as talk:
        talk.turn("say hi").completed("Hello.")
        talk.create("go on")
        assert talk.closed() == (4001, "expired")
    left = door.upstream.asked[1].wait_left()
    assert left - door.upstream.asked[1].at < 5
    assert door.gate.wait_session_end(reason="expired")["route"] == "responses"


@pytest.fixture
def operated(bridge, tmp_path):
    """A bridge of a gate with operators and a ledger."""

    def start(*told, **kwargs):
        operators = tmp_path / "operators.txt"
        operators.write_text(f"olga:{OPERATOR}\n")
        operators.chmod(0o600)
        top = {"admin": {"listen": "127.0.0.1:0", "verifiers": ["operators"]}, "ledger": {"url": "sqlite:ledger.db"}}
        return bridge(*told, top=top, operators=operators, **kwargs)

    return start


def portcullis(door, *argv: str):
    env = {"PORTCULLIS_ADMIN": door.gate.admin_url, "PORTCULLIS_ADMIN_TOKEN": OPERATOR}
    ran = subprocess.run([binary(), *argv, "--json"], env=clean_env(env), capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, (argv, ran.stdout, ran.stderr)
    return json.loads(ran.stdout)


def test_a_revocation_ends_the_socket_and_what_it_asked(operated):
    door = operated(stories.silent("And"))
    with door.talk() as talk, door.talk(tokens.BOB) as other:
        talk.create("say hi")
        asked = door.upstream.wait_asked(1)
        begun = time.monotonic()
        portcullis(door, "revoke", "add", "subject", "alice")
        assert talk.closed() == (4004, "revoked")
        assert asked.wait_left() - begun < 3
        other.turn("say hi").completed(stories.REPLY)


def test_a_reload_that_says_no_ends_the_socket(bridge, files):
    door = bridge()
    with door.talk() as talk, door.talk(tokens.BOB) as other:
        talk.turn("say hi").completed()
        files["tokens"].write_text(f"bob:{tokens.BOB}\n")
        door.gate.reload(door.config)
        assert talk.closed() == table.close_of("policy_changed")
        other.turn("say hi").completed()


def test_a_drain_ends_idle_sockets_and_the_program_well(bridge):
    door = bridge()
    with door.talk() as talk:
        talk.turn("say hi").completed()
        door.gate.drain()
        assert talk.closed() == table.close_of("draining")
    assert door.gate.process.wait(10) == 0


# Each turn --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BEHIND)
def test_a_model_that_is_not_listed_is_refused_for_its_turn_alone(bridge, by):
    door = bridge(models=["gpt-*", "mock-model"], by=by)
    with door.talk() as talk:
        for model in ("o3", "gpt", "GPT-5", "mock-model-2", ""):
            error = talk.turn("say hi", model=model).errs(400, "model_not_found")["error"]
            assert error["param"] == "model"
        for model in ("gpt-5", "mock-model"):
            talk.turn("say hi", model=model).completed()
        talk.turn("say hi", model="o3", stream_id="a").errs(400, "model_not_found", "a")
    if by != "mock":
        assert [asked.body["model"] for asked in door.upstream.asked] == ["gpt-5", "mock-model"]
    answer = door.post(json.dumps({"model": "o3", "input": "hi"}).encode())
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "model_not_found")


@pytest.mark.parametrize("by", BEHIND)
def test_a_warm_up_asks_for_a_model_too(bridge, by):
    with bridge(models=["gpt-*"], by=by).talk() as talk:
        talk.turn([], model="o3", generate=False).errs(400, "model_not_found")


def test_an_alias_may_be_what_the_list_names(bridge):
    door = bridge(models=["gpt-*"], aliases=[{"match": "claude-", "kind": "prefix", "to": "gpt-x"}])
    with door.talk() as talk:
        talk.turn("say hi", model="claude-5").completed()
        talk.turn("say hi", model="clod").errs(400, "model_not_found")


@pytest.mark.parametrize("by", BEHIND)
def test_a_budget_that_is_spent_refuses_further_turns_and_says_when_to_come_back(bridge, by):
    """A turn is counted when it is over: 49 tokens leave something of 60, and 98 nothing."""
    door = bridge(budget="60/h", by=by)
    with door.talk() as talk:
        for number in range(2):
            talk.turn(f"turn {number}").completed(stories.REPLY)
        event = talk.turn("one more").look().terminal
        assert (event["type"], event["status"]) == ("error", 429), event
        assert 3500 < int(event["headers"]["retry-after"]) <= 3600
    refused = door.post(json.dumps({"model": "gpt-5", "input": "hi"}).encode())
    assert refused.status == 429 and 3500 < int(refused.header("retry-after")) <= 3600
    with door.talk(tokens.BOB) as talk:
        talk.turn("say hi").completed(stories.REPLY)
    assert len(door.upstream.asked) == (0 if by == "mock" else 3)
    # A reload does not give it back.
    door.gate.reload({**door.config, "timeouts": {"drain": "29s"}})
    with door.talk() as talk:
        assert talk.turn("after the reload").look().terminal["status"] == 429


def test_each_turn_is_a_record_of_the_audit_log(bridge, operated):
    door = operated(stories.text("One."), stories.refused(400, "invalid_value"), aliases=[{"match": "fast", "to": "gpt-5"}])
    with door.talk() as talk:
        talk.turn("one", model="fast").completed("One.")
        talk.turn("two").errs(400, "invalid_value")
    records = eventually(lambda: (found := portcullis(door, "audit", "--kind", "turn")) and len(found) == 2 and found, what="two records")
    second, first = records
    assert (first["outcome"], first["subject"], first["model"], first["detail"]) == ("completed", "alice", "gpt-5", "asked for fast")
    assert (first["tokens_in"], first["tokens_out"], first["tokens_cached"]) == (42, 7, 10)
    assert 0 <= first["first_token_ms"] <= first["duration_ms"]
    assert (second["outcome"], second["status"], second["session"]) == ("error", 400, first["session"])


def test_a_turn_whose_client_left_is_charged_by_an_estimate_and_known_by_its_session(bridge, operated):
    door = operated(stories.silent())
    with door.talk() as talk:
        talk.create("say hi")
        while talk.event()["type"] != "response.created":
            pass
    records = eventually(lambda: portcullis(door, "audit", "--kind", "turn"), what="a record")
    assert [(record["outcome"], record["detail"]) for record in records] == [("cancelled", "its tokens are estimated")]
    assert records[0]["tokens_in"] > 0 and records[0]["session"]


def test_a_limit_of_sessions_counts_sockets(bridge):
    door = bridge(limits={"sessions_per_subject": 1})
    with door.talk() as talk:
        refused = ask(door.gate.port, upgrade("/v1/responses", [("Authorization", f"Bearer {tokens.ALICE}")], host=door.gate.authority))
        table.assert_denied(refused, "session_limit")
        talk.turn("say hi").completed()
    with Raw(door.gate.port) as raw:
        raw.open("/v1/responses", [("Authorization", f"Bearer {tokens.BOB}")], host=door.gate.authority)


def test_the_credential_of_the_client_goes_nowhere(bridge):
    token = tokens.make()
    door = bridge()
    with Talk(door.url, token, subprotocols=["x"]) as talk:
        talk.turn("say hi").completed()
    [asked] = door.upstream.asked
    assert token not in asked.head and "portcullis-subject" not in asked.headers
