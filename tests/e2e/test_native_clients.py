"""Native clients get an HTTP denial that they can read; HTTP and WebSocket get the same answer to the same arrival."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from support import configs, node, table, tokens
from support.process import clean_env
from support.raw import CLOSE, KEY, Raw, ask, request, upgrade

GOOD_ORIGIN, FOREIGN = "https://app.example", "https://evil.example"


@pytest.fixture
def door(gate, files, fastapi):
    """Native defaults: header carrier, signal auto."""
    return gate(configs.base(files, fastapi.url, scopes=["chat"]))


# What one client of each kind reads out of a refusal ------------------------------------------------------------------

CASES = {
    "missing_credential": lambda: None,
    "malformed_credential": lambda: "Basic dXNlcjpwdw==",
    "invalid_credential": lambda: f"Bearer {tokens.WRONG}",
    "expired": lambda: f"Bearer {tokens.make(exp=-60)}",
    "not_yet_valid": lambda: f"Bearer {tokens.make(nbf=300)}",
    "insufficient_scope": lambda: f"Bearer {tokens.make()}",
}


def headers_for(code: str) -> dict:
    value = CASES[code]()
    return {} if value is None else {"Authorization": value}


class Seen:
    """A refusal as some client's library shows it, in the shape that `table.assert_denied` reads."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = [(k.lower(), v) for k, v in headers]

    def header(self, name):
        found = [v for k, v in self.headers if k == name]
        return found[0] if found else None


@pytest.mark.parametrize("code", CASES)
def test_python_websockets_reads_status_challenge_and_problem(door, code):
    with pytest.raises(InvalidStatus) as error:
        connect(door.ws("/ws/echo"), additional_headers=headers_for(code), proxy=None)
    response = error.value.response
    table.assert_denied(Seen(response.status_code, response.headers.raw_items(), response.body), code)


@pytest.mark.parametrize("code", CASES)
def test_node_ws_reads_status_challenge_and_problem(door, code):
    refused = node.event(node.connect(door.ws("/ws/echo"), headers=headers_for(code)), "refused")
    table.assert_denied(Seen(refused["status"], refused["headers"].items(), refused["body"]), code)


@pytest.mark.parametrize("code", CASES)
def test_curl_reads_status_challenge_and_problem_over_http_and_over_an_upgrade(door, code):
    for extra in ([], ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]):
        header_lines = [f"{k}: {v}" for k, v in headers_for(code).items()] + extra
        argv = ["curl", "-sS", "--http1.1", "-m", "10", "-o", "-", "-w", "\n%{http_code}\n%header{www-authenticate}\n%header{content-type}"]
        for line in header_lines:
            argv += ["-H", line]
        result = subprocess.run([*argv, door.http("/ws/echo")], env=clean_env(), capture_output=True, text=True, timeout=20)
        assert result.returncode == 0, result.stderr
        body, status, challenge, kind = result.stdout.rsplit("\n", 3)
        fields = [("content-type", kind)] + ([("www-authenticate", challenge)] if challenge else [])
        table.assert_denied(Seen(int(status), fields, body), code)


def test_nodes_own_websocket_hears_an_error_and_can_ask_the_check_route(gate, files, fastapi):
    """It sends no Origin, so it gets the denial, which it cannot read: what it can do is ask."""
    door = gate(configs.base(files, fastapi.url, carriers=["header", "query"]))
    token = tokens.make(exp=-60)
    assert node.connect(door.ws(f"/ws/echo?token={token}"), kind="native") == [{"event": "error"}]
    answer = door.check("/ws/echo", [("Authorization", f"Bearer {token}")])
    want = table.TABLE["expired"]
    assert (answer["admitted"], answer["code"], answer["recovery"], answer["status"], answer["close_code"]) == (
        False, "expired", want.recovery, want.status, want.close)


def test_nodes_own_websocket_hears_the_code_where_the_signal_is_close(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url, carriers=["query"], signal="close"))
    events = node.connect(door.ws(f"/ws/echo?token={tokens.make(exp=-60)}"), kind="native")
    assert events == [{"event": "open", "protocol": ""}, {"event": "close", "code": 4001, "reason": "expired", "clean": True}]


def test_the_check_route_says_that_a_good_arrival_is_admitted(door):
    answer = door.check("/ws/echo", [("Authorization", f"Bearer {tokens.ALICE}")])
    assert answer["admitted"] is True


@pytest.mark.parametrize("credential", ["capability", "jwt"])
def test_every_client_gets_through_with_a_good_credential(gate, files, fastapi, credential):
    door = gate(configs.base(files, fastapi.url, carriers=["header", "query"]))
    token = tokens.ALICE if credential == "capability" else tokens.make()
    headers = {"Authorization": f"Bearer {token}"}
    with connect(door.ws("/ws/echo"), additional_headers=headers, proxy=None) as socket:
        socket.send("from python")
        assert socket.recv(timeout=10) == "from python"
    for kind, url, more in (("ws", "/ws/echo", {"headers": headers}), ("native", f"/ws/echo?token={token}", {})):
        events = node.connect(door.ws(url), kind=kind, send=["from node"], until=1, **more)
        assert node.event(events, "message")["text"] == "from node"
        assert node.event(events, "close")["code"] == 1000
    result = subprocess.run(["curl", "-sS", "-m", "10", "-H", f"Authorization: Bearer {token}", door.http("/headers/x")],
                            env=clean_env(), capture_output=True, text=True, timeout=20)
    assert json.loads(result.stdout)["path"] == "/headers/x"


# The matrix -----------------------------------------------------------------------------------------------------------

CREDENTIALS = {
    "none": lambda: None,
    "capability": lambda: tokens.ALICE,
    "jwt": lambda: tokens.make(scope="chat"),
    "unknown": lambda: tokens.WRONG,
    "forged": lambda: tokens.make(secret=tokens.OTHER_SECRET, scope="chat"),
    "expired": lambda: tokens.make(exp=-60, scope="chat"),
    "forged and expired": lambda: tokens.make(exp=-60, secret=tokens.OTHER_SECRET),
    "early": lambda: tokens.make(nbf=300, scope="chat"),
    "foreign issuer": lambda: tokens.make(iss="https://other.example", scope="chat"),
    "foreign audience": lambda: tokens.make(aud="other", scope="chat"),
    "scopeless": lambda: tokens.make(),
}
# What each credential is refused as, once the rules before it have passed.
OUTCOME = {
    "none": "missing_credential",
    "capability": None,
    "jwt": None,
    "unknown": "invalid_credential",
    "forged": "invalid_credential",
    "expired": "expired",
    "forged and expired": "invalid_credential",
    "early": "not_yet_valid",
    "foreign issuer": "invalid_credential",
    "foreign audience": "invalid_credential",
    "scopeless": "insufficient_scope",
}
CARRIERS = {
    "header": lambda t: ("", [("Authorization", f"Bearer {t}")]),
    "cookie": lambda t: ("", [("Cookie", f"other=1; session={t}")]),
    "query": lambda t: (f"?token={t}", []),
    "query, other name": lambda t: (f"?access_token={t}", []),
    "subprotocol k8s": lambda t: ("", [("Sec-WebSocket-Protocol", f"{tokens.k8s(t)}, chat.v1")]),
    "subprotocol phx": lambda t: ("", [("Sec-WebSocket-Protocol", f"chat.v1, {tokens.phx(t)}")]),
    "subprotocol own": lambda t: ("", [("Sec-WebSocket-Protocol", f"{tokens.own(t)}, chat.v1")]),
    "subprotocol openai": lambda t: ("", [("Sec-WebSocket-Protocol", f"realtime, {tokens.openai(t)}")]),
}
ORIGINS = {"absent": None, "good": GOOD_ORIGIN, "foreign": FOREIGN}


def expected(credential: str, carrier: str, origin: str, auth: bool) -> str | None:
    """The rules in their order, said again in four lines."""
    if origin == "foreign":
        return "origin_forbidden"
    if not auth:
        return None
    if carrier == "cookie" and origin == "absent" and credential != "none":
        return "origin_forbidden"
    return OUTCOME[credential]


def arrival(credential: str, carrier: str, origin: str) -> tuple[str, list]:
    token = CREDENTIALS[credential]()
    query, headers = CARRIERS[carrier](token) if token is not None else ("", [])
    if ORIGINS[origin]:
        headers = [("Origin", ORIGINS[origin]), *headers]
    return query, headers


def matrix_gate(gate, files, upstream, auth: bool, signal: str):
    config = configs.base(files, upstream, carriers=["header", "subprotocol", "cookie:session", "query"], origin=[GOOD_ORIGIN], signal=signal,
                          scopes=["chat"], top={"auth": {"required": auth}})
    return gate(config)


@pytest.mark.parametrize("auth", [True, False], ids=["auth on", "auth off"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_http_and_websocket_get_the_same_refusal(gate, files, fastapi, carrier, auth):
    door = matrix_gate(gate, files, fastapi.url, auth, "http")
    wrong = []
    for credential, origin in itertools.product(CREDENTIALS, ORIGINS):
        query, headers = arrival(credential, carrier, origin)
        http = ask(door.port, request(path=f"/headers/x{query}", headers=headers, host=door.authority))
        socket = ask(door.port, upgrade(f"/ws/echo{query}", headers=headers, host=door.authority))
        want = expected(credential, carrier, origin, auth)
        got = [None if answer.status == success else told(answer) for answer, success in ((http, 200), (socket, 101))]
        if got != [want, want]:
            wrong.append((credential, origin, {"want": want, "http": got[0], "websocket": got[1]}))
    assert wrong == []


def told(answer) -> str:
    """The refusal that a denial tells, after looking at all of it."""
    code = table.problem(answer)["code"]
    table.assert_denied(answer, code)
    return code


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_browser_hears_the_same_refusal_as_a_close_code(gate, files, fastapi, carrier):
    door = matrix_gate(gate, files, fastapi.url, True, "auto")
    wrong = []
    for credential in CREDENTIALS:
        query, headers = arrival(credential, carrier, "good")
        want = expected(credential, carrier, "good", True)
        with Raw(door.port) as raw:
            answer = raw.send(upgrade(f"/ws/echo{query}", headers=headers, host=door.authority)).response()
            assert answer.status == 101, (credential, answer.status)
            got = None
            if want is not None:
                end = raw.frame()
                assert end.opcode == CLOSE
                got = (end.code, end.reason)
                want = table.close_of(want)
        if got != want:
            wrong.append((credential, want, got))
    assert wrong == []


def test_a_foreign_origin_is_never_accepted_whatever_the_signal(gate, files, raw_upstream):
    upstream = raw_upstream()
    for signal in ("http", "close", "auto"):
        door = gate(configs.base(files, upstream.url, origin=[GOOD_ORIGIN], signal=signal))
        answer = ask(door.port, upgrade(headers=[("Origin", FOREIGN), ("Authorization", f"Bearer {tokens.ALICE}")], host=door.authority))
        table.assert_denied(answer, "origin_forbidden")
    assert upstream.untouched()


def test_a_foreign_host_is_refused_on_loopback_before_anything_else(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url))
    for data in (upgrade(host="rebound.example", headers=[("Origin", FOREIGN)]), request(host="rebound.example")):
        table.assert_denied(ask(door.port, data), "host_forbidden")
    assert upstream.untouched()


def test_nothing_reaches_the_upstream_for_a_refused_socket(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, signal="close"))
    with Raw(door.port) as raw:
        raw.open("/", host=door.authority)
        raw.send_frame(1, b"too late")
        assert (raw.frame().code, raw.ended()) == (1008, b"")
    assert upstream.untouched()


def test_a_refused_socket_that_never_answers_the_close_lives_for_a_second_at_most(gate, files, raw_upstream):
    door = gate(configs.base(files, raw_upstream().url, signal="close"))
    with Raw(door.port) as raw:
        raw.open("/", host=door.authority)
        assert raw.frame().code == 1008
        assert raw.ended(timeout=3) == b""


def test_the_log_tells_the_operator_what_the_client_was_not_told(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url))
    token = tokens.make(iss="https://other.example")
    answer = ask(door.port, upgrade("/ws/echo", [("Authorization", f"Bearer {token}")], host=door.authority))
    body = table.assert_denied(answer, "invalid_credential")
    assert "issuer" not in json.dumps(body)
    fields = door.wait_decision(message="refused", refusal="invalid_credential")
    assert (fields["route"], fields["protocol"], fields["carrier"]) == ("chat", "websocket", "header")
    assert "issuer" in fields["detail"]
    assert fields["peer"].startswith("127.0.0.1")


def test_one_line_a_decision_names_route_protocol_and_subject(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url))
    bearer = [("Authorization", f"Bearer {tokens.BOB}")]
    assert ask(door.port, request(path="/headers/x", headers=bearer, host=door.authority)).status == 200
    assert ask(door.port, upgrade("/ws/echo", bearer, host=door.authority)).status == 101
    for protocol in ("http", "websocket"):
        fields = door.wait_decision(message="admitted", protocol=protocol)
        assert (fields["route"], fields["subject"], fields["carrier"]) == ("chat", "bob", "header")
    assert len(door.decisions()) == 2


def test_a_path_without_a_route_is_an_unknown_resource(gate, files, fastapi):
    config = configs.base(files, fastapi.url)
    config["route"][0]["path"] = "/ws/*"
    door = gate(config)
    for data in (request(path="/elsewhere", host=door.authority), upgrade("/elsewhere", host=door.authority)):
        table.assert_denied(ask(door.port, data), "resource_unknown")


PRESETS = {
    # Close codes for (missing credential, expired, insufficient scope).
    "default": (1008, 4001, 4003),
    "codeframe-terminal": (4001, 4001, 4003),
    "codeframe-chat": (1008, 1008, 1008),
    "graphql-ws": (4401, 4401, 4403),
    "iana": (3000, 3000, 3003),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_remap_the_close_codes(gate, files, fastapi, preset):
    door = gate(configs.base(files, fastapi.url, preset=preset, signal="close", scopes=["chat"]))
    got = []
    for code in ("missing_credential", "expired", "insufficient_scope"):
        with Raw(door.port) as raw:
            raw.open("/ws/echo", list(headers_for(code).items()), host=door.authority)
            end = raw.frame()
            assert (end.opcode, end.reason) == (CLOSE, code)
            got.append(end.code)
    assert tuple(got) == PRESETS[preset]


def test_single_codes_can_be_overridden(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url, signal="close", codes={"expired": 4999}))
    with Raw(door.port) as raw:
        raw.open("/ws/echo", list(headers_for("expired").items()), host=door.authority)
        end = raw.frame()
        assert (end.code, end.reason) == (4999, "expired")
