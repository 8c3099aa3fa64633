"""Tokens about which their issuer is asked: what it is asked, what its answers do, and what when it does not answer; at the
door, and again while a session lives."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections import Counter
from urllib.parse import parse_qs

import pytest

from support import configs, table, tokens
from support.process import eventually
from support.raw import CLOSE, TEXT, Raw, ask, request, upgrade
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


# While a session lives ------------------------------------------------------------------------------------------------

OFTEN = {"recheck": "300ms"}
FORGETS = {"remember_for": "0s", "remember_refused_for": "0s", "timeout": "500ms"}


class Tokens:
    """An issuer that knows which tokens are active, and may change its mind about each."""

    def __init__(self, service) -> None:
        self.service, self.answers = service, {}
        service.reply("/introspect", self.answer)

    def answer(self, asked) -> dict:
        return self.answers.get(token_of(asked), {"active": False})

    def count(self, token: str) -> int:
        return len([asked for asked in list(self.service.asked) if token_of(asked) == token])

    def wait_asked(self, token: str, more: int = 2) -> None:
        before = self.count(token)
        eventually(lambda: self.count(token) >= before + more, what="questions about a live session")


def token_of(asked) -> str:
    return parse_qs(asked.body.decode())["token"][0]


@pytest.fixture
def issuer(asked):
    made = Tokens(asked)
    made.answers = {TOKEN: active(), TOKEN + "2": active(sub="bob")}
    return made


@contextlib.contextmanager
def session(door, token: str = TOKEN, path: str = "/"):
    with Raw(door.port) as raw:
        raw.session = raw.open(path, [("Authorization", f"Bearer {token}")], host=door.authority).header("portcullis-session")
        yield raw


def assert_alive(raw) -> None:
    raw.send_frame(TEXT, b"still here")
    assert raw.frame().payload == b"still here"


def assert_closed(raw, code: int, reason: str) -> None:
    end = raw.frame()
    assert (end.opcode, (end.code, end.reason)) == (CLOSE, (code, reason))


def outcomes(door) -> dict[str, float]:
    """How often which answer was had about live sessions, by the metrics."""
    lines = [line for line in door.metrics().splitlines() if line.startswith("portcullis_rechecks_total{")]
    return {line.split('outcome="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def watched(files, echo, asked, **more) -> dict:
    made = config(files, echo, asked, FORGETS, session=OFTEN, **more)
    made["admin"] = {"listen": "127.0.0.1:0"}
    return made


@pytest.mark.parametrize("answer, close", [
    ({"active": False}, table.close_of("revoked")),
    (lambda: active(exp=int(time.time()) - 60), table.close_of("expired")),
    (lambda: active(scope="read"), table.close_of("insufficient_scope")),
    (lambda: active(sub="mallory"), table.close_of("revoked")),
], ids=["inactive", "expired", "scope", "another's"])
def test_a_live_session_ends_when_its_issuer_changes_its_mind(gate, files, echo, asked, issuer, answer, close):
    door = gate(watched(files, echo, asked, scopes=["chat"]))
    with session(door) as ada, session(door, TOKEN + "2") as bob:
        issuer.wait_asked(TOKEN)
        assert_alive(ada)
        issuer.answers[TOKEN] = answer() if callable(answer) else answer
        assert_closed(ada, *close)
        issuer.wait_asked(TOKEN + "2")
        assert_alive(bob)
    told = door.wait_record(lambda record: record["target"] == "portcullis::recheck")["fields"]
    assert (told["message"], told["subject"], told["refusal"]) == ("no longer vouched for", "ada", close[1])
    assert outcomes(door)[close[1]] == 1
    assert outcomes(door)["vouched"] >= 2


def test_a_live_session_ends_with_the_codes_of_its_route(gate, files, echo, asked, issuer):
    door = gate(watched(files, echo, asked, codes={"revoked": 4001}))
    with session(door) as raw:
        issuer.answers[TOKEN] = {"active": False}
        assert_closed(raw, 4001, "revoked")


def test_while_the_issuer_is_away_live_sessions_stay_and_operators_are_told(gate, files, echo, asked, issuer):
    door = gate(watched(files, echo, asked))
    with session(door) as raw:
        issuer.wait_asked(TOKEN)
        asked.stop()
        eventually(lambda: outcomes(door).get("unanswered", 0) >= 2, what="questions without an answer")
        assert_alive(raw)
        told = [r["fields"] for r in door.records() if r["target"] == "portcullis::recheck"]
        assert [fields["message"] for fields in told] == ["nobody can be asked about live sessions"], "once for many"
        issuer.answers[TOKEN] = {"active": False}
        asked.start_again()
        assert_closed(raw, *table.close_of("revoked"))


def test_a_silence_that_is_too_long_ends_a_session_and_its_client_may_come_back(gate, files, echo, asked, issuer):
    made = watched(files, echo, asked)
    made["route"][0]["session"] = {**OFTEN, "recheck_silence": "3s"}
    door = gate(made)
    with session(door) as raw:
        began = time.monotonic()
        while time.monotonic() < began + 3.5:
            issuer.wait_asked(TOKEN)
        assert_alive(raw)
        asked.stop()
        assert_closed(raw, *table.close_of("keys_unavailable"))
        asked.start_again()
    assert knock(door).status == 101


def test_a_renewed_session_is_asked_about_with_its_fresh_token(gate, files, echo, asked, issuer):
    door = gate(watched(files, echo, asked))
    issuer.answers["fresh" + TOKEN] = active()
    with session(door) as raw:
        issuer.wait_asked(TOKEN)
        bearer = [("Authorization", f"Bearer fresh{TOKEN}")]
        answer = ask(door.port, request("POST", f"/.portcullis/session/{raw.session}/refresh", bearer, host=door.authority))
        assert answer.status == 200
        # The issuer rotates: what came before is not active any more.
        issuer.answers[TOKEN] = {"active": False}
        issuer.wait_asked("fresh" + TOKEN)
        assert_alive(raw)
        issuer.answers["fresh" + TOKEN] = {"active": False}
        assert_closed(raw, *table.close_of("revoked"))


def test_a_session_of_a_ticket_cannot_be_asked_about_and_ends_with_the_silence(gate, files, echo, asked, issuer):
    made = watched(files, echo, asked, carriers=["header", "ticket"])
    made["ledger"] = {"url": "sqlite:ledger.db"}
    made["route"][0]["session"] = {**OFTEN, "recheck_silence": "3s"}
    door = gate(made)
    answer = ask(door.port, request("POST", "/.portcullis/ticket?route=/", BEARER, host=door.authority))
    assert answer.status == 201, answer.body
    count = issuer.count(TOKEN)
    with Raw(door.port) as raw:
        raw.open(f"/?ticket={json.loads(answer.body)['ticket']}", host=door.authority)
        assert_alive(raw)
        assert_closed(raw, *table.close_of("keys_unavailable"))
    assert issuer.count(TOKEN) == count


def test_many_live_sessions_are_not_asked_about_at_once(gate, files, echo, asked, issuer):
    made = watched(files, echo, asked)
    made["route"][0]["session"] = {"recheck": "2s"}
    door = gate(made)
    everybody = [f"{TOKEN}-{number}" for number in range(100)]
    issuer.answers = {token: active() for token in everybody}
    with contextlib.ExitStack() as stack:
        for token in everybody:
            stack.enter_context(session(door, token))
        opened, since = time.monotonic(), asked.count()
        eventually(lambda: all(issuer.count(token) >= 2 for token in everybody), what="a question about each session")
    tenths = Counter(int((question.at - opened) * 10) for question in asked.asked[since:])
    # Evenly it would be 5 or 6 in each tenth of a second.
    assert max(tenths.values()) <= 35, tenths


def test_after_a_reload_that_turns_it_off_neither_new_sessions_nor_old_ones_are_asked_about(gate, files, echo, asked, issuer):
    made = watched(files, echo, asked)
    # What is asked about a session of another route tells how much time has passed.
    made["route"].append({**made["route"][0], "name": "watched", "path": "/watched", "session": OFTEN})
    door = gate(made)
    issuer.answers |= {"new" + TOKEN: active(), "watched" + TOKEN: active()}
    with session(door) as old, session(door, "watched" + TOKEN, "/watched") as watch:
        issuer.wait_asked(TOKEN)
        made["route"][0]["session"] = {"recheck": "off"}
        door.reload(made)
        # What was under way when the rules changed is answered.
        issuer.wait_asked("watched" + TOKEN)
        with session(door, "new" + TOKEN) as new:
            before = issuer.count(TOKEN)
            issuer.wait_asked("watched" + TOKEN, 6)
            assert (issuer.count(TOKEN), issuer.count("new" + TOKEN)) == (before, 1)
            for raw in (new, old, watch):
                assert_alive(raw)
