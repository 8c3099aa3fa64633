"""Tokens about which their issuer is asked: what it is asked, what its answers do, and what when it does not answer."""

from __future__ import annotations

import base64
import threading
import time
from urllib.parse import parse_qs

import pytest

from support import configs, table, tokens
from support.process import eventually
from support.raw import CLOSE, Raw, ask, upgrade
from support.upstreams import echo_frames

TOKEN = f"opaque-{tokens.MARK}"
CLIENT_SECRET = f"client {tokens.MARK}/+"
BEARER = [("Authorization", f"Bearer {TOKEN}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


@pytest.fixture
def asked(service):
    return service()


def active(**more) -> dict:
    return {"active": True, "sub": "ada", "scope": "chat", "exp": int(time.time()) + 600, **more}


def config(files, upstream, service, verifier: dict | None = None, **route) -> dict:
    made = configs.base(files, upstream.url, **{"verifiers": ["opaque"], **route})
    made["verifier"] = {"opaque": {"kind": "introspection", "url": service.url + "/introspect", **(verifier or {})}}
    return made


def knock(door, token: str = TOKEN):
    return ask(door.port, upgrade(headers=[("Authorization", f"Bearer {token}")], host=door.authority))


def test_the_issuer_is_asked_as_the_client_and_its_answer_says_who_enters(gate, files, echo, asked, tmp_path):
    secret = tmp_path / "client.txt"
    secret.write_text(CLIENT_SECRET)
    secret.chmod(0o600)
    asked.reply("/introspect", active())
    door = gate(config(files, echo, asked, {"client_id": "the gate", "client_secret_file": secret}, scopes=["chat"]))
    assert knock(door).status == 101
    assert door.wait_decision(message="admitted", subject="ada")
    question = asked.asked[0]
    assert (question.method, parse_qs(question.body.decode())["token"]) == ("POST", [TOKEN])
    # RFC 6749, 2.3.1: both are form-encoded before they are joined.
    pair = base64.b64decode(question.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "the+gate:client+" + tokens.MARK + "%2F%2B"


def test_a_renewed_secret_counts_without_a_reload(gate, files, echo, asked, tmp_path):
    bearer = tmp_path / "bearer.txt"
    bearer.write_text(f"first-{tokens.MARK}")
    bearer.chmod(0o600)
    asked.reply("/introspect", active())
    door = gate(config(files, echo, asked, {"bearer_file": bearer, "remember_for": "0s"}))
    assert knock(door).status == 101
    bearer.write_text(f"second-{tokens.MARK}")
    assert knock(door).status == 101
    sent = [question.headers["authorization"] for question in asked.asked]
    assert sent == [f"Bearer first-{tokens.MARK}", f"Bearer second-{tokens.MARK}"]


@pytest.mark.parametrize("answer, code", [
    ({"active": False}, "invalid_credential"),
    (lambda: active(exp=int(time.time()) - 60), "expired"),
    (lambda: active(nbf=int(time.time()) + 600), "not_yet_valid"),
    (lambda: active(iss="https://other.example"), "invalid_credential"),
    (lambda: active(cnf={"jkt": "x"}), "invalid_credential"),
    (lambda: active(sub=None), "invalid_credential"),
    (lambda: active(scope="read"), "insufficient_scope"),
], ids=["inactive", "expired", "early", "issuer", "bound", "nobody", "scope"])
def test_what_the_answer_says_is_what_the_client_hears(gate, files, echo, asked, answer, code):
    body = answer() if callable(answer) else answer
    good = {"iss": "https://id.example"} if code != "invalid_credential" or "iss" not in body else {}
    asked.reply("/introspect", {**good, **body})
    door = gate(config(files, echo, asked, {"issuer": "https://id.example"}, scopes=["chat"], signal="close"))
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        end = raw.frame()
        assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))
    assert echo.untouched()


@pytest.mark.parametrize("lie", [
    {"status": 500}, {"status": 401}, {"body": "[]"}, {"body": {"sub": "ada"}}, {"body": {"active": "true"}},
    {"status": 302, "headers": {"location": "/elsewhere"}}, {"body": b" " * (1 << 20)}, {"hangs": True},
], ids=["error", "our secret is wrong", "list", "says nothing", "text", "redirect", "too much", "hangs"])
def test_what_is_no_answer_lets_nobody_in_and_says_to_come_back(gate, files, echo, asked, lie):
    asked.reply("/elsewhere", active())
    asked.reply("/introspect", **{"body": "", **lie})
    door = gate(config(files, echo, asked, {"timeout": "300ms"}))
    answer = knock(door)
    table.assert_denied(answer, "keys_unavailable")
    assert int(answer.header("retry-after")) >= 1
    asked.reply("/introspect", active())
    assert knock(door).status == 101, "what was no answer is not remembered"
    assert asked.count("/elsewhere") == 0


def test_an_answer_is_remembered_for_its_time_and_a_revoked_token_no_longer(gate, files, echo, asked):
    asked.reply("/introspect", active())
    door = gate(config(files, echo, asked, {"remember_for": "3s", "remember_refused_for": "100ms"}))
    assert [knock(door).status for _ in range(5)] == [101] * 5
    assert asked.count() == 1
    asked.reply("/introspect", {"active": False})
    eventually(lambda: knock(door).status == 401, what="the revocation")
    asked.reply("/introspect", active())
    eventually(lambda: knock(door).status == 101, what="the end of the bad answer")


def test_many_who_come_with_one_token_are_one_question(gate, files, echo, asked):
    asked.reply("/introspect", active())
    asked.open.clear()
    door = gate(config(files, echo, asked))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(knock(door).status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    asked.wait_asked(0)
    asked.open.set()
    for thread in threads:
        thread.join()
    assert (answers, asked.count()) == ([101] * 20, 1)


def test_the_claims_of_the_answer_are_judged_by_the_route(gate, files, echo, asked):
    asked.reply("/introspect", active(tier="pro", username="countess"))
    door = gate(config(files, echo, asked, {"subject_claim": "username"}, claims={"tier": "pro"}))
    assert knock(door).status == 101
    assert door.wait_decision(message="admitted", subject="countess")
    asked.reply("/introspect", active(tier="free", username="countess"))
    assert table.problem(knock(door, TOKEN + "2"))["code"] == "insufficient_scope"
