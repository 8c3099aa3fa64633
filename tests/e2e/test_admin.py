"""Operators: keys, users, revocations and sessions by the commands, on one gate and on two that share a PostgreSQL and a NATS."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import pytest

from support import configs, table, tokens
from support.gate import binary
from support.process import clean_env, eventually
from support.raw import CLOSE, TEXT, Raw, ask, close_frame, request, upgrade
from support.upstreams import echo_frames

OPERATOR = f"operator-{tokens.MARK}-token"
BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]
BOB = [("Authorization", f"Bearer {tokens.BOB}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


@pytest.fixture
def config(files, echo, tmp_path):
    """A config with an admin API, API keys and a ledger of its own."""
    operators = tmp_path / "operators.txt"
    operators.write_text(f"olga:{OPERATOR}\n")
    operators.chmod(0o600)

    def make(ledger: dict | None = None, bus: dict | None = None) -> dict:
        made = configs.base(files, echo.url)
        made["verifier"]["keys"] = {"kind": "api-key"}
        made["verifier"]["operators"] = {"kind": "capability-token", "tokens_file": operators, "scopes": ["portcullis:admin"]}
        made["route"][0]["verifiers"] = ["tokens", "jwt", "keys"]
        made["admin"] = {"listen": "127.0.0.1:0", "verifiers": ["operators"]}
        made["ledger"] = ledger or {"url": "sqlite:ledger.db"}
        if bus:
            made["bus"] = bus
        return made

    return make


@pytest.fixture
def two_gates(gate, config, postgres, nats):
    shared = config({"url": postgres.new_database(), "max_stale": "1s"}, {"url": nats.url})
    shared["bus"]["prefix"] = f"test{postgres.databases}"
    one, other = gate(shared), gate(shared)
    # A gate takes arrivals before the bus has heard of it.
    probe = opened(other)
    eventually(lambda: len(data(one, "sessions", "ls")) == 1)
    probe.close()
    back = opened(one)
    eventually(lambda: [session["gate"] for session in data(other, "sessions", "ls")] != [])
    back.close()
    eventually(lambda: data(one, "sessions", "ls") == [])
    return one, other


def portcullis(door, *argv: str, code: int = 0, token: str = OPERATOR) -> str:
    env = {"PORTCULLIS_ADMIN": door.admin_url, "PORTCULLIS_ADMIN_TOKEN": token}
    ran = subprocess.run([binary(), *argv], env=clean_env(env), capture_output=True, text=True, timeout=30)
    assert ran.returncode == code, (argv, ran.stdout, ran.stderr)
    assert OPERATOR not in ran.stdout + ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def data(door, *argv: str):
    return json.loads(portcullis(door, *argv, "--json"))


def bearer(credential: str) -> list:
    return [("Authorization", f"Bearer {credential}")]


def opened(door, headers=BEARER) -> Raw:
    raw = Raw(door.port)
    raw.open("/", headers, host=door.authority)
    return raw


def refused(door, headers, code: str) -> None:
    answer = ask(door.port, upgrade("/", headers, host=door.authority))
    assert (answer.status, json.loads(answer.body)["code"]) == (table.TABLE[code].status, code)


def admitted(door, headers) -> bool:
    with Raw(door.port) as raw:
        return raw.send(upgrade("/", headers, host=door.authority)).response().status == 101


def assert_alive(raw: Raw) -> None:
    raw.send_frame(TEXT, b"still here")
    assert raw.frame().payload == b"still here"


def assert_closed(raw: Raw, code: str) -> None:
    end = raw.frame()
    assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))
    raw.send(close_frame(end.code))
    assert raw.ended(timeout=5) == b""


def ready(door) -> tuple[int, str]:
    answer = ask(urlsplit(door.admin_url).port, request("GET", "/readyz"))
    return answer.status, answer.text


# One gate, in SQLite --------------------------------------------------------------------------------------------------


def test_a_key_opens_sessions_until_it_is_revoked_and_its_sessions_end_then(gate, config):
    door = gate(config())
    made = data(door, "key", "new", "--owner", "ada", "--scope", "chat", "--expires", "1h")
    session = opened(door, bearer(made["key"]))
    assert_alive(session)
    assert door.wait_decision(message="admitted")["credential_id"] == made["id"]
    portcullis(door, "key", "revoke", made["id"])
    assert_closed(session, "revoked")
    refused(door, bearer(made["key"]), "revoked")
    assert made["key"] not in door.process.err.text()


def test_a_key_outlives_the_gate(gate, config):
    wanted = config()
    first = gate(wanted)
    made = data(first, "key", "new", "--owner", "ada")
    gone = data(first, "key", "new", "--owner", "ada")
    portcullis(first, "key", "revoke", gone["id"])
    first.stop()
    second = gate(wanted)
    assert admitted(second, bearer(made["key"]))
    refused(second, bearer(gone["key"]), "revoked")


def test_a_disabled_account_ends_its_sessions_and_keeps_it_out_until_it_is_enabled(gate, config):
    door = gate(config())
    portcullis(door, "user", "put", "alice")
    alice, bob = opened(door), opened(door, BOB)
    portcullis(door, "user", "disable", "alice")
    assert_closed(alice, "account_disabled")
    refused(door, BEARER, "account_disabled")
    assert_alive(bob)
    portcullis(door, "user", "enable", "alice")
    eventually(lambda: admitted(door, BEARER))
    portcullis(door, "user", "disable", "nobody", code=1)


def test_each_kind_of_revocation_ends_what_it_covers_and_nothing_else(gate, config):
    door = gate(config())
    token = tokens.make(sub="carol", jti="j1", iat=1000, kid=None)
    for argv in [
        ("subject", "carol"),
        ("credential", "j1"),
        ("issuer", tokens.ISSUER),
        ("subject", "carol", "--issued-before", "2001-01-01T00:00:00Z"),
    ]:
        carol, bob = opened(door, bearer(token)), opened(door, BOB)
        made = data(door, "revoke", "add", *argv)
        assert_closed(carol, "revoked")
        refused(door, bearer(token), "revoked")
        assert_alive(bob)
        portcullis(door, "revoke", "withdraw", made["id"])
        eventually(lambda: admitted(door, bearer(token)))
    fresh = tokens.make(sub="carol")
    data(door, "revoke", "add", "subject", "carol", "--issued-before", "2001-01-01T00:00:00Z")
    refused(door, bearer(token), "revoked")
    assert "withdraw" not in portcullis(door, "revoke", "ls")
    assert len(data(door, "revoke", "ls")) == 5
    assert portcullis(door, "revoke", "add", "subject", "olga", code=1).count("409") == 1
    # A credential that does not say when it was issued is covered by every time.
    refused(door, bearer(fresh), "revoked")


def test_sessions_are_listed_shown_and_ended(gate, config):
    door = gate(config())
    alice, bob = opened(door), opened(door, BOB)
    listed = data(door, "sessions", "ls")
    assert sorted(one["subject"] for one in listed) == ["alice", "bob"]
    (mine,) = data(door, "sessions", "ls", "--subject", "alice")
    assert data(door, "sessions", "show", mine["id"])["address"] == "127.0.0.1"
    portcullis(door, "sessions", "kick", mine["id"])
    assert_closed(alice, "revoked")
    assert_alive(bob)
    assert admitted(door, BEARER)
    assert portcullis(door, "sessions", "kick", mine["id"], code=1).count("404") == 1


def test_who_has_not_the_scope_may_do_nothing(gate, config):
    door = gate(config())
    for token, told in [(tokens.WRONG, "401"), (tokens.ALICE, "401")]:
        assert told in portcullis(door, "key", "ls", code=1, token=token)
    port = urlsplit(door.admin_url).port
    assert ask(port, request("GET", "/api/v1/keys")).status == 401
    assert ask(port, request("GET", "/api/v1/keys", bearer(OPERATOR), host="rebound.example")).status == 403
    assert ask(port, request("GET", "/metrics")).status == 200


def test_every_decision_every_end_and_every_change_is_in_the_audit_log(gate, config):
    door = gate(config())
    session = opened(door)
    session.send_frame(TEXT, b"four")
    assert session.frame().payload == b"four"
    refused(door, bearer(tokens.WRONG), "invalid_credential")
    data(door, "revoke", "add", "subject", "alice", "--note", "x")
    assert_closed(session, "revoked")
    (end,) = eventually(lambda: data(door, "audit", "--kind", "end"))
    assert (end["subject"], end["route"], end["credential_id"], end["outcome"], end["code"]) == ("alice", "chat", "alice", "revoked", 4004)
    assert (end["messages_up"], end["messages_down"], end["address"]) == (1, 1, "127.0.0.1")
    assert end["duration_ms"] >= 0 and end["bytes_up"] >= 4
    decisions = data(door, "audit", "--kind", "decision", "--route", "chat")
    assert [one["outcome"] for one in decisions] == ["invalid_credential", "admitted"]
    assert (decisions[0]["rule"], decisions[0]["status"], decisions[0]["path"]) == (5, 401, "/")
    (change,) = data(door, "audit", "--kind", "admin")
    assert (change["by"], change["outcome"], change["detail"]) == ("olga", "revoked", "subject alice")
    assert [one["kind"] for one in data(door, "audit", "--session", end["session"])] == ["end"]
    assert len(portcullis(door, "audit", "--limit", "1").splitlines()) == 2


def test_the_audit_log_is_whole_after_the_end_of_the_gate(gate, config):
    wanted = config()
    first = gate(wanted)
    for _ in range(20):
        refused(first, bearer(tokens.WRONG), "invalid_credential")
    first.stop()
    second = gate(wanted)
    assert len(data(second, "audit", "--outcome", "invalid_credential")) == 20


@pytest.mark.parametrize("timeout", ["30s", "100ms"], ids=["a second signal", "out of time"])
def test_sessions_that_are_cut_by_force_are_in_the_audit_log(gate, config, timeout):
    wanted = config()
    wanted["timeouts"] = {"drain": timeout}
    first = gate(wanted)
    told, untold = opened(first), opened(first, BOB)
    untold.send_frame(TEXT, b"whole")
    assert untold.frame().payload == b"whole"
    first.drain()
    if timeout == "30s":
        # It is told, and does not answer.
        assert told.frame().code == table.TABLE["draining"].close
        first.drain()
    assert first.process.wait() != 0
    second = gate({**wanted, "timeouts": {}})
    ends = data(second, "audit", "--kind", "end")
    assert sorted((end["subject"], end["outcome"], end["messages_up"]) for end in ends) == [("alice", "draining", 0), ("bob", "draining", 1)]
    assert all(end["duration_ms"] > 0 for end in ends)


def test_a_ticket_of_an_operator_opens_one_session(gate, config):
    wanted = config()
    wanted["route"][0]["carriers"] = ["header", "ticket"]
    door = gate(wanted)
    made = data(door, "ticket", "new", "--subject", "guest", "--route", "chat", "--scope", "chat")
    with Raw(door.port) as raw:
        raw.open(f"/?ticket={made['ticket']}", host=door.authority)
        (live,) = data(door, "sessions", "ls", "--subject", "guest")
        assert (live["id"], live["carrier"]) == (made["session"], "ticket")
    again = ask(door.port, upgrade(f"/?ticket={made['ticket']}", host=door.authority))
    assert again.status == 401
    assert made["ticket"] not in door.process.err.text()


# Two gates, with a PostgreSQL and a NATS ------------------------------------------------------------------------------


def test_what_is_revoked_at_one_gate_ends_at_the_other(two_gates):
    one, other = two_gates
    here, there = opened(one), opened(other)
    portcullis(one, "revoke", "add", "subject", "alice")
    assert_closed(here, "revoked")
    assert_closed(there, "revoked")
    refused(other, BEARER, "revoked")


def test_sessions_of_both_gates_are_listed_and_ended_from_either(two_gates):
    one, other = two_gates
    here, there = opened(one), opened(other, BOB)
    listed = data(one, "sessions", "ls")
    assert sorted(session["subject"] for session in listed) == ["alice", "bob"]
    assert len({session["gate"] for session in listed}) == 2
    (bobs,) = data(one, "sessions", "ls", "--subject", "bob")
    assert data(one, "sessions", "show", bobs["id"]) == bobs
    portcullis(one, "sessions", "kick", bobs["id"])
    assert_closed(there, "revoked")
    assert_alive(here)


def test_a_session_is_renewed_through_either_gate(two_gates):
    one, other = two_gates
    session = opened(other, bearer(tokens.make(exp=30)))
    (live,) = data(one, "sessions", "ls", "--subject", "alice")
    path = f"/.portcullis/session/{live['id']}/refresh?route=/"

    def renewed(token: str) -> int:
        return ask(one.port, request("POST", path, bearer(token), host=one.authority)).status

    assert renewed(tokens.make(exp=900)) == 200
    (fresh,) = data(other, "sessions", "ls", "--subject", "alice")
    assert fresh["expires_at"] > live["expires_at"]
    assert renewed(tokens.make(sub="mallory")) != 200
    assert_alive(session)


def test_a_bus_that_is_away_loses_no_revocation(two_gates, nats):
    one, other = two_gates
    there, bob = opened(other), opened(other, BOB)
    nats.stop()
    try:
        portcullis(one, "revoke", "add", "subject", "alice")
        assert_closed(there, "revoked")
        eventually(lambda: "bus" in ready(other)[1])
        assert ready(other)[0] == 200
        assert_alive(bob)
    finally:
        nats.start()
    eventually(lambda: "bus" not in ready(other)[1], timeout=20)


def test_a_ledger_that_is_away_keeps_strangers_out_and_sessions_in(two_gates, postgres):
    one, other = two_gates
    session = opened(one)
    key = data(one, "key", "new", "--owner", "ada")["key"]
    postgres.stop()
    try:
        eventually(lambda: ready(one)[0] == 503, timeout=20)
        assert "ledger" in ready(one)[1]
        refused(one, BEARER, "overloaded")
        refused(one, bearer(key), "keys_unavailable")
        assert_alive(session)
        assert "503" in portcullis(one, "revoke", "add", "subject", "alice", code=1)
    finally:
        postgres.start()
    eventually(lambda: ready(one)[0] == 200 and ready(other)[0] == 200, timeout=20)
    assert admitted(one, BOB) and admitted(one, bearer(key))
    portcullis(other, "revoke", "add", "subject", "alice")
    assert_closed(session, "revoked")
