"""Tickets from the page to the socket, places over all gates, and signed assertions."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from urllib.parse import quote

import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from support import configs, node, table, tokens
from support.browser import closed, event, fetch, socket, sockets
from support.process import eventually
from support.raw import Raw, ask, request, upgrade

APP = "https://app.example"


@pytest.fixture
def config(files, memory):
    """A config of a route with tickets, in a ledger of its own."""

    def make(upstream, **more) -> dict:
        settings = {"carriers": ["header", "ticket"], "origin": [APP], **more}
        return {**configs.base(files, upstream, **settings), **memory}

    return make


def mint(door, token: str, *, path: str = "/ws/echo", origin: str | None = APP, query: str = "", method: str = "POST"):
    headers = [("Authorization", f"Bearer {token}")] + ([("Origin", origin)] if origin else [])
    target = f"/.portcullis/ticket?route={quote(path)}{query}"
    answer = ask(door.port, request(method, target, headers, host=door.authority))
    return answer, json.loads(answer.body) if answer.body else None


def use(door, ticket: str, *, path: str = "/ws/echo", origin: str | None = APP):
    """The status of a handshake with the ticket, and its connection."""
    raw = Raw(door.port)
    headers = [("Origin", origin)] if origin else []
    answer = raw.send(upgrade(f"{path}?ticket={ticket}", headers, host=door.authority)).response()
    return answer, raw


@pytest.fixture
def door(gate, config, fastapi):
    return gate(config(fastapi.url, signal="http"))


def test_a_ticket_opens_one_session_and_is_in_no_log(door):
    token = tokens.make(jti="parent", scope="chat", exp=60)
    answer, body = mint(door, token)
    assert (answer.status, answer.header("cache-control")) == (201, "no-store")
    assert answer.header("access-control-allow-origin") == APP
    assert 20 <= body["expires_at"] - time.time() <= 31
    opened, raw = use(door, body["ticket"])
    assert (opened.status, opened.header("portcullis-session")) == (101, body["session"])
    admitted = door.wait_decision(carrier="ticket")
    assert (admitted["subject"], admitted["credential_id"], admitted["verifier"]) == ("alice", "parent", "jwt")
    again, _ = use(door, body["ticket"])
    table.assert_denied(again, "invalid_credential")
    assert body["ticket"] not in door.process.err.text()
    raw.sock.close()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"origin": None}, "no page shows a page's ticket"),
        ({"path": "/ws/other"}, "another route"),
        ({"ticket": "A" * 43}, "a guess"),
        ({"ticket": "short"}, "no ticket"),
        ({"ticket": "%00' OR 1=1 --"}, "an injection"),
    ],
)
def test_a_ticket_is_good_in_its_place_only_and_gone_when_shown_elsewhere(gate, config, fastapi, wrong, why):
    built = config(fastapi.url, signal="http")
    other = {**built["route"][0], "name": "other", "path": "/ws/other"}
    door = gate({**built, "route": [*built["route"], other]})
    _, body = mint(door, tokens.ALICE)
    place = {"ticket": quote(wrong.get("ticket", body["ticket"])), "path": wrong.get("path", "/ws/echo")}
    answer, _ = use(door, place["ticket"], path=place["path"], origin=wrong.get("origin", APP))
    assert answer.status == 401, why
    burnt = "ticket" not in wrong
    assert use(door, body["ticket"])[0].status == (401 if burnt else 101)


def test_a_ticket_of_a_pages_server_is_for_the_page_that_it_names(door):
    _, body = mint(door, tokens.ALICE, origin=None, query=f"&origin={quote(APP)}")
    assert use(door, body["ticket"])[0].status == 101
    _, body = mint(door, tokens.ALICE, origin=None)
    assert use(door, body["ticket"], origin=None)[0].status == 101


def test_no_ticket_without_a_credential_for_the_route(gate, config, fastapi):
    built = config(fastapi.url, signal="http", scopes=["chat"])
    plain = {"name": "plain", "path": "/plain", "upstream": fastapi.url, "verifiers": ["tokens", "jwt"]}
    door = gate({**built, "route": [*built["route"], plain]})
    for token, code in [(tokens.WRONG, "invalid_credential"), (tokens.make(exp=-60), "expired"), (tokens.make(), "insufficient_scope")]:
        answer, body = mint(door, token)
        assert (answer.status, body["code"]) == (table.TABLE[code].status, code)
    assert mint(door, tokens.ALICE, origin="https://evil.example")[0].status == 403
    assert mint(door, tokens.ALICE, path="/plain", origin=None)[0].status == 404
    assert mint(door, tokens.ALICE, method="GET")[0].status == 405
    # From a ticket comes no other one.
    _, body = mint(door, tokens.ALICE)
    target = f"/.portcullis/ticket?route={quote('/ws/echo?ticket=' + body['ticket'])}"
    answer = ask(door.port, request("POST", target, [("Origin", APP)], host=door.authority))
    assert answer.status == 401


def test_a_credential_that_no_ticket_can_hold_is_not_told_to_come_back_later(door):
    answer, body = mint(door, tokens.make(scope=" ".join(f"scope-{number:04}" for number in range(1000))))
    assert (answer.status, body["code"], body["recovery"]) == (404, "resource_unknown", "stop")
    assert answer.header("retry-after") is None
    assert "a ticket's identity" in door.wait_decision(refusal="resource_unknown")["detail"]


def test_a_page_that_asks_why_keeps_its_ticket(door):
    _, body = mint(door, tokens.ALICE)
    for origin, path, admitted in [(APP, "/ws/echo", True), (APP, "/ws/other", True), (None, "/ws/echo", False)]:
        route = quote(f"{path}?ticket={body['ticket']}")
        headers = [("Origin", origin)] if origin else []
        assert door.check(route, headers)["admitted"] is admitted, (origin, path)
    opened, raw = use(door, body["ticket"])
    assert (opened.status, opened.header("portcullis-session")) == (101, body["session"])
    assert door.check(quote(f"/ws/echo?ticket={body['ticket']}"), [("Origin", APP)])["code"] == "invalid_credential"
    raw.close()


def test_a_ticket_dies_with_its_parent(door):
    _, body = mint(door, tokens.make(exp=2))
    assert body["expires_at"] <= time.time() + 2
    assert eventually(lambda: time.time() > body["expires_at"] + 0.2, timeout=5)
    assert use(door, body["ticket"])[0].status == 401
    _, body = mint(door, tokens.make(exp=3))
    opened, raw = use(door, body["ticket"])
    assert opened.status == 101
    assert raw.frame().code == 4001


def test_a_ticket_does_not_outlive_the_rotation_of_its_parents_secret(gate, files, config, fastapi):
    door = gate(config(fastapi.url, signal="http"))
    _, body = mint(door, tokens.BOB)
    files["tokens"].write_text(f"alice:{tokens.ALICE}\n")
    door.process.signal(signal.SIGHUP)
    door.wait_record(lambda record: record["fields"].get("message") == "reloaded")
    assert use(door, body["ticket"])[0].status == 401
    assert use(door, mint(door, tokens.ALICE)[1]["ticket"])[0].status == 101


def test_a_ticket_of_one_good_page_is_not_good_for_another(gate, config, fastapi):
    door = gate(config(fastapi.url, signal="http", origin=[APP, "https://second.example"]))
    _, body = mint(door, tokens.ALICE)
    assert use(door, body["ticket"], origin="https://second.example")[0].status == 401


def test_a_cap_of_a_path_counts_all_its_spellings(gate, config, fastapi):
    built = config(fastapi.url, signal="http", limits={"shared_sessions_per_path": 1})
    door = gate(built)
    headers = [("Authorization", f"Bearer {tokens.ALICE}")]
    first = Raw(door.port)
    first.open("/ws/echo", headers, host=door.authority)
    for path in ["/ws/echo", "/ws/%65cho", "/ws//echo", "/ws/./echo"]:
        answer = Raw(door.port).send(upgrade(path, headers, host=door.authority)).response()
        assert answer.status == 429, path


def test_from_the_page_by_its_cookie_to_the_socket(gate, files, fastapi, browser, memory):
    """The browser's whole way: page, cookie, ticket, socket; the token is in no URL and no log."""
    built = {**configs.base(files, fastapi.url, carriers=["cookie:sid", "ticket"]), **memory}
    page = {"name": "page", "path": "/", "upstream": "builtin:demo", "public": True}
    door = gate({**built, "route": [*built["route"], page]})
    ticket = fetch(door.http("/.portcullis/ticket?route=/ws/echo"), method="POST")
    [fetched] = browser.visit(door.http("/"), ticket, cookies={"sid": tokens.ALICE})
    assert fetched["status"] == 201
    body = json.loads(fetched["text"])
    url = f"{door.ws('/ws/echo')}?ticket={body['ticket']}"
    [[events]] = browser.visit(door.http("/"), sockets(socket(url, send=["hello"], until=1)))
    assert event(events, "message")["text"] == "hello"
    assert closed(events) == (1000, "enough")
    [[events]] = browser.visit(door.http("/"), sockets(socket(url)))
    assert closed(events) == table.close_of("invalid_credential")
    assert body["ticket"] not in door.process.err.text()


def test_one_ticket_used_at_two_gates_at_once_is_admitted_once(gate, config, fastapi):
    built = config(fastapi.url, signal="http")
    doors = [gate(built), gate(built)]
    for _ in range(10):
        _, body = mint(doors[0], tokens.ALICE)
        statuses = []
        start = threading.Barrier(6)

        def knock(door):
            start.wait()
            statuses.append(use(door, body["ticket"])[0].status)

        threads = [threading.Thread(target=knock, args=(doors[number % 2],)) for number in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(statuses) == [101, 401, 401, 401, 401, 401]


def test_a_cap_holds_over_two_gates_and_a_killed_gate_gives_its_places_back(gate, config, fastapi):
    built = config(fastapi.url, signal="http", limits={"shared_sessions_per_subject": 3})
    doors = [gate(built), gate(built)]
    refused, start = [], threading.Barrier(12)
    opened = {0: [], 1: []}

    def enter(number: int) -> bool:
        try:
            client = connect(doors[number].ws("/ws/echo"), additional_headers={"Authorization": f"Bearer {tokens.ALICE}"}, proxy=None)
            opened[number].append(client)
            return True
        except InvalidStatus as error:
            refused.append(error.response.status_code)
            return False

    def burst(number: int) -> None:
        start.wait()
        enter(number)

    threads = [threading.Thread(target=burst, args=(number % 2,)) for number in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(opened[0]) + len(opened[1]), refused) == (3, [429] * 9)

    # Another subject has places of its own; one that ends makes room at the other gate.
    assert node.connect(doors[0].ws("/ws/echo"), headers={"Authorization": f"Bearer {tokens.BOB}"}, close=1000)
    while opened[1]:
        opened[1].pop().close()
    while len(opened[0]) < 2:
        assert eventually(lambda: enter(0), timeout=5)
    while len(opened[0]) > 2:
        opened[0].pop().close()
    assert eventually(lambda: enter(1), timeout=5)
    assert not enter(1)
    # A gate that is killed says nothing any more; its lease does.
    doors[0].process.kill()
    assert eventually(lambda: enter(1), timeout=25, every=0.5)
    assert eventually(lambda: enter(1), timeout=5)
    assert not enter(1)


def test_an_upstream_can_check_who_it_is(gate, files, raw_upstream, tmp_path):
    key = tmp_path / "assertion.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    key.chmod(0o600)
    heads = []

    def remember(connection):
        heads.append(connection.read_request())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    built = configs.base(files, raw_upstream(remember).url, assertion=True)
    built["assertion"] = {"key_file": key, "issuer": "https://gate.example"}
    door = gate(built)
    headers = [("Authorization", f"Bearer {tokens.make(scope='read')}"), ("Portcullis-Assertion", "mine")]
    assert ask(door.port, request("GET", "/x", headers, host=door.authority)).status == 200
    lines = [line.split(b": ", 1)[1].decode() for line in heads[0].split(b"\r\n") if line.lower().startswith(b"portcullis-assertion")]
    assert len(lines) == 1
    answer = ask(door.port, request("GET", "/.portcullis/jwks.json", host=door.authority))
    assert (answer.status, answer.header("content-type")) == (200, "application/jwk-set+json")
    [published] = json.loads(answer.body)["keys"]
    assert "d" not in published
    read = jwt.decode(lines[0], jwt.PyJWK(published).key, algorithms=["EdDSA"], audience="chat", issuer="https://gate.example")
    assert (read["sub"], read["scope"], read["original_issuer"]) == ("alice", "read", tokens.ISSUER)
    assert read["exp"] - read["iat"] == 60
