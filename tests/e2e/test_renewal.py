"""A session is renewed without a reconnect, and told before it expires."""

from __future__ import annotations

import json
import selectors
import threading
import time
from collections import Counter

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support import configs, tokens
from support.process import eventually
from support.raw import CLOSE, PING, TEXT, Raw, ask, frame, request


def bearer(**claims) -> dict:
    return {"Authorization": f"Bearer {tokens.make(**claims)}"}


def refresh(door, session: str, headers: dict, *, query: str = "", method: str = "POST"):
    path = f"/.portcullis/session/{session}/refresh{query}"
    answer = ask(door.port, request(method, path, list(headers.items()), host=door.authority))
    return answer.status, json.loads(answer.body) if answer.body else None


@pytest.fixture
def door(gate, files, fastapi):
    return gate(configs.base(files, fastapi.url))


def test_a_session_lives_through_three_lives_of_its_token_without_losing_a_message(door):
    life = 4
    with connect(door.ws("/ws/echo"), additional_headers=bearer(exp=life, jti="one"), proxy=None) as client:
        session = client.response.headers["Portcullis-Session"]
        start = time.monotonic()
        sent = 0
        for number in range(3):
            while time.monotonic() - start < (number + 1) * (life - 2):
                client.send(f"message {sent}")
                assert client.recv(timeout=5) == f"message {sent}"
                sent += 1
            fresh = bearer(exp=life, jti=f"renewed-{number}")
            status, body = refresh(door, session, fresh)
            assert status == 200, body
            assert body["session"] == session
            assert 0 <= body["expires_at"] - time.time() <= life
        assert time.monotonic() - start > 1.4 * life
        with pytest.raises(ConnectionClosed) as end:
            while True:
                client.send("until it expires")
                client.recv(timeout=5)
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (4001, "expired")
    ended = door.wait_session_end(reason="expired")
    assert ended["session"] == session
    assert ended["credential_id"] == "renewed-2"
    assert ended["messages_up"] >= sent


def test_who_may_not_renew_is_told_why_and_the_session_is_as_it_was(door):
    with connect(door.ws("/ws/echo"), additional_headers=bearer(jti="own", scope="read"), proxy=None) as client:
        session = client.response.headers["Portcullis-Session"]
        for headers, status, code in [
            (bearer(sub="mallory", scope="read"), 403, "not_owner"),
            (bearer(scope="read write"), 403, "insufficient_scope"),
            (bearer(exp=-60), 401, "expired"),
            ({"Authorization": f"Bearer {tokens.WRONG}"}, 401, "invalid_credential"),
            ({}, 401, "missing_credential"),
        ]:
            got, body = refresh(door, session, headers)
            assert (got, body["code"]) == (status, code)
        assert refresh(door, "0" * 32, bearer(scope="read"), query="?route=/ws/echo")[1]["code"] == "resource_unknown"
        assert refresh(door, "0" * 32, bearer(scope="read"))[0] == 400
        assert refresh(door, "../../etc", bearer(), query="?route=/ws/echo")[0] in (400, 404)
        assert refresh(door, session, bearer(), method="GET")[0] == 405
        client.send("unharmed")
        assert client.recv(timeout=5) == "unharmed"


def test_a_notice_comes_before_the_expiry_and_between_two_messages(gate, files, raw_upstream):
    def halves(connection):
        """A message in two frames, between which the notice falls due, and a ping; silence to who watches."""
        connection.accept()
        if connection.head.startswith(b"GET /watch "):
            assert connection.ended() is not None
            return
        connection.send(frame(TEXT, b"first half, ", fin=False, mask=None))
        assert due.wait(15)
        connection.send(frame(PING, b"in between", mask=None))
        connection.send(frame(0, b"second half", mask=None))
        assert connection.ended() is not None

    due = threading.Event()
    upstream = raw_upstream(halves)
    door = gate(configs.base(files, upstream.url, session={"notice": "60s"}))
    # Due in two to three seconds, for both.
    headers = list(bearer(exp=63).items())
    raw, watch = Raw(door.port), Raw(door.port)
    answer = raw.open("/", headers, host=door.authority)
    got = [raw.frame()]
    watch.open("/watch", headers, host=door.authority)
    assert json.loads(watch.frame().payload)["type"] == "expiring"
    due.set()
    got += [raw.frame() for _ in range(3)]
    assert [(f.opcode, f.fin) for f in got] == [(TEXT, False), (PING, True), (0, True), (TEXT, True)]
    told = json.loads(got[3].payload)
    assert told["type"] == "expiring"
    assert told["session"] == answer.header("portcullis-session")
    assert abs(told["expires_at"] - time.time() - 60) < 5


def test_jitter_spreads_the_ends_of_hundreds_of_sessions_with_one_expiry(gate, files, fastapi):
    count, jitter = 300, 4
    door = gate(configs.base(files, fastapi.url, session={"expiry_jitter": f"{jitter}s"}))
    headers = list(bearer(exp=12).items())
    sockets = []
    for _ in range(count):
        raw = Raw(door.port)
        raw.open("/ws/echo", headers, host=door.authority)
        sockets.append(raw)
    ends = []
    with selectors.DefaultSelector() as waiting:
        for raw in sockets:
            waiting.register(raw.sock, selectors.EVENT_READ, raw)
        while waiting.get_map():
            ready = waiting.select(timeout=15)
            assert ready, f"{len(waiting.get_map())} sessions live on"
            for key, _ in ready:
                ends.append(time.monotonic())
                assert key.data.frame().code == 4001
                waiting.unregister(key.fileobj)
                key.data.close()
    in_each_second = Counter(int(end - min(ends)) for end in ends)
    # Evenly 75 in each; what a busy machine is late is told together.
    assert max(in_each_second.values()) <= 150, in_each_second
    assert max(in_each_second) >= jitter - 1, in_each_second


def test_a_page_renews_its_session_by_its_name(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url, carriers=["header", "first-message"], origin=["https://app.example"], protocols="both"))
    with connect(door.ws("/ws/echo"), additional_headers=bearer(exp=60) | {"Origin": "https://app.example"}, proxy=None) as client:
        session = client.response.headers["Portcullis-Session"]
        path = f"/.portcullis/session/{session}/refresh"
        preflight = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization")]
        answer = ask(door.port, request("OPTIONS", path, preflight, host=door.authority))
        assert answer.status == 204
        assert "POST" in answer.header("access-control-allow-methods")
        foreign = [("Origin", "https://evil.example"), *preflight[1:]]
        assert ask(door.port, request("OPTIONS", path, foreign, host=door.authority)).status == 403
        good = list((bearer(exp=120) | {"Origin": "https://app.example"}).items())
        answer = ask(door.port, request("POST", path, good, host=door.authority))
        assert (answer.status, answer.header("access-control-allow-origin")) == (200, "https://app.example")
        bad = list((bearer(exp=120) | {"Origin": "https://evil.example"}).items())
        answer = ask(door.port, request("POST", path, bad, host=door.authority))
        assert (answer.status, answer.header("access-control-allow-origin")) == (403, None)


def test_a_session_is_renewed_at_its_own_door_and_not_where_less_is_asked(gate, files, fastapi):
    built = configs.base(files, fastapi.url, scopes=["chat"])
    lax = {"name": "lax", "path": "/lax/*", "upstream": fastapi.url, "verifiers": ["tokens", "jwt"]}
    door = gate({**built, "route": [*built["route"], lax]})
    with connect(door.ws("/ws/echo"), additional_headers=bearer(scope="chat"), proxy=None) as client:
        session = client.response.headers["Portcullis-Session"]
        status, body = refresh(door, session, bearer(), query="?route=/lax/x")
        assert (status, body["code"]) == (403, "insufficient_scope")
        assert refresh(door, session, bearer(scope="chat"), query="?route=/lax/x")[0] == 200
