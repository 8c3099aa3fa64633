"""A service of one's own is asked: whose a credential is, and whether somebody may enter."""

from __future__ import annotations

import json
import time

import pytest

from support import configs, table, tokens
from support.gate import run, toml
from support.raw import CLOSE, TEXT, Raw, ask, request, upgrade
from support.upstreams import echo_frames

TOKEN = f"session-{tokens.MARK}"
ALICE = [("Authorization", f"Bearer {tokens.ALICE}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


@pytest.fixture
def asked(service):
    return service()


@pytest.fixture
def bearer(tmp_path):
    path = tmp_path / "bearer.txt"
    path.write_text(f"gate-{tokens.MARK}")
    path.chmod(0o600)
    return path


def verifier(files, upstream, service, verifier: dict | None = None, **route) -> dict:
    made = configs.base(files, upstream.url, **{"verifiers": ["accounts"], **route})
    made["verifier"] = {"accounts": {"kind": "callout", "url": service.url + "/verify", **(verifier or {})}}
    return made


def authority(files, upstream, service, callout: dict | None = None, **route) -> dict:
    made = configs.base(files, upstream.url, **{"verifiers": ["tokens", "jwt"], **route})
    made["route"][0]["callout"] = {"url": service.url + "/enter", **(callout or {})}
    return made


def knock(door, token: str = TOKEN, path: str = "/"):
    return ask(door.port, upgrade(path, [("Authorization", f"Bearer {token}")], host=door.authority))


def close_of(door, headers) -> tuple[int, str]:
    with Raw(door.port) as raw:
        raw.open("/", headers, host=door.authority)
        end = raw.frame()
        assert end.opcode == CLOSE
        return end.code, end.reason


# Whose a credential is ------------------------------------------------------------------------------------------------


def test_the_service_sees_the_credential_and_says_whose_it_is(gate, files, echo, asked, bearer):
    asked.reply("/verify", {"sub": "ada", "scope": "chat", "exp": int(time.time()) + 600})
    door = gate(verifier(files, echo, asked, {"bearer_file": bearer}, scopes=["chat"]))
    assert knock(door).status == 101
    question = asked.asked[0]
    assert json.loads(question.body) == {"credential": TOKEN, "carrier": "header"}
    assert question.headers["authorization"] == f"Bearer gate-{tokens.MARK}"
    assert door.wait_decision(message="admitted", subject="ada")


def test_by_get_the_credential_is_a_bearer(gate, files, echo, asked):
    asked.reply("/verify", {"id": "7"})
    door = gate(verifier(files, echo, asked, {"method": "get", "subject_claim": "id"}))
    assert knock(door).status == 101
    question = asked.asked[0]
    assert (question.method, question.headers["authorization"], question.body) == ("GET", f"Bearer {TOKEN}", b"")


@pytest.mark.parametrize("status, body, code", [
    (401, "", "invalid_credential"),
    (403, "", "account_disabled"),
    (401, {"code": "expired"}, "expired"),
    (401, {"code": "revoked"}, "revoked"),
    (401, {"code": "key_unknown"}, "key_unknown"),
    (403, {"code": "nonsense"}, "account_disabled"),
    (200, {"scope": "chat"}, "keys_unavailable"),
    (200, "ok", "keys_unavailable"),
    (500, "", "keys_unavailable"),
    (302, "", "keys_unavailable"),
])
def test_what_the_service_says_is_what_the_client_hears(gate, files, echo, asked, status, body, code):
    asked.reply("/verify", body, status)
    door = gate(verifier(files, echo, asked))
    table.assert_denied(knock(door), code)
    loud = gate(verifier(files, echo, asked, signal="close"))
    assert close_of(loud, [("Authorization", f"Bearer {TOKEN}")]) == table.close_of(code)
    assert echo.untouched()


def test_an_answer_is_remembered_only_as_it_says(gate, files, echo, asked):
    asked.reply("/verify", {"sub": "ada"})
    door = gate(verifier(files, echo, asked))
    assert [knock(door).status for _ in range(3)] == [101] * 3
    assert asked.count() == 3
    asked.reply("/verify", {"sub": "ada"}, headers={"cache-control": "max-age=60"})
    assert [knock(door).status for _ in range(3)] == [101] * 3
    assert asked.count() == 4


# Whether somebody may enter -------------------------------------------------------------------------------------------


def test_the_service_is_told_the_arrival_and_neither_credential_nor_query(gate, files, echo, asked, bearer):
    asked.reply("/enter", status=204)
    door = gate(authority(files, echo, asked, {"bearer_file": bearer}))
    token = tokens.make(scope="chat read", jti="t1")
    assert knock(door, token, "/rooms/7?secret=" + tokens.MARK).status == 101
    question = asked.asked[0]
    assert json.loads(question.body) == {
        "method": "GET", "path": "/rooms/7", "protocol": "websocket", "host": door.authority, "origin": None, "peer": "127.0.0.1",
        "verifier": "jwt", "subject": "alice", "issuer": tokens.ISSUER, "credential_id": "t1", "scopes": ["chat", "read"],
    }
    assert tokens.MARK.encode() not in question.body and token.encode() not in question.body
    assert question.headers["authorization"] == f"Bearer gate-{tokens.MARK}"


@pytest.mark.parametrize("status, body, code", [
    (401, "", "revoked"),
    (403, "", "insufficient_scope"),
    (404, "", "resource_unknown"),
    (409, "", "not_owner"),
    (403, {"code": "not_owner"}, "not_owner"),
    (403, {"code": "account_disabled"}, "account_disabled"),
    (500, "", "overloaded"),
    (302, "", "overloaded"),
])
def test_its_no_is_what_the_client_hears(gate, files, echo, asked, status, body, code):
    asked.reply("/enter", body, status)
    door = gate(authority(files, echo, asked))
    for data in (upgrade(headers=ALICE, host=door.authority), request(headers=ALICE, host=door.authority)):
        table.assert_denied(ask(door.port, data), code)
    loud = gate(authority(files, echo, asked, signal="close"))
    assert close_of(loud, ALICE) == table.close_of(code)
    assert echo.untouched()


def test_while_it_is_away_nobody_enters_and_who_is_inside_stays(gate, files, echo, asked):
    asked.reply("/enter")
    door = gate(authority(files, echo, asked, {"timeout": "300ms"}))
    with Raw(door.port) as raw:
        raw.open("/", ALICE, host=door.authority)
        asked.stop()
        answer = knock(door, tokens.ALICE)
        table.assert_denied(answer, "overloaded")
        assert int(answer.header("retry-after")) >= 1
        raw.send_frame(1, b"still here")
        assert raw.frame().payload == b"still here"
        asked.start_again()
        assert knock(door, tokens.ALICE).status == 101
        asked.reply("/enter", hangs=True)
        table.assert_denied(knock(door, tokens.ALICE), "overloaded")


def test_a_bad_credential_is_not_its_business(gate, files, echo, asked):
    door = gate(authority(files, echo, asked))
    table.assert_denied(knock(door, tokens.WRONG), "invalid_credential")
    assert asked.count() == 0


def test_explain_asks_it_as_the_gate_does(files, echo, asked, tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text(toml(authority(files, echo, asked)))
    for status, code, outcome in ((204, 0, None), (409, 4, "not_owner")):
        asked.reply("/enter", status=status)
        result = run("explain", "--config", path, "--websocket", "-H", f"Authorization: Bearer {tokens.ALICE}", "--json")
        assert (result.returncode, json.loads(result.stdout).get("code")) == (code, outcome), result.stderr


# While a session lives ------------------------------------------------------------------------------------------------

OFTEN = {"recheck": "300ms"}


def assert_asked_again(raw, asked) -> None:
    """The service is asked about the live session, which lives on."""
    asked.wait_asked(asked.count() + 1)
    raw.send_frame(TEXT, b"still here")
    assert raw.frame().payload == b"still here"


def assert_closed(raw, code: str) -> None:
    end = raw.frame()
    assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))


@pytest.mark.parametrize("status, body, code", [
    (401, "", "revoked"),
    (401, {"code": "expired"}, "expired"),
    (401, {"code": "key_unknown"}, "key_unknown"),
    (403, "", "account_disabled"),
])
def test_a_live_session_ends_when_the_service_no_longer_knows_its_credential(gate, files, echo, asked, status, body, code):
    asked.reply("/verify", {"sub": "ada"})
    door = gate(verifier(files, echo, asked, session=OFTEN))
    with Raw(door.port) as raw:
        raw.open("/", [("Authorization", f"Bearer {TOKEN}")], host=door.authority)
        assert_asked_again(raw, asked)
        asked.reply("/verify", body, status)
        assert_closed(raw, code)


@pytest.mark.parametrize("status, code", [(401, "revoked"), (403, "insufficient_scope"), (404, "resource_unknown"), (409, "not_owner")])
def test_a_live_session_ends_when_the_service_no_longer_lets_it_in(gate, files, echo, asked, status, code):
    asked.reply("/enter", status=204)
    door = gate(authority(files, echo, asked, session=OFTEN))
    with Raw(door.port) as raw:
        raw.open("/rooms/7?secret=" + tokens.MARK, ALICE, host=door.authority)
        assert_asked_again(raw, asked)
        first, *again = [json.loads(question.body) for question in asked.asked]
        assert again and all(question == first for question in again), "it is told the same arrival"
        asked.reply("/enter", status=status)
        assert_closed(raw, code)


@pytest.mark.parametrize("lie", [{"status": 500}, {"status": 429}, {"hangs": True}, {"status": 403, "body": {"code": "rate_limited"}}],
                         ids=["error", "busy", "hangs", "too often"])
def test_what_is_no_answer_about_a_live_session_leaves_it_alive(gate, files, echo, asked, lie):
    asked.reply("/enter", status=204)
    door = gate(authority(files, echo, asked, {"timeout": "300ms"}, session=OFTEN))
    with Raw(door.port) as raw:
        raw.open("/", ALICE, host=door.authority)
        asked.reply("/enter", **lie)
        for _ in range(2):
            assert_asked_again(raw, asked)


def test_a_session_of_a_ticket_is_asked_about_where_nobody_needs_its_credential(gate, files, echo, asked, memory):
    asked.reply("/enter", status=204)
    made = authority(files, echo, asked, session=OFTEN, carriers=["header", "ticket"])
    door = gate({**made, **memory})
    answer = ask(door.port, request("POST", "/.portcullis/ticket?route=/", ALICE, host=door.authority))
    with Raw(door.port) as raw:
        raw.open(f"/?ticket={json.loads(answer.body)['ticket']}", host=door.authority)
        assert_asked_again(raw, asked)
        asked.reply("/enter", status=409)
        assert_closed(raw, "not_owner")
