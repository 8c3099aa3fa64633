"""What a page's own script sees in a real Chromium: codes, reasons, protocols, and the little that is left after a 1006."""

from __future__ import annotations

import json
import time

import pytest

from support import browser as browser_
from support import configs, table, tokens
from support.browser import assert_blind, closed, event, fetch, socket, sockets
from support.process import eventually
from support.raw import Raw
from support.upstreams import echo_frames, free_port

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]


@pytest.fixture
def app(gate, files, browser, node_ws):
    """A gate that serves a page of its own at /page, and what the keyword arguments say at /app/*."""

    def start(*more: dict, upstream: str | None = None, **kwargs):
        kwargs.setdefault("carriers", ["header", "subprotocol", "query"])
        config = configs.base(files, upstream or node_ws.url, strip_prefix=True, **kwargs)
        config["route"][0]["path"] = "/app/*"
        config["route"] += [{"name": "page", "path": "/page", "upstream": browser.pages, "public": True}]
        config["route"] += [{**config["route"][0], **changes} for changes in more]
        door = gate(config)
        door.config = config
        door.page = door.http("/page")
        return door

    return start


def by_protocol(token: str | None) -> list[str]:
    return ["chat.v1"] if token is None else [tokens.own(token), "chat.v1"]


def assert_echoes(events: list[dict], text: str) -> None:
    assert event(events, "message")["text"] == text
    assert closed(events) == (1000, "enough")


# Refusals at the door -------------------------------------------------------------------------------------------------

# Each refusal that a handshake from a good page can meet: the path, and what the page offers.
AT_THE_DOOR = {
    "missing_credential": lambda: ("/app/echo", by_protocol(None)),
    "malformed_credential": lambda: ("/app/echo", ["portcullis.bearer.a", "chat.v1"]),
    "invalid_credential": lambda: ("/app/echo", by_protocol(tokens.WRONG)),
    "expired": lambda: ("/app/echo", by_protocol(tokens.make(exp=-60))),
    "not_yet_valid": lambda: ("/app/echo", by_protocol(tokens.make(nbf=300))),
    "insufficient_scope": lambda: ("/scoped/echo", by_protocol(tokens.make())),
    "resource_unknown": lambda: ("/nowhere", by_protocol(tokens.ALICE)),
    "session_limit": lambda: ("/limited/", by_protocol(tokens.ALICE)),
    "upstream_unreachable": lambda: ("/gone/", by_protocol(tokens.ALICE)),
    "upstream_timeout": lambda: ("/silent/", by_protocol(tokens.ALICE)),
}


@pytest.fixture
def refusing(app, raw_upstream):
    """A gate with a route for each way to be refused."""

    def start(signal: str):
        door = app(
            {"name": "scoped", "path": "/scoped/*", "scopes": ["chat", "admin"]},
            {"name": "limited", "path": "/limited/*", "upstream": raw_upstream(echo_frames).url, "limits": {"sessions_per_subject": 1}},
            {"name": "gone", "path": "/gone/*", "upstream": f"http://127.0.0.1:{free_port()}"},
            {"name": "silent", "path": "/silent/*", "upstream": raw_upstream().url, "response_timeout": "500ms"},
            signal=signal,
        )
        door.holder = Raw(door.port)
        door.holder.open("/limited/", BEARER, host=door.authority)
        return door

    return start


def test_script_sees_the_code_and_the_reason_of_every_refusal_at_the_door(refusing, browser):
    door = refusing("auto")
    orders = [case() for case in AT_THE_DOOR.values()]
    [seen] = browser.visit(door.page, sockets(*(socket(door.ws(path), offer) for path, offer in orders)))
    got = {code: closed(events) for code, events in zip(AT_THE_DOOR, seen)}
    assert got == {code: table.close_of(code) for code in AT_THE_DOOR}
    # The socket was open for a moment, with a protocol that was offered and holds no credential, and nothing was said on it.
    assert {tuple(e["event"] for e in events) for events in seen} == {("open", "close")}
    assert {event(events, "open")["protocol"] for events in seen} == {"chat.v1"}
    for code in AT_THE_DOOR:
        assert door.wait_decision(message="refused", refusal=code)["protocol"] == "websocket"


def test_before_accept_every_refusal_looks_the_same_to_script(refusing, browser):
    door = refusing("http")
    orders = {code: case() for code, case in AT_THE_DOOR.items() if code != "resource_unknown"}
    [seen] = browser.visit(door.page, sockets(*(socket(door.ws(path), offer) for path, offer in orders.values())))
    for events in seen:
        assert_blind(events)
    refused = [fields["refusal"] for fields in door.decisions("refused")]
    assert sorted(refused) == sorted(orders)


# What the same page asks after a 1006: a fetch cannot set Sec-WebSocket-Protocol, so it arrives with the header.
ASKED = {
    "missing_credential": lambda: ("/app/echo", None),
    "malformed_credential": lambda: ("/app/echo", "Basic dXNlcjpwdw=="),
    "invalid_credential": lambda: ("/app/echo", f"Bearer {tokens.WRONG}"),
    "expired": lambda: ("/app/echo", f"Bearer {tokens.make(exp=-60)}"),
    "not_yet_valid": lambda: ("/app/echo", f"Bearer {tokens.make(nbf=300)}"),
    "insufficient_scope": lambda: ("/scoped/echo", f"Bearer {tokens.make()}"),
    "resource_unknown": lambda: ("/nowhere", f"Bearer {tokens.ALICE}"),
    "session_limit": lambda: ("/limited/", f"Bearer {tokens.ALICE}"),
}


def ask_check(path: str, authorization: str | None) -> dict:
    headers = {} if authorization is None else {"Authorization": authorization}
    return fetch(f"/.portcullis/check?route={path}", headers=headers)


def test_after_a_1006_the_check_route_tells_script_what_it_could_not_see(refusing, browser):
    door = refusing("http")
    blind, *answers = browser.visit(
        door.page, sockets(socket(door.ws("/app/echo"), by_protocol(tokens.WRONG))), *(ask_check(*case()) for case in ASKED.values()))
    assert_blind(blind[0])
    got = {}
    for code, answer in zip(ASKED, answers):
        assert answer["status"] == 200, answer
        body = json.loads(answer["text"])
        assert body["admitted"] is False
        got[code] = (body["code"], body["status"], body["close_code"], body["recovery"])
    rows = {code: table.TABLE[code] for code in ASKED}
    assert got == {code: (code, row.status, row.close, row.recovery) for code, row in rows.items()}


def test_the_check_route_says_that_the_door_is_open(app, browser):
    door = app()
    [answer] = browser.visit(door.page, ask_check("/app/echo", f"Bearer {tokens.ALICE}"))
    assert json.loads(answer["text"])["admitted"] is True


def test_handshakes_too_often_are_rate_limited(app, browser):
    door = app(top={"limits": {"handshakes": "2/m"}})
    good = socket(door.ws("/app/echo"), by_protocol(tokens.ALICE), send=["hi"], until=1)
    seen = browser.visit(door.page, *(sockets(good) for _ in range(3)), ask_check("/app/echo", f"Bearer {tokens.ALICE}"))
    for [events] in seen[:2]:
        assert_echoes(events, "hi")
    assert closed(seen[2][0]) == table.close_of("rate_limited")
    body = json.loads(seen[3]["text"])
    assert (body["code"], body["recovery"]) == ("rate_limited", "retry")
    assert 0 < body["retry_after_ms"] <= 60_000


def test_whoever_fails_too_often_hears_that_and_no_more(app, browser):
    door = app(top={"limits": {"failed_handshakes": "2/m"}})
    tries = [by_protocol(tokens.WRONG), by_protocol(tokens.WRONG), by_protocol(tokens.ALICE)]
    seen = browser.visit(door.page, *(sockets(socket(door.ws("/app/echo"), offer)) for offer in tries))
    assert [closed(events) for [events] in seen] == [table.close_of(code) for code in ("invalid_credential", "invalid_credential", "failed_too_often")]


def test_a_full_gate_has_no_place_for_another_session(app, browser):
    door = app(top={"limits": {"sessions": 1}})
    with Raw(door.port) as raw:
        raw.open("/app/echo", BEARER, host=door.authority)
        [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/echo"), by_protocol(tokens.BOB))))
    assert closed(events) == table.close_of("session_limit")


# Refusals that are never accepted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", ["auto", "close", "http"])
def test_a_foreign_page_is_refused_with_403_and_sees_1006(app, browser, raw_upstream, signal):
    upstream = raw_upstream()
    door = app(upstream=upstream.url, signal=signal)
    [events], *answers = browser.visit(
        browser.pages + "/evil", sockets(socket(door.ws("/app/"), by_protocol(tokens.ALICE))), ask_check_of(door, tokens.ALICE),
        fetch(door.http("/.portcullis/check?route=/nowhere")), fetch(door.http("/.portcullis/check")))
    assert_blind(events)
    # Nor may it read why, nor that a gate is there at all.
    assert answers == [{"error": "TypeError"}] * 3
    refused = door.wait_decision(message="refused", protocol="websocket")
    assert refused["refusal"] == "origin_forbidden"
    assert upstream.untouched()


def ask_check_of(door, token: str) -> dict:
    return fetch(door.http(f"/.portcullis/check?route=/app/echo%3Ftoken={token}"))


def test_a_page_that_is_listed_connects_and_may_ask_why_it_could_not(app, browser):
    door = app(origin=[browser.pages])
    token = tokens.make(exp=-60)
    [good, bad], answer = browser.visit(
        browser.pages + "/friend",
        sockets(socket(door.ws("/app/echo"), by_protocol(tokens.ALICE), send=["hi"], until=1), socket(door.ws("/app/echo"), by_protocol(token))),
        ask_check_of(door, token))
    assert_echoes(good, "hi")
    assert closed(bad) == table.close_of("expired")
    assert json.loads(answer["text"])["code"] == "expired"


def test_a_page_that_is_listed_asks_with_the_credential_where_its_handshake_has_it(app, browser):
    door = app(origin=[browser.pages], carriers=["header", "subprotocol", "cookie:session"])
    url = door.http("/.portcullis/check?route=/app/echo")
    expired = tokens.make(exp=-60)
    asked = [
        fetch(url, headers={"Authorization": f"Bearer {expired}"}),
        fetch(url, headers={"Portcullis-Protocol": ", ".join(by_protocol(expired))}, credentials="include"),
        fetch(url, headers={"Portcullis-Protocol": ", ".join(by_protocol(tokens.ALICE))}),
        fetch(url, credentials="include"),
    ]
    answers = browser.visit(browser.pages + "/friend", *asked, cookies={"session": expired})
    told = [json.loads(answer["text"]) for answer in answers]
    assert [answer.get("code") for answer in told] == ["expired", "expired", None, "expired"]
    assert told[2]["admitted"] is True


def test_a_foreign_page_may_not_even_ask_with_a_credential(app, browser):
    door = app(carriers=["header", "subprotocol"])
    url = door.http("/.portcullis/check?route=/app/echo")
    asked = [fetch(url, headers={"Authorization": f"Bearer {tokens.ALICE}"}), fetch(url, headers={"Portcullis-Protocol": "chat.v1"})]
    assert browser.visit(browser.pages + "/evil", *asked) == [{"error": "TypeError"}] * 2
    # The browser asked first, and sent nothing that would have been decided.
    assert [fields for fields in door.decisions() if fields["route"] == "chat"] == []


def test_a_page_on_a_name_that_was_made_to_mean_loopback_finds_nobody_at_home(app, browser, raw_upstream):
    """DNS rebinding: page, Origin and Host agree, and all of them are foreign."""
    upstream = raw_upstream()
    door = app(upstream=upstream.url)
    there = f"rebound.example:{door.port}"
    visit = browser.start(f"http://{there}/page", sockets(socket(f"ws://{there}/app/", by_protocol(tokens.ALICE))), fetch(f"http://{there}/page"))
    answer = visit.answer()
    [events], fetched = answer["results"]
    assert answer["status"] == 403
    assert_blind(events)
    assert (fetched["status"], json.loads(fetched["text"])["code"]) == (403, "host_forbidden")
    door.wait_decision(refusal="host_forbidden")
    assert {fields["refusal"] for fields in door.decisions("refused")} == {"host_forbidden"}
    assert upstream.untouched()


# Carriers -------------------------------------------------------------------------------------------------------------

DIALECTS = {"kubernetes": tokens.k8s, "phoenix": tokens.phx, "portcullis": tokens.own, "openai": tokens.openai}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_subprotocol_dialect_carries_a_token_and_is_never_echoed(app, browser, fastapi, dialect):
    write = DIALECTS[dialect]
    door = app(upstream=fastapi.url, carriers=["subprotocol"])
    jwt = tokens.make()
    offers = [[write(tokens.ALICE), "chat.v1", "chat.v2"], ["chat.v2", write(jwt), "chat.v1"], [write(tokens.WRONG), "chat.v1"], [write(tokens.make(exp=-60)), "chat.v2"]]
    [seen] = browser.visit(door.page, sockets(*(socket(door.ws("/app/ws/headers"), offer, until=1) for offer in offers)))
    assert [event(events, "open")["protocol"] for events in seen] == ["chat.v1", "chat.v2", "chat.v1", "chat.v2"]
    for events, rest in zip(seen[:2], (["chat.v1", "chat.v2"], ["chat.v2", "chat.v1"])):
        told = json.loads(event(events, "message")["text"])
        assert told["subprotocols"] == rest
        assert tokens.MARK not in json.dumps(told) and jwt not in json.dumps(told)
    assert [closed(events) for events in seen[2:]] == [table.close_of("invalid_credential"), table.close_of("expired")]
    assert {fields["carrier"] for fields in door.decisions() if fields["route"] == "chat"} == {"subprotocol"}


def test_a_cookie_from_a_good_page_is_taken(app, browser):
    door = app(carriers=["cookie:session"])
    for token, want in ((tokens.ALICE, None), (tokens.make(exp=-60), "expired"), (tokens.WRONG, "invalid_credential")):
        [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/echo"), send=["hi"], until=1)), cookies={"session": token})
        if want is None:
            assert_echoes(events, "hi")
        else:
            assert closed(events) == table.close_of(want)
    assert door.wait_decision(message="admitted", protocol="websocket", route="chat")["carrier"] == "cookie"


@pytest.mark.parametrize("rule", ["same-host", "any"])
def test_a_cookie_from_a_foreign_page_is_refused_whatever_the_rule(app, browser, raw_upstream, rule):
    """Cookies do not know ports: the browser sends the gate's own cookie for the page next door."""
    upstream = raw_upstream()
    door = app(upstream=upstream.url, carriers=["cookie:session"], origin=rule)
    no_cors = fetch(door.http("/app/x"), mode="no-cors", credentials="include")
    cors = fetch(door.http("/app/x"), credentials="include")
    [events], *fetched = browser.visit(browser.pages + "/evil", sockets(socket(door.ws("/app/"))), no_cors, cors, cookies={"session": tokens.ALICE})
    assert_blind(events)
    assert fetched == [{"type": "opaque", "status": 0, "headers": {}, "text": ""}, {"error": "TypeError"}]
    # An answer may be there before its line in the log.
    eventually(lambda: len(door.decisions("refused")) == 3, what="three refusals in the log")
    refused = [(fields["protocol"], fields["refusal"]) for fields in door.decisions("refused")]
    assert refused == [("websocket", "origin_forbidden"), ("http", "origin_forbidden"), ("http", "origin_forbidden")]
    assert upstream.untouched()


def test_a_plain_same_origin_fetch_has_no_origin_and_its_cookie_is_taken(app, browser, fastapi):
    door = app(upstream=fastapi.url, carriers=["cookie:session"], pass_origin=True)
    [answer] = browser.visit(door.page, fetch("/app/headers/x"), cookies={"session": tokens.ALICE})
    assert answer["status"] == 200, answer
    headers = dict(json.loads(answer["text"])["headers"])
    assert ("origin" in headers, headers["sec-fetch-site"], headers["portcullis-subject"]) == (False, "same-origin", "alice")
    assert tokens.MARK not in json.dumps(headers)


def test_a_person_who_types_the_address_is_taken_with_the_cookie(app, browser, fastapi):
    door = app(upstream=fastapi.url, carriers=["cookie:session"])
    visit = browser.start(door.http("/app/headers/typed"), {"evaluate": "document.body.innerText"}, cookies={"session": tokens.ALICE})
    answer = visit.answer()
    assert answer["status"] == 200
    assert json.loads(answer["results"][0])["path"] == "/headers/typed"


def test_a_token_in_the_query_is_taken_where_the_route_reads_it(app, browser):
    door = app(carriers=["query"])
    urls = [f"/app/echo?token={tokens.ALICE}", f"/app/echo?access_token={tokens.make()}", f"/app/echo?token={tokens.WRONG}"]
    [[first, second, third]] = browser.visit(door.page, sockets(*(socket(door.ws(url), send=["hi"], until=1) for url in urls)))
    assert_echoes(first, "hi")
    assert_echoes(second, "hi")
    assert closed(third) == table.close_of("invalid_credential")


# First message --------------------------------------------------------------------------------------------------------


def auth(token: str) -> str:
    return json.dumps({"type": "auth", "token": token})


def test_a_good_first_message_is_answered_and_then_the_upstream_is_there(app, browser):
    door = app(carriers=["first-message"])
    token = tokens.make(exp=600)
    told = [socket(door.ws("/app/echo"), ["chat.v1"], send=[auth(t), "hello"], until=2) for t in (token, tokens.ALICE)]
    [[jwt, capability]] = browser.visit(door.page, sockets(*told))
    for events, lasting in ((jwt, True), (capability, False)):
        answer, echo = [e["text"] for e in events if e["event"] == "message"]
        answer = json.loads(answer)
        assert (answer["type"], echo, closed(events)) == ("auth_ok", "hello", (1000, "enough"))
        assert (abs(answer["expires_at"] - time.time() - 600) < 30) if lasting else answer["expires_at"] is None
        assert (event(events, "open")["protocol"], event(events, "open")["extensions"]) == ("chat.v1", "")


def test_a_bad_first_message_is_answered_by_its_code(app, browser, raw_upstream):
    upstream = raw_upstream()
    door = app(upstream=upstream.url, carriers=["first-message"])
    cases = {
        auth(tokens.WRONG): "invalid_credential",
        auth(tokens.make(exp=-60)): "expired",
        auth(""): "malformed_credential",
        "hello": "malformed_credential",
        '{"type":"auth"}': "malformed_credential",
    }
    [seen] = browser.visit(door.page, sockets(*(socket(door.ws("/app/"), send=[message]) for message in cases)))
    assert [closed(events) for events in seen] == [table.close_of(code) for code in cases.values()]
    assert upstream.untouched()


def test_a_first_message_that_is_late_is_an_auth_timeout(app, browser, raw_upstream):
    upstream = raw_upstream()
    door = app(upstream=upstream.url, carriers=["first-message"])
    [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/"))))
    assert closed(events) == table.close_of("auth_timeout")
    assert 4500 <= event(events, "close")["ms"] <= 8000
    assert upstream.untouched()


# In mid-session -------------------------------------------------------------------------------------------------------


def test_a_jwt_that_expires_in_mid_session_is_heard_as_4001_expired(app, browser):
    door = app()
    token = tokens.make(exp=4)
    [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/echo"), by_protocol(token), send=["still good"])))
    assert event(events, "message")["text"] == "still good"
    assert closed(events) == (4001, "expired")


def test_the_limits_of_a_session_are_heard_with_their_codes(app, browser):
    door = app(
        {"name": "small", "path": "/small/*", "session": {"max_message": "1KiB"}},
        {"name": "slow", "path": "/slow/*", "session": {"message_rate": "3/m"}},
        {"name": "quiet", "path": "/quiet/*", "session": {"idle": "1s"}},
        {"name": "short", "path": "/short/*", "session": {"lifetime": "1s"}},
    )
    offer = by_protocol(tokens.ALICE)
    [seen] = browser.visit(door.page, sockets(
        socket(door.ws("/small/echo"), offer, bytes=4096),
        socket(door.ws("/slow/echo"), offer, send=["1", "2", "3", "one too many"]),
        socket(door.ws("/quiet/echo"), offer),
        socket(door.ws("/short/echo"), offer, send=["hi"]),
    ))
    assert [closed(events) for events in seen] == [
        table.close_of(code) for code in ("message_too_big", "rate_limited", "idle", "lifetime_reached")]


def test_a_reload_that_says_no_is_heard_as_policy_changed(app, browser, files):
    door = app()
    visit = browser.start(door.page, sockets(socket(door.ws("/app/echo"), by_protocol(tokens.ALICE))))
    door.wait_decision(message="admitted", protocol="websocket")
    files["tokens"].write_text(f"bob:{tokens.BOB}\n")
    door.reload(door.config)
    [[events]] = visit.results()
    assert closed(events) == table.close_of("policy_changed")


def test_a_drain_is_heard_as_1012(app, browser):
    door = app()
    visit = browser.start(door.page, sockets(socket(door.ws("/app/echo"), by_protocol(tokens.ALICE))))
    door.wait_decision(message="admitted", protocol="websocket")
    door.drain()
    [[events]] = visit.results()
    assert closed(events) == table.close_of("draining")
    assert door.process.wait(10) == 0


def test_an_upstream_that_is_lost_is_heard_as_1014(app, browser):
    door = app()
    [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/terminate"), by_protocol(tokens.ALICE), send=["die"])))
    assert closed(events) == table.close_of("upstream_unreachable")


def test_the_upstreams_own_close_is_heard_untouched(app, browser):
    door = app()
    [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/close?code=4777&reason=my%20own"), by_protocol(tokens.ALICE))))
    assert closed(events) == (4777, "my own")


def test_compression_is_agreed_between_browser_and_upstream(app, browser, node_ws):
    door = app()
    mark = node_ws.mark()
    [[events]] = browser.visit(door.page, sockets(socket(door.ws("/app/echo"), by_protocol(tokens.ALICE), send=["x" * 100_000], until=1)))
    assert_echoes(events, "x" * 100_000)
    assert event(events, "open")["extensions"] == "permessage-deflate"
    assert "permessage-deflate" in node_ws.wait_event(mark, event="open", path="/echo")["extensions"]
    # A hundred thousand times the same letter: what the gate relayed was never inflated.
    end = door.wait_session_end(messages_up=1)
    assert end["bytes_up"] < 10_000 and end["bytes_down"] < 10_000
