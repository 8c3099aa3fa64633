"""How sessions end, each with the code that tells the client what to do, and how what they held comes back."""

from __future__ import annotations

import resource
import shlex
import signal
from pathlib import Path

import pytest

from support import configs, table, tokens
from support.gate import binary
from support.process import eventually
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, ask, close_frame, frame, now, request, upgrade
from support.upstreams import echo_frames, free_port

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]
BOB = [("Authorization", f"Bearer {tokens.BOB}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


def opened(door, headers=BEARER, path="/") -> Raw:
    raw = Raw(door.port)
    raw.open(path, headers, host=door.authority)
    return raw


def assert_alive(raw: Raw) -> None:
    raw.send_frame(TEXT, b"still here")
    assert raw.frame().payload == b"still here"


def assert_closed(raw: Raw, code: str) -> None:
    end = raw.frame()
    assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))
    raw.send(close_frame(end.code))
    assert raw.ended(timeout=5) == b""


# Ends in time ---------------------------------------------------------------------------------------------------------


def test_an_idle_session_ends_and_a_busy_one_does_not(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"idle": "1s"}))
    idle, busy = opened(door), opened(door)
    start = now()
    while now() - start < 2.5:
        assert_alive(busy)
        busy.quiet(0.2)
    assert_closed(idle, "idle")
    fields = door.wait_session_end(reason="idle")
    assert (fields["code"], fields["messages_up"], fields["messages_down"]) == (1001, 0, 0)
    assert 900 <= fields["duration_ms"] <= 2400
    assert_alive(busy)


def test_a_session_reaches_its_lifetime_however_busy_it_is(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"lifetime": "1s"}))
    start = now()
    raw = opened(door)
    while raw.quiet(0.1):
        raw.send_frame(TEXT, b"busy")
        got = raw.frame()
        if got.opcode == CLOSE:
            break
    else:
        got = raw.frame()
    assert (got.code, got.reason) == (4001, "lifetime_reached")
    assert 0.8 <= now() - start <= 3


def test_a_jwt_that_expires_ends_its_session_as_expired(gate, files, echo):
    door = gate(configs.base(files, echo.url))
    token = tokens.make(exp=2)
    raw = opened(door, [("Authorization", f"Bearer {token}")])
    assert_alive(raw)
    assert_closed(raw, "expired")
    fields = door.wait_session_end(reason="expired")
    assert (fields["code"], fields["messages_up"], fields["messages_down"]) == (4001, 1, 1)


def test_the_upstream_is_told_by_a_masked_close_of_its_own(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, session={"lifetime": "1s"}))
    with Raw(door.port) as raw:
        raw.send(upgrade("/", BEARER, host=door.authority))
        inner = upstream.take().accept()
        assert raw.response().status == 101
        assert raw.frame().code == 4001
        end = inner.frame()
        assert (end.opcode, end.masked) == (CLOSE, True)


# Limits ---------------------------------------------------------------------------------------------------------------


def test_a_message_of_the_largest_size_passes_and_one_byte_more_does_not(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"max_message": "1KiB"}))
    raw = opened(door)
    raw.send_frame(BINARY, b"x" * 1024)
    assert raw.frame().payload == b"x" * 1024
    raw.send_frame(BINARY, b"x" * 1025)
    assert_closed(raw, "message_too_big")


def test_the_size_of_a_message_is_that_of_its_fragments_together(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"max_message": "1KiB"}))
    raw = opened(door)
    raw.send_frame(BINARY, b"x" * 1000, fin=False)
    assert raw.frame().payload == b"x" * 1000
    raw.send_frame(CONTINUATION, b"x" * 25)
    assert_closed(raw, "message_too_big")


def test_a_frame_that_only_claims_to_be_huge_is_refused_before_it_is_sent(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"max_message": "1KiB"}))
    raw = opened(door)
    raw.send(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"\x00\x00\x00\x00")
    end = raw.frame()
    assert (end.opcode, end.code, end.reason) == (CLOSE, 1009, "message_too_big")


def test_more_messages_than_the_rate_end_the_session(gate, files, echo):
    door = gate(configs.base(files, echo.url, session={"message_rate": "5/m"}))
    raw = opened(door)
    for number in range(5):
        raw.send_frame(TEXT, b"%d" % number)
        assert raw.frame().payload == b"%d" % number
    raw.send_frame(TEXT, b"one too many")
    assert_closed(raw, "rate_limited")
    assert door.wait_session_end(reason="rate_limited")["code"] == 1013


def test_sessions_of_a_subject_are_counted_for_that_subject_alone(gate, files, echo):
    door = gate(configs.base(files, echo.url, limits={"sessions_per_subject": 2}))
    first, second = opened(door), opened(door)
    table.assert_denied(ask(door.port, upgrade("/", BEARER, host=door.authority)), "session_limit")
    bob = opened(door, BOB)
    for raw in (first, second, bob):
        assert_alive(raw)


def test_a_browser_over_the_limit_hears_4029(gate, files, echo):
    door = gate(configs.base(files, echo.url, limits={"sessions_per_subject": 1}))
    held = opened(door)
    raw = opened(door, [*BEARER, ("Origin", f"http://{door.authority}")])
    assert_closed(raw, "session_limit")
    assert_alive(held)


def test_plain_requests_hold_no_session(gate, files, echo):
    door = gate(configs.base(files, echo.url, limits={"sessions_per_subject": 1}))
    for _ in range(3):
        assert ask(door.port, request(headers=BEARER, host=door.authority)).status == 200
    assert_alive(opened(door))


def test_sessions_of_an_address_and_in_all_are_limited(gate, files, echo):
    for limit in ("sessions_per_address", "sessions"):
        door = gate(configs.base(files, echo.url, top={"limits": {limit: 2}}))
        held = [opened(door), opened(door, BOB)]
        table.assert_denied(ask(door.port, upgrade("/", BEARER, host=door.authority)), "session_limit")
        for raw in held:
            assert_alive(raw)


def test_handshakes_of_an_address_are_limited_in_time(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"limits": {"handshakes": "3/m"}}))
    for _ in range(3):
        opened(door).close()
    answer = ask(door.port, upgrade("/", BEARER, host=door.authority))
    body = table.assert_denied(answer, "rate_limited")
    assert 0 < body["retry_after_ms"] <= 60_000
    assert 1 <= int(answer.header("retry-after")) <= 60


def test_an_address_that_fails_too_often_is_throttled_even_with_a_good_credential(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"limits": {"failed_handshakes": "3/m"}}))
    for _ in range(3):
        table.assert_denied(ask(door.port, upgrade("/", [("Authorization", f"Bearer {tokens.WRONG}")], host=door.authority)), "invalid_credential")
    answer = ask(door.port, upgrade("/", BEARER, host=door.authority))
    table.assert_denied(answer, "failed_too_often")
    assert 1 <= int(answer.header("retry-after")) <= 60


# Slots come back ------------------------------------------------------------------------------------------------------


def client_closes(door):
    raw = opened(door)
    raw.send(close_frame(1000)).ended()


def client_vanishes(door):
    opened(door).reset()


def client_half_closes(door):
    raw = opened(door)
    raw.shutdown()
    raw.close()


def client_breaks_the_protocol(door):
    raw = opened(door)
    raw.send(b"\x83\x00\x00")
    raw.close()


def handshake_aborted_before_the_answer(door):
    raw = Raw(door.port)
    raw.send(upgrade("/slow", BEARER, host=door.authority))
    raw.quiet(0.2)
    raw.reset()


def handshake_aborted_on_a_connection_that_was_kept(door):
    """The first request is a plain one, so that the second is read by another reader of the gate."""
    raw = Raw(door.port)
    assert raw.send(request(headers=BEARER, host=door.authority)).response().status == 200
    raw.send(upgrade("/slow", BEARER, host=door.authority))
    raw.quiet(0.2)
    raw.reset()


def client_half_closes_before_the_answer(door):
    raw = Raw(door.port)
    raw.send(upgrade("/slow", BEARER, host=door.authority))
    raw.quiet(0.2)
    raw.shutdown()
    raw.ended()
    raw.close()


def upstream_refuses(door):
    assert ask(door.port, upgrade("/refuse", BEARER, host=door.authority)).status == 503


def upstream_dies(door):
    raw = opened(door, path="/die")
    assert raw.frame().code == 1014
    raw.close()


def upstream_closes(door):
    raw = opened(door, path="/bye")
    assert raw.frame().code == 1000
    raw.close()


def gate_ends_it(door):
    raw = opened(door)
    raw.send_frame(BINARY, b"x" * 2000)
    assert raw.frame().code == 1009
    raw.close()


PATHS = [client_closes, client_vanishes, client_half_closes, client_breaks_the_protocol, handshake_aborted_before_the_answer,
         handshake_aborted_on_a_connection_that_was_kept, client_half_closes_before_the_answer, upstream_refuses,
         upstream_dies, upstream_closes, gate_ends_it]


def scripted(connection) -> None:
    """An upstream whose path says what it does."""
    connection.read_request()
    path = connection.head.split(b" ")[1]
    connection.buffer[:0] = connection.head
    if path == b"/slow":
        connection.ended()
    elif path == b"/refuse":
        connection.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    elif path == b"/die":
        connection.accept().reset()
    elif path == b"/bye":
        connection.accept().send(close_frame(1000, mask=None)).ended()
    else:
        echo_frames(connection)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__.replace("_", " "))
def test_the_slot_comes_back_when(gate, files, raw_upstream, path):
    config = configs.base(files, raw_upstream(scripted).url, limits={"sessions_per_subject": 1}, session={"max_message": "1KiB"})
    door = gate(config)
    for _ in range(3):
        path(door)
        # The check route is answered as a handshake would be, and takes no place.
        eventually(lambda: door.check("/", BEARER)["admitted"], 5, what="a free slot")
    assert_alive(opened(door))


# Pings ----------------------------------------------------------------------------------------------------------------


def test_the_gate_pings_and_keeps_the_pong_to_itself(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, session={"ping": "500ms"}))
    with Raw(door.port) as raw:
        raw.send(upgrade("/", BEARER, host=door.authority))
        inner = upstream.take().accept()
        assert raw.response().status == 101
        for _ in range(2):
            ping = raw.frame()
            assert (ping.opcode, ping.fin, ping.masked) == (PING, True, False)
            raw.send_frame(PONG, ping.payload)
        raw.send_frame(TEXT, b"after the pongs")
        # The first thing that the upstream hears is the text: no pong came before it.
        assert inner.frame().payload == b"after the pongs"


def test_a_pong_for_the_upstreams_own_ping_is_forwarded(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, session={"ping": "30s"}))
    with Raw(door.port) as raw:
        raw.send(upgrade("/", BEARER, host=door.authority))
        inner = upstream.take().accept()
        assert raw.response().status == 101
        inner.send(frame(PING, b"from upstream", mask=None))
        assert raw.frame().payload == b"from upstream"
        raw.send_frame(PONG, b"from upstream")
        got = inner.frame()
        assert (got.opcode, got.payload) == (PONG, b"from upstream")


# Drain ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_drain_ends_sessions_as_1012_and_the_program_with_0(gate, files, echo, number):
    door = gate(configs.base(files, echo.url))
    raw = opened(door)
    assert_alive(raw)
    door.process.signal(number)
    assert_closed(raw, "draining")
    assert door.process.wait(10) == 0
    assert door.wait_session_end(reason="draining")["code"] == 1012


def test_a_drain_waits_for_a_request_in_hand(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url))
    with Raw(door.port) as raw:
        raw.send(request(path="/", headers=BEARER, host=door.authority))
        inner = upstream.take()
        inner.read_request()
        door.drain()
        # The gate has heard: it takes no new connection, or tells it so.
        eventually(lambda: not_serving(door), 5)
        inner.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        answer = raw.response()
        assert (answer.status, answer.body) == (200, b"done")
    assert door.process.wait(10) == 0


def not_serving(door) -> bool:
    try:
        answer = ask(door.port, request(path="/readyz", host=door.authority), timeout=2)
    except Exception:
        return True
    return answer.status == 503


def test_a_drain_that_runs_out_of_time_exits_with_3(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, top={"timeouts": {"drain": "1s"}}))
    with Raw(door.port) as raw:
        raw.send(request(path="/", headers=BEARER, host=door.authority))
        upstream.take().read_request()
        door.drain()
        assert door.process.wait(10) == 3


def test_a_second_signal_forces_the_end(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, top={"timeouts": {"drain": "60s"}}))
    with Raw(door.port) as raw:
        raw.send(request(path="/", headers=BEARER, host=door.authority))
        upstream.take().read_request()
        door.drain()
        eventually(lambda: not_serving(door), 5)
        door.drain()
        assert door.process.wait(5) == 3


# Reload ---------------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_the_unaffected_and_ends_those_whose_new_policy_says_no(gate, files, echo):
    config = configs.base(files, echo.url)
    door = gate(config)
    alice, bob = opened(door), opened(door, BOB)
    files["tokens"].write_text(f"bob:{tokens.BOB}\n")
    config["route"][0]["session"] = {"idle": "1h"}
    door.reload(config)
    assert_closed(alice, "policy_changed")
    assert_alive(bob)
    table.assert_denied(ask(door.port, upgrade("/", BEARER, host=door.authority)), "invalid_credential")
    assert door.wait_session_end(reason="policy_changed")["code"] == 4001


def test_a_scope_that_a_reload_asks_for_ends_sessions_without_it(gate, files, echo):
    config = configs.base(files, echo.url)
    door = gate(config)
    scoped = opened(door)
    scopeless = opened(door, [("Authorization", f"Bearer {tokens.make()}")])
    config["route"][0]["scopes"] = ["chat"]
    door.reload(config)
    assert_closed(scopeless, "policy_changed")
    assert_alive(scoped)


def test_a_broken_config_is_reported_and_changes_nothing(gate, files, echo):
    door = gate(configs.base(files, echo.url))
    raw = opened(door)
    door.reload("[[route]\nbroken")
    assert_alive(raw)
    assert_alive(opened(door))
    assert [r for r in door.records() if r["level"] == "ERROR"]


def test_a_changed_file_is_taken_without_a_signal(gate, files, echo):
    config = configs.base(files, echo.url)
    door = gate(config)
    assert_alive(opened(door))
    config["route"][0]["origin"] = "none"
    door.write_config(config)
    foreign = [*BEARER, ("Origin", f"http://{door.authority}")]
    eventually(lambda: ask(door.port, upgrade("/", foreign, host=door.authority)).status == 403, 10, what="the new rule")


def test_a_token_file_is_read_again_when_it_changes(gate, files, echo):
    door = gate(configs.base(files, echo.url))
    fresh = f"carol-{tokens.MARK}"
    carol = [("Authorization", f"Bearer {fresh}")]
    table.assert_denied(ask(door.port, upgrade("/", carol, host=door.authority)), "invalid_credential")
    files["tokens"].write_text(f"alice:{tokens.ALICE}\ncarol:{fresh}\n")
    eventually(lambda: ask(door.port, upgrade("/", carol, host=door.authority)).status == 101, 10, what="the new token")


def test_the_gate_comes_back_on_the_same_port_while_old_sockets_linger(gate, files, echo):
    config = configs.base(files, echo.url)
    config["listener"][0]["url"] = f"ws://127.0.0.1:{free_port()}"
    first = gate(config)
    raw = opened(first)
    first.drain()
    assert raw.frame().code == 1012
    assert first.process.wait(10) == 0
    assert_alive(opened(gate(config)))


# Room -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many_files():
    """Room for the test's own sockets, and by inheritance for the gate's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("too few files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_strangers_that_keep_silent_take_no_room_from_those_who_show_who_they_are(many_files, gate, files, echo):
    """1024 sockets may be open without having been admitted; the next one hears that, and a good credential is no stranger's."""
    door = gate(configs.base(files, echo.url, carriers=["first-message", "header"]))
    silent = [Raw(door.port).send(upgrade(host=door.authority)) for _ in range(1024)]
    assert {raw.response().status for raw in silent} == {101}
    answer = ask(door.port, upgrade(host=door.authority))
    assert (answer.status, table.problem(answer)["code"]) == (503, "overloaded")
    assert int(answer.header("retry-after")) >= 1
    assert_alive(opened(door))
    silent[0].reset()
    eventually(lambda: ask(door.port, upgrade(host=door.authority)).status == 101, 5, what="room for a stranger")


def test_one_address_has_its_share_of_the_room_for_strangers(gate, files, echo):
    config = configs.base(files, echo.url, carriers=["first-message", "header"])
    config["limits"]["strangers_per_address"] = 3
    door = gate(config)
    silent = [Raw(door.port).send(upgrade(host=door.authority)) for _ in range(3)]
    assert {raw.response().status for raw in silent} == {101}
    refused = ask(door.port, upgrade(host=door.authority))
    assert (refused.status, table.problem(refused)["code"]) == (503, "overloaded")
    with Raw(door.port, source="127.0.0.2") as other:
        assert other.send(upgrade(host=door.authority)).response().status == 101
    silent[0].reset()
    eventually(lambda: ask(door.port, upgrade(host=door.authority)).status == 101, 5, what="room for a stranger")


@pytest.fixture
def narrow(tmp_path, monkeypatch):
    """A gate that may open few files."""
    script = tmp_path / "narrow"
    script.write_text(f'#!/bin/sh\nulimit -n 64\nexec {shlex.quote(str(Path(binary()).resolve()))} "$@"\n')
    script.chmod(0o700)
    monkeypatch.setenv("PORTCULLIS_BIN", str(script))


def test_a_gate_that_may_open_few_files_turns_away_whom_it_has_no_room_for(narrow, gate, files, echo):
    door = gate(configs.base(files, echo.url))
    crowd = [Raw(door.port) for _ in range(40)]
    told = ask(door.port, upgrade("/", BEARER, host=door.authority))
    assert (told.status, told.header("retry-after")) == (503, "1")
    door.wait_record(lambda r: r["level"] == "WARN" and "no room" in r["fields"]["message"], what="a warning")
    for raw in crowd:
        raw.close()
    # The gate may be a moment behind.
    eventually(lambda: ask(door.port, upgrade("/", BEARER, host=door.authority)).status == 101, what="room again")
    assert_alive(opened(door))


def test_a_gate_that_may_open_no_more_files_serves_again_when_it_may(narrow, gate, files, echo):
    config = configs.base(files, echo.url)
    config["limits"]["connections"] = 1000
    door = gate(config)
    crowd = [Raw(door.port) for _ in range(100)]
    door.wait_record(lambda r: r["level"] == "WARN" and "accept" in r["fields"]["message"], what="a warning")
    for raw in crowd:
        raw.close()
    # The gate may be a moment behind, and have room for a client before it has room for its upstream.
    eventually(lambda: ask(door.port, upgrade("/", BEARER, host=door.authority)).status == 101, what="room again")
    assert_alive(opened(door))


# A kept connection ----------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(gate, files, echo):
    """A connection on which a plain request was answered already: its next request is read by another reader of the gate."""

    def start(**route):
        door = gate(configs.base(files, echo.url, **route))
        raw = Raw(door.port)
        good = [("Origin", f"http://{door.authority}")]
        assert raw.send(request(path="/.portcullis/check?route=/", host=door.authority)).response().status == 200
        return door, raw, good

    return start


def test_a_handshake_on_a_kept_connection_is_relayed_with_what_came_behind_it(kept):
    door, raw, _ = kept()
    raw.send(upgrade("/", BEARER, host=door.authority) + frame(TEXT, b"early"))
    assert raw.response().status == 101
    assert raw.frame().payload == b"early"
    raw.send_frame(BINARY, b"x" * 300_000)
    assert raw.frame().payload == b"x" * 300_000


def test_a_handshake_with_an_empty_body_is_a_handshake(gate, files, echo):
    door = gate(configs.base(files, echo.url))
    raw = opened(door, [*BEARER, ("Content-Length", "0")])
    assert_alive(raw)


def test_a_refusal_on_a_kept_connection_is_told_by_its_code(kept):
    door, raw, origin = kept()
    raw.open("/", [("Authorization", f"Bearer {tokens.WRONG}"), *origin], host=door.authority)
    assert_closed(raw, "invalid_credential")


def test_a_first_message_on_a_kept_connection_is_read(kept):
    door, raw, _ = kept(carriers=["first-message"])
    raw.send(upgrade("/", host=door.authority) + frame(TEXT, auth(tokens.ALICE)) + frame(TEXT, b"behind it"))
    assert raw.response().status == 101
    assert b"auth_ok" in raw.frame().payload
    assert raw.frame().payload == b"behind it"


# First message --------------------------------------------------------------------------------------------------------


@pytest.fixture
def first_message(gate, files, echo):
    return gate(configs.base(files, echo.url, carriers=["first-message"]))


@pytest.mark.parametrize("carrier", ["header", "first-message"])
def test_a_client_that_leaves_while_its_upstream_is_reached_has_its_decision_in_the_log(gate, files, raw_upstream, carrier):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, carriers=[carrier]))
    with Raw(door.port) as raw:
        if carrier == "header":
            raw.send(upgrade(headers=BEARER, host=door.authority))
        else:
            raw.open("/", host=door.authority)
            raw.send_frame(TEXT, auth(tokens.ALICE))
        upstream.take().read_request()
    fields = door.wait_decision(message="admitted")
    assert (fields["subject"], fields["carrier"]) == ("alice", carrier)
    assert len(door.decisions()) == 1


def test_a_client_that_leaves_after_its_first_message_gives_its_slot_back(gate, files, raw_upstream):
    config = configs.base(files, raw_upstream(scripted).url, carriers=["header", "first-message"], limits={"sessions_per_subject": 1})
    door = gate(config)
    raw = opened(door, [], path="/slow")
    raw.send_frame(TEXT, auth(tokens.ALICE))
    eventually(lambda: not door.check("/", BEARER)["admitted"], 5, what="a slot that is held")
    raw.reset()
    eventually(lambda: door.check("/", BEARER)["admitted"], 5, what="a free slot")


def auth(token: str) -> bytes:
    return ('{"type":"auth","token":"%s"}' % token).encode()


def test_a_good_first_message_is_answered_and_the_session_begins(first_message, echo):
    raw = opened(first_message, [])
    raw.send_frame(TEXT, auth(tokens.make(exp=600)))
    import json

    answer = json.loads(raw.frame().payload)
    assert answer["type"] == "auth_ok"
    assert answer["expires_at"] is not None
    assert_alive(raw)


@pytest.mark.parametrize(
    "message, code",
    [
        (auth(tokens.WRONG), "invalid_credential"),
        (b'{"type":"auth"}', "malformed_credential"),
        (b'{"type":"hello","token":"x"}', "malformed_credential"),
        (b"not json", "malformed_credential"),
    ],
)
def test_a_bad_first_message_is_answered_by_its_close_code(first_message, echo, message, code):
    raw = opened(first_message, [])
    raw.send_frame(TEXT, message)
    assert_closed(raw, code)
    assert echo.untouched()


def test_an_expired_first_message_says_expired(first_message, echo):
    raw = opened(first_message, [])
    raw.send_frame(TEXT, auth(tokens.make(exp=-60)))
    assert_closed(raw, "expired")


def test_no_first_message_in_five_seconds_is_an_auth_timeout(first_message, echo):
    start = now()
    raw = opened(first_message, [])
    assert_closed(raw, "auth_timeout")
    assert 4.5 <= now() - start <= 7
    assert echo.untouched()


def test_more_than_8_KiB_before_the_credential_are_refused(first_message, echo):
    raw = opened(first_message, [])
    raw.send_frame(TEXT, b'{"type":"auth","pad":"' + b"x" * 9000 + b'"}')
    end = raw.frame()
    assert (end.opcode, end.code) == (CLOSE, 1009)
    assert echo.untouched()
