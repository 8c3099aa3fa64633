"""Rates of one address that gates count together: handshakes, and credentials that were refused."""

from __future__ import annotations

import threading

import pytest

from support import configs, table, tokens
from support.process import eventually
from support.raw import CLOSE, Raw, ask, request, upgrade
from support.upstreams import echo_frames

N = 5
ALICE = [("Authorization", f"Bearer {tokens.ALICE}")]
WRONG = [("Authorization", f"Bearer {tokens.WRONG}")]
ELSEWHERE = "127.0.0.2"


@pytest.fixture
def two_gates(gate, files, raw_upstream, memory):
    """Two gates with one ledger."""

    def start(limits: dict, **route):
        made = {**configs.base(files, raw_upstream(echo_frames).url, **route), **memory}
        made["limits"] = {**made["limits"], **limits}
        return gate(made), gate(made)

    return start


def knock(door, headers, source: str | None = None):
    with Raw(door.port, source=source) as raw:
        return raw.send(upgrade("/", headers, host=door.authority)).response()


def assert_over(answer, code: str) -> None:
    table.assert_denied(answer, code)
    assert int(answer.header("retry-after")) >= 1


def test_refused_credentials_count_at_whichever_gate_and_the_next_is_not_looked_at(two_gates):
    doors = two_gates({"shared_failed_handshakes": f"{N}/h"})
    for number in range(N):
        # Who is right costs nothing.
        assert knock(doors[number % 2], ALICE).status == 101
        table.assert_denied(knock(doors[number % 2], WRONG), "invalid_credential")
    for door in doors:
        for headers in (WRONG, ALICE):
            assert_over(knock(door, headers), "failed_too_often")
            assert_over(ask(door.port, request("GET", "/", headers, host=door.authority)), "failed_too_often")
        assert knock(door, ALICE, ELSEWHERE).status == 101
    refused = doors[0].wait_decision(refusal="failed_too_often")
    assert (refused["rule"], refused["detail"]) == ("limits", "over all gates")


def test_handshakes_count_at_whichever_gate_and_plain_requests_do_not(two_gates):
    doors = two_gates({"shared_handshakes": f"{N}/h"}, protocols="both")
    statuses = []
    start = threading.Barrier(12)

    def burst(number: int) -> None:
        start.wait()
        statuses.append(knock(doors[number % 2], ALICE).status)

    threads = [threading.Thread(target=burst, args=(number,)) for number in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(statuses) == [101] * N + [429] * (12 - N)
    for door in doors:
        assert_over(knock(door, ALICE), "rate_limited")
        assert ask(door.port, request("GET", "/healthz", host=door.authority)).status == 200
        assert knock(door, ALICE, ELSEWHERE).status == 101


@pytest.mark.parametrize("limit, headers, code", [
    ("shared_handshakes", ALICE, "rate_limited"),
    ("shared_failed_handshakes", WRONG, "failed_too_often"),
])
def test_a_page_hears_on_its_socket_that_it_comes_too_often(two_gates, limit, headers, code):
    doors = two_gates({limit: "1/h"}, signal="close")
    knock(doors[0], headers)
    with Raw(doors[1].port) as raw:
        raw.open("/", headers, host=doors[1].authority)
        end = raw.frame()
        assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))


def test_the_rate_lets_the_next_one_in_when_its_time_has_come(two_gates):
    # One comes back every five seconds: longer than these need, on a busy machine, too.
    doors = two_gates({"shared_handshakes": "12/m"})
    assert [knock(doors[number % 2], ALICE).status for number in range(12)] == [101] * 12
    assert knock(doors[1], ALICE).status == 429
    assert eventually(lambda: knock(doors[1], ALICE).status == 101, timeout=15)


# A file does not go away.
@pytest.mark.parametrize("memory", ["postgres and nats"], indirect=True)
def test_while_the_ledger_is_away_nobody_tries_and_who_is_over_its_rate_is_told_so(two_gates, postgres):
    doors = two_gates({"shared_failed_handshakes": "1/h"})
    table.assert_denied(knock(doors[0], WRONG), "invalid_credential")
    assert_over(knock(doors[0], WRONG), "failed_too_often")
    postgres.stop()
    try:
        # From memory: it costs the ledger nothing, which is not even there.
        assert_over(knock(doors[0], WRONG), "failed_too_often")
        answer = knock(doors[0], ALICE, ELSEWHERE)
        assert_over(answer, "overloaded")
    finally:
        postgres.start()
    eventually(lambda: knock(doors[0], ALICE, ELSEWHERE).status == 101, timeout=20)


def test_a_limit_that_is_lifted_by_a_reload_holds_nobody_back(gate, files, raw_upstream, memory):
    made = {**configs.base(files, raw_upstream(echo_frames).url), **memory}
    limits = made["limits"]
    made["limits"] = {**limits, "shared_handshakes": "1/h"}
    door = gate(made)
    assert [knock(door, ALICE).status for _ in range(3)] == [101, 429, 429]
    door.reload({**made, "limits": limits})
    assert eventually(lambda: knock(door, ALICE).status == 101)
