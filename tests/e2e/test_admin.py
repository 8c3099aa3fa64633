"""Operators: keys, users, revocations and sessions by the commands, on one gate and on two that share a memory."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from support import operators, table, tokens
from support.operators import OPERATOR, data, portcullis, ready
from support.process import eventually
from support.raw import TEXT, Raw, ask, request, upgrade
from support.sockets import admitted, assert_alive, assert_closed, assert_refused, bearer
from support.sockets import opened as opened_by
from support.upstreams import echo_frames

BEARER = bearer(tokens.ALICE)
BOB = bearer(tokens.BOB)

# A file does not go away, and needs nobody to tell of it.
SERVERS = pytest.mark.parametrize("memory", ["postgres and nats"], indirect=True)


@pytest.fixture
def config(files, raw_upstream, memory):
    """A config with an admin API, API keys and a ledger of its own."""
    upstream = raw_upstream(echo_frames)
    return lambda: operators.config(files, upstream.url, memory)


@pytest.fixture
def two_gates(gate, config):
    shared = config()
    shared["ledger"]["max_stale"] = "1s"
    one, other = gate(shared), gate(shared)
    operators.meet(one, other)
    return one, other


def opened(door, headers=BEARER) -> Raw:
    return opened_by(door, headers)


# One gate -------------------------------------------------------------------------------------------------------------


def test_a_key_opens_sessions_until_it_is_revoked_and_its_sessions_end_then(gate, config):
    door = gate(config())
    made = data(door, "key", "new", "--owner", "ada", "--scope", "chat", "--expires", "1h")
    session = opened(door, bearer(made["key"]))
    assert_alive(session)
    assert door.wait_decision(message="admitted")["credential_id"] == made["id"]
    portcullis(door, "key", "revoke", made["id"])
    assert_closed(session, "revoked")
    assert_refused(door, bearer(made["key"]), "revoked")
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
    assert_refused(second, bearer(gone["key"]), "revoked")


def test_a_disabled_account_ends_its_sessions_and_keeps_it_out_until_it_is_enabled(gate, config):
    door = gate(config())
    portcullis(door, "user", "put", "alice")
    alice, bob = opened(door), opened(door, BOB)
    portcullis(door, "user", "disable", "alice")
    assert_closed(alice, "account_disabled")
    assert_refused(door, BEARER, "account_disabled")
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
        assert_refused(door, bearer(token), "revoked")
        assert_alive(bob)
        portcullis(door, "revoke", "withdraw", made["id"])
        eventually(lambda: admitted(door, bearer(token)))
    fresh = tokens.make(sub="carol")
    data(door, "revoke", "add", "subject", "carol", "--issued-before", "2001-01-01T00:00:00Z")
    assert_refused(door, bearer(token), "revoked")
    assert "withdraw" not in portcullis(door, "revoke", "ls")
    assert len(data(door, "revoke", "ls")) == 5
    assert portcullis(door, "revoke", "add", "subject", "olga", code=1).count("409") == 1
    # A credential that does not say when it was issued is covered by every time.
    assert_refused(door, bearer(fresh), "revoked")


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


FORGED = '\n{"level":"INFO","fields":{"message":"admitted","subject":"forged"},"target":"portcullis::decision"}\r\x1b[2J'


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
@pytest.mark.parametrize("form", ["json", "human"])
def test_a_name_that_would_forge_a_line_or_move_a_cursor_is_text_in_logs_and_tables(gate, config, form):
    door = gate(config(), flags=("--log-format", form))
    token = tokens.make(sub="ada" + FORGED, jti="one" + FORGED)
    session = opened(door, bearer(token))
    shown = [portcullis(door, "sessions", "ls")]
    portcullis(door, "revoke", "add", "credential", "one" + FORGED, "--note", FORGED)
    assert_closed(session, "revoked")
    assert_refused(door, bearer(token), "revoked")
    shown += [portcullis(door, "revoke", "ls"), eventually(lambda: (text := portcullis(door, "audit", "--kind", "end")).count("\n") == 2 and text)]
    for text in shown:
        assert "forged" in text and "\x1b" not in text and "\r" not in text, text
        assert len(text.splitlines()) == 2, text
    told = door.process.err.snapshot()
    assert [line for line in told if line.startswith('{"level"') or "\x1b" in line or "\r" in line] == []
    lines = [line for line in told if "forged" in line]
    assert len(lines) >= 3, "it is told, as text"
    if form == "json":
        assert len([record for record in door.records() if "forged" in str(record)]) == len(lines)
        assert {record["fields"].get("subject") for record in door.records()} <= {None, "ada" + FORGED}


def test_every_decision_every_end_and_every_change_is_in_the_audit_log(gate, config):
    door = gate(config())
    session = opened(door)
    session.send_frame(TEXT, b"four")
    assert session.frame().payload == b"four"
    assert_refused(door, bearer(tokens.WRONG), "invalid_credential")
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
        assert_refused(first, bearer(tokens.WRONG), "invalid_credential")
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
    assert all(end["duration_ms"] >= 0 for end in ends)


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


# Two gates ------------------------------------------------------------------------------------------------------------


@SERVERS
def test_what_is_revoked_at_one_gate_ends_at_the_other(two_gates):
    one, other = two_gates
    here, there = opened(one), opened(other)
    portcullis(one, "revoke", "add", "subject", "alice")
    assert_closed(here, "revoked")
    assert_closed(there, "revoked")
    assert_refused(other, BEARER, "revoked")


@SERVERS
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


@SERVERS
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


@SERVERS
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


@SERVERS
def test_a_ledger_that_is_away_keeps_strangers_out_and_sessions_in(two_gates, postgres):
    one, other = two_gates
    session = opened(one)
    key = data(one, "key", "new", "--owner", "ada")["key"]
    postgres.stop()
    try:
        eventually(lambda: ready(one)[0] == 503, timeout=20)
        assert "ledger" in ready(one)[1]
        assert_refused(one, BEARER, "overloaded")
        assert_refused(one, bearer(key), "keys_unavailable")
        assert_alive(session)
        assert "503" in portcullis(one, "revoke", "add", "subject", "alice", code=1)
    finally:
        postgres.start()
    eventually(lambda: ready(one)[0] == 200 and ready(other)[0] == 200, timeout=20)
    assert admitted(one, BOB) and admitted(one, bearer(key))
    portcullis(other, "revoke", "add", "subject", "alice")
    assert_closed(session, "revoked")
