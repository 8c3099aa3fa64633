"""The gate in front of the real `codex app-server`, and the real client in front of the gate.

The tables below are what clients of that server match on. Each is run against the gate and, as a check of the table itself,
against the real server. Where the gate differs on purpose, the row says so.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

import pytest
from websockets.sync.client import connect

from support import appserver, tokens
from support.gate import run
from support.process import eventually
from support.raw import KEY, Raw, ask, request, upgrade
from support.upstreams import free_port

TOKEN = "tok-" + tokens.MARK
PLAIN = "text/plain; charset=utf-8"
MISSING = "missing websocket bearer token"
INVALID = "invalid websocket bearer token"
MALFORMED = "invalid authorization header"
BAD_JWT = "invalid websocket jwt"
ISSUER, AUDIENCE = "https://issuer.example", "gate"


def bearer(value: str | bytes):
    return [("Authorization", value)]


@dataclass
class Row:
    name: str
    request: bytes
    status: int
    body: str | None = None
    gate: tuple[int, str | None] | None = None  # where the gate differs on purpose

    def expected(self, who: str) -> tuple[int, str | None]:
        return self.gate if who == "gate" and self.gate else (self.status, self.body)


def row(name, data, status, body=None, gate=None):
    return pytest.param(Row(name, data, status, body, gate), id=name)


CAPABILITY = [
    row("no authorization", upgrade(), 401, MISSING),
    row("wrong token", upgrade(headers=bearer(f"Bearer {tokens.WRONG}")), 401, INVALID),
    row("extra word", upgrade(headers=bearer(f"Bearer {TOKEN} more")), 401, INVALID),
    row("quoted token", upgrade(headers=bearer(f'Bearer "{TOKEN}"')), 401, INVALID),
    row("Basic", upgrade(headers=bearer("Basic dXNlcjpwdw==")), 401, MALFORMED),
    row("bare token", upgrade(headers=bearer(TOKEN)), 401, MALFORMED),
    row("Bearer alone", upgrade(headers=bearer("Bearer")), 401, MALFORMED),
    row("Bearer and a space", upgrade(headers=bearer("Bearer ")), 401, MALFORMED),
    row("Bearer and a tab", upgrade(headers=bearer(f"Bearer\t{TOKEN}")), 401, MALFORMED),
    row("empty header", upgrade(headers=bearer("")), 401, MALFORMED),
    row("non-ASCII value", upgrade(headers=bearer(f"Bearer {TOKEN}\u00e9".encode())), 401, MALFORMED),
    row("good", upgrade(headers=bearer(f"Bearer {TOKEN}")), 101),
    row("lower-case scheme", upgrade(headers=bearer(f"bearer {TOKEN}")), 101),
    row("upper-case scheme", upgrade(headers=bearer(f"BEARER {TOKEN}")), 101),
    row("two spaces", upgrade(headers=bearer(f"Bearer  {TOKEN}")), 101),
    row("trailing spaces", upgrade(headers=bearer(f"Bearer {TOKEN}   ")), 101),
    row("header name in other case", upgrade(headers=[("aUTHORIZATION", f"Bearer {TOKEN}")]), 101),
    row("two headers, good first", upgrade(headers=bearer(f"Bearer {TOKEN}") + bearer(f"Bearer {tokens.WRONG}")), 101, gate=(401, MALFORMED)),
    row("two headers, bad first", upgrade(headers=bearer(f"Bearer {tokens.WRONG}") + bearer(f"Bearer {TOKEN}")), 401, INVALID, gate=(401, MALFORMED)),
    row("proxy-authorization", upgrade(headers=[("Proxy-Authorization", f"Bearer {TOKEN}")]), 401, MISSING),
    row("query", upgrade(f"/?token={TOKEN}"), 401, MISSING),
    row("subprotocol", upgrade(headers=[("Sec-WebSocket-Protocol", f"bearer, {TOKEN}")]), 401, MISSING),
    row("cookie", upgrade(headers=[("Cookie", f"token={TOKEN}")]), 401, MISSING),
    # The order: Origin, shape, credential.
    row("foreign origin", upgrade(headers=[("Origin", "https://evil.example"), *bearer(f"Bearer {TOKEN}")]), 403, ""),
    row("origin before credential", upgrade(headers=[("Origin", "https://evil.example"), *bearer(f"Bearer {tokens.WRONG}")]), 403, ""),
    row("null origin", upgrade(headers=[("Origin", "null"), *bearer(f"Bearer {TOKEN}")]), 403, ""),
    row("empty origin", upgrade(headers=[("Origin", ""), *bearer(f"Bearer {TOKEN}")]), 403, ""),
    row("origin on health", request(path="/healthz", headers=[("Origin", "https://evil.example")]), 403, ""),
    row("shape before credential", upgrade(ws_version="8"), 400, "`Sec-WebSocket-Version` header did not include '13'"),
]

GOOD = bearer(f"Bearer {TOKEN}")
SHAPE = [
    row("GET without connection upgrade", request(headers=GOOD), 400, "Connection header did not include 'upgrade'"),
    row("same without credential", request(), 400, "Connection header did not include 'upgrade'"),
    row("no upgrade header", upgrade(headers=GOOD, upgrade=None), 400, "`Upgrade` header did not include 'websocket'"),
    row("other upgrade", upgrade(headers=GOOD, upgrade="h2c"), 400, "`Upgrade` header did not include 'websocket'"),
    row("version missing", upgrade(headers=GOOD, ws_version=None), 400, "`Sec-WebSocket-Version` header did not include '13'"),
    row("version 12", upgrade(headers=GOOD, ws_version="12"), 400, "`Sec-WebSocket-Version` header did not include '13'"),
    row("key missing", upgrade(headers=GOOD, key=None), 400, "`Sec-WebSocket-Key` header missing"),
    row("POST", upgrade(headers=[*GOOD, ("Content-Length", "0")], method="POST"), 405, "Request method must be `GET`"),
    row("HTTP/1.0", upgrade(headers=GOOD, version="1.0"), 426, "WebSocket request couldn't be upgraded since no upgrade state was present"),
    row("keep-alive and Upgrade", upgrade(headers=GOOD, connection="keep-alive, Upgrade"), 101),
    row("Upgrade: WebSocket", upgrade(headers=GOOD, upgrade="WebSocket"), 101),
    row("any path", upgrade("/any/path?x=1", headers=GOOD), 101),
    row("near the health path", upgrade("/readyz/", headers=GOOD), 101),
]

HEALTH = [
    row("GET readyz", request(path="/readyz"), 200, ""),
    row("GET healthz", request(path="/healthz"), 200, ""),
    row("HEAD readyz", request("HEAD", "/readyz"), 200, ""),
    row("query", request(path="/healthz?probe=1"), 200, ""),
    row("upgrade asked", upgrade("/readyz", headers=GOOD), 200, ""),
    row("POST", request("POST", "/readyz", headers=[("Content-Length", "0")]), 405, ""),
]


def jwt_rows():
    """The rows of the signed mode; made when asked, for they hold the time."""
    make, hand = tokens.make, tokens.by_hand
    far = int(time.time()) + 600
    good = {"sub": "a", "iss": ISSUER, "aud": AUDIENCE, "exp": far}
    first, second, third = make().split(".")
    return {
        "good": (make(), 101, None),
        "bad signature": (f"{first}.{second}.{tokens.b64(b'x' * 32)}", 401, BAD_JWT),
        "wrong secret": (make(secret=tokens.OTHER_SECRET), 401, BAD_JWT),
        "not a jwt": ("no-jwt-at-all", 401, BAD_JWT),
        "two segments": (f"{first}.{second}", 401, BAD_JWT),
        "four segments": (f"{first}.{second}.{third}.x", 401, BAD_JWT),
        "padded base64": (f"{first}.{second}.{third}=", 401, BAD_JWT),
        "alg none": (hand(good, {"alg": "none"}), 401, BAD_JWT),
        "alg HS384": (make(algorithm="HS384"), 401, BAD_JWT),
        "alg HS512": (make(algorithm="HS512"), 401, BAD_JWT),
        "alg lower case": (hand(good, {"alg": "hs256"}), 401, BAD_JWT),
        "alg RS256": (hand(good, {"alg": "RS256"}), 401, BAD_JWT),
        "alg missing": (hand(good, {"typ": "JWT"}), 401, BAD_JWT),
        "alg twice": (hand(good, b'{"alg":"HS256","alg":"HS256"}'), 401, BAD_JWT),
        "exp missing": (make(exp=None), 401, BAD_JWT),
        "exp null": (hand({**good, "exp": None}), 401, BAD_JWT),
        "exp string": (hand({**good, "exp": str(far)}), 401, BAD_JWT),
        "exp float": (hand({**good, "exp": far + 0.5}), 401, BAD_JWT),
        "exp whole float": (hand(json.dumps({**good, "exp": 0}).replace('"exp": 0', f'"exp": {far}.0').encode()), 401, BAD_JWT),
        "exp scientific": (hand(json.dumps({**good, "exp": 0}).replace('"exp": 0', '"exp": 1e10').encode()), 401, BAD_JWT),
        "exp above i64": (hand({**good, "exp": 2**63}), 401, BAD_JWT),
        "exp past": (make(exp=-100), 401, "expired websocket jwt"),
        "exp zero": (hand({**good, "exp": 0}), 401, "expired websocket jwt"),
        "exp negative": (hand({**good, "exp": -5}), 401, "expired websocket jwt"),
        "exp past within skew": (make(exp=-20), 101, None),
        "nbf future": (make(nbf=100), 401, "websocket jwt is not valid yet"),
        "nbf future within skew": (make(nbf=20), 101, None),
        "nbf null": (hand({**good, "nbf": None}), 101, None),
        "nbf string": (hand({**good, "nbf": "1"}), 401, BAD_JWT),
        "iss wrong": (make(iss="https://other.example"), 401, "websocket jwt issuer mismatch"),
        "iss missing": (make(iss=None), 401, "websocket jwt issuer mismatch"),
        "iss null": (hand({**good, "iss": None}), 401, "websocket jwt issuer mismatch"),
        "iss other case": (make(iss=ISSUER.upper()), 401, "websocket jwt issuer mismatch"),
        "iss trailing space": (make(iss=ISSUER + " "), 401, "websocket jwt issuer mismatch"),
        "iss number": (hand({**good, "iss": 5}), 401, BAD_JWT),
        "iss array": (hand({**good, "iss": [ISSUER]}), 401, BAD_JWT),
        "aud wrong": (make(aud="other"), 401, "websocket jwt audience mismatch"),
        "aud missing": (make(aud=None), 401, "websocket jwt audience mismatch"),
        "aud null": (hand({**good, "aud": None}), 401, "websocket jwt audience mismatch"),
        "aud array without it": (make(aud=["a", "b"]), 401, "websocket jwt audience mismatch"),
        "aud empty array": (make(aud=[]), 401, "websocket jwt audience mismatch"),
        "aud array with it": (make(aud=["a", AUDIENCE]), 101, None),
        "aud number": (hand({**good, "aud": 5}), 401, BAD_JWT),
        "aud mixed array": (hand({**good, "aud": [AUDIENCE, 5]}), 401, BAD_JWT),
        "claim twice": (hand(json.dumps(good)[:-1].encode() + b', "iss": "https://issuer.example"}'), 401, BAD_JWT),
        "payload array": (hand(b"[]"), 401, BAD_JWT),
        "payload no json": (hand(b"{"), 401, BAD_JWT),
        "payload with BOM": (hand(b"\xef\xbb\xbf" + json.dumps(good).encode()), 401, BAD_JWT),
        "extra claims, future iat": (make(iat=far + 1000, more={"deep": [1]}), 101, None),
        "no typ": (hand(good, {"alg": "HS256"}), 101, None),
        "other typ": (hand(good, {"alg": "HS256", "typ": "at+jwt"}), 101, None),
        "kid string": (make(headers={"kid": "one"}), 101, None),
        "kid number": (hand(good, {"alg": "HS256", "kid": 7}), 401, BAD_JWT),
        "jku": (hand(good, {"alg": "HS256", "jku": "https://evil.example/keys"}), 101, None),
        "50 kB token": (make(pad="p" * 37_000), 101, None),
        # On purpose: RFC 7515 says that what is critical and unknown must be refused.
        "crit unknown": (hand(good, {"alg": "HS256", "crit": ["x"], "x": 1}), 101, None, (401, BAD_JWT)),
        # The order of the claims: signature, exp, nbf, iss, aud.
        "expired and wrong iss": (make(exp=-100, iss="other"), 401, "expired websocket jwt"),
        "expired and bad signature": (make(exp=-100, secret=tokens.OTHER_SECRET), 401, BAD_JWT),
        "not yet and wrong aud": (make(nbf=100, aud="other"), 401, "websocket jwt is not valid yet"),
        "iss before aud": (make(iss="other", aud="other"), 401, "websocket jwt issuer mismatch"),
    }


CAPABILITY_FLAGS = ("--ws-auth", "capability-token", "--ws-token-file")
JWT_NAMES = list(jwt_rows())


@pytest.fixture(scope="module")
def auth_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auth")
    (folder / "token").write_text(f"  {TOKEN}\n")
    (folder / "secret").write_text(tokens.SECRET + "\n")
    for path in folder.iterdir():
        path.chmod(0o600)
    return folder


def signed_flags(folder, *more):
    return ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", folder / "secret", *more]


class Target:
    def __init__(self, who, port):
        self.who, self.port = who, port

    def ask(self, data: bytes):
        return ask(self.port, data)

    def answers(self, row: Row) -> None:
        answer = self.ask(row.request)
        status, body = row.expected(self.who)
        got = (answer.status, None if body is None else answer.text)
        assert got == (status, body)
        if status == 401:
            assert answer.header("content-type") == PLAIN
            assert answer.header("www-authenticate") is None
        if status == 405 and b"readyz" in row.request:
            assert answer.header("allow").replace(" ", "") == "GET,HEAD"


def serve(flags, upstream):
    from support.gate import Gate

    return Gate(["serve", "--listen", "ws://127.0.0.1:0", "--upstream", upstream, *map(str, flags)])


@pytest.fixture(scope="module", params=["gate", "app-server"])
def capability(request, auth_files, app_server, tmp_path_factory):
    """Both, with one capability token."""
    flags = [*CAPABILITY_FLAGS, auth_files / "token"]
    yield from target(request.param, flags, app_server, tmp_path_factory)


@pytest.fixture(scope="module", params=["gate", "app-server"])
def signed(request, auth_files, app_server, tmp_path_factory):
    """Both, with a secret, an issuer, an audience and the default skew of 30 seconds."""
    flags = signed_flags(auth_files, "--ws-issuer", ISSUER, "--ws-audience", AUDIENCE)
    yield from target(request.param, flags, app_server, tmp_path_factory)


@pytest.fixture(scope="module", params=["gate", "app-server"])
def strict(request, auth_files, app_server, tmp_path_factory):
    """Both, with skew 0 and neither issuer nor audience."""
    flags = signed_flags(auth_files, "--ws-max-clock-skew-seconds", "0", "--ws-issuer", "  ")
    yield from target(request.param, flags, app_server, tmp_path_factory)


def target(who, flags, app_server, tmp_path_factory):
    if who == "gate":
        gate = serve(flags, app_server.url)
        yield Target(who, gate.port)
        gate.stop()
    else:
        home = appserver.write_home(tmp_path_factory.mktemp("home"), None)
        server = appserver.AppServer(home, *map(str, flags))
        yield Target(who, server.port)
        server.stop()


@pytest.mark.parametrize("row", CAPABILITY)
def test_capability_mode_answers_as_the_table_says(capability, row):
    capability.answers(row)


@pytest.mark.parametrize("row", SHAPE)
def test_malformed_upgrades_are_answered_as_the_table_says(capability, row):
    capability.answers(row)


@pytest.mark.parametrize("row", HEALTH)
def test_health_routes_answer_without_auth(capability, row):
    capability.answers(row)


def test_a_refused_connection_is_kept_alive_for_another_try(capability):
    with Raw(capability.port) as raw:
        assert raw.send(upgrade()).response().text == MISSING
        assert raw.send(upgrade(headers=bearer(f"Bearer {tokens.WRONG}"))).response().text == INVALID
        assert raw.send(upgrade(headers=GOOD)).response().status == 101


@pytest.mark.parametrize("name", JWT_NAMES)
def test_signed_mode_answers_as_the_table_says(signed, name):
    token, status, body, *gate = jwt_rows()[name]
    signed.answers(Row(name, upgrade(headers=bearer(f"Bearer {token}")), status, body, gate[0] if gate else None))


@pytest.mark.parametrize(
    "value, body",
    [(None, MISSING), ("Basic x", MALFORMED), ("Bearer", MALFORMED), ("Bearer ", MALFORMED), (TOKEN, MALFORMED)],
)
def test_signed_mode_answers_header_faults_as_capability_mode(signed, value, body):
    signed.answers(Row("header", upgrade(headers=bearer(value) if value is not None else []), 401, body))


@pytest.mark.parametrize(
    "claims, status, body",
    [
        # A whole second may pass between making and judging; the rows stand off the edge by more than that.
        ({"exp": 5, "iss": None, "aud": None}, 101, None),
        ({"exp": -1}, 401, "expired websocket jwt"),
        ({"nbf": 0}, 101, None),
        ({"nbf": 5}, 401, "websocket jwt is not valid yet"),
        ({"iss": "https://anyone.example", "aud": "anything"}, 101, None),
        ({"aud": 5}, 401, BAD_JWT),
    ],
)
def test_without_skew_and_expectations_the_edges_are_exact(strict, claims, status, body):
    token = tokens.by_hand(tokens.claims(**claims))
    strict.answers(Row("edge", upgrade(headers=bearer(f"Bearer {token}")), status, body))


# Refused starts (1.3) ---------------------------------------------------------------------------------------------------

NEEDS_AUTH = "websocket auth flags require `--ws-auth capability-token` or `--ws-auth signed-bearer-token`"
NEEDS_SIGNED = (
    "`--ws-shared-secret-file`, `--ws-issuer`, `--ws-audience`, and `--ws-max-clock-skew-seconds` require `--ws-auth signed-bearer-token`"
)
SHA = "0" * 64
STARTS = {
    "token file without auth": (["--ws-token-file", "{token}"], NEEDS_AUTH),
    "sha without auth": (["--ws-token-sha256", SHA], NEEDS_AUTH),
    "secret without auth": (["--ws-shared-secret-file", "{secret}"], NEEDS_AUTH),
    "issuer without auth": (["--ws-issuer", "x"], NEEDS_AUTH),
    "skew without auth": (["--ws-max-clock-skew-seconds", "5"], NEEDS_AUTH),
    "capability with secret": (["--ws-auth", "capability-token", "--ws-token-file", "{token}", "--ws-shared-secret-file", "{secret}"], NEEDS_SIGNED),
    "capability with issuer": (["--ws-auth", "capability-token", "--ws-token-file", "{token}", "--ws-issuer", "x"], NEEDS_SIGNED),
    "capability with audience": (["--ws-auth", "capability-token", "--ws-token-file", "{token}", "--ws-audience", "x"], NEEDS_SIGNED),
    "capability with skew": (["--ws-auth", "capability-token", "--ws-token-file", "{token}", "--ws-max-clock-skew-seconds", "1"], NEEDS_SIGNED),
    "both token sources": (
        ["--ws-auth", "capability-token", "--ws-token-file", "{token}", "--ws-token-sha256", SHA],
        "`--ws-token-file` and `--ws-token-sha256` are mutually exclusive",
    ),
    "no token source": (
        ["--ws-auth", "capability-token"],
        "`--ws-token-file` or `--ws-token-sha256` is required when `--ws-auth capability-token` is set",
    ),
    "short sha": (["--ws-auth", "capability-token", "--ws-token-sha256", "12"], "--ws-token-sha256 must be a 64-character hex SHA-256 digest"),
    "sha not hex": (["--ws-auth", "capability-token", "--ws-token-sha256", "g" * 64], "--ws-token-sha256 must be a 64-character hex SHA-256 digest"),
    "signed with token file": (
        ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", "{secret}", "--ws-token-file", "{token}"],
        "`--ws-token-file` and `--ws-token-sha256` require `--ws-auth capability-token`, not `signed-bearer-token`",
    ),
    "signed without secret": (
        ["--ws-auth", "signed-bearer-token"],
        "`--ws-shared-secret-file` is required when `--ws-auth signed-bearer-token` is set",
    ),
    "unreadable file": (
        ["--ws-auth", "capability-token", "--ws-token-file", "{nosuch}"],
        "failed to read websocket auth secret {nosuch}: No such file or directory (os error 2)",
    ),
    "blank file": (["--ws-auth", "capability-token", "--ws-token-file", "{blank}"], "websocket auth secret {blank} must not be empty"),
    "short secret": (
        ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", "{short}"],
        "signed websocket bearer secret {short} must be at least 32 bytes",
    ),
    "skew above i64": (
        ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", "{secret}", "--ws-max-clock-skew-seconds", str(2**63)],
        "websocket auth clock skew must fit in a signed 64-bit integer",
    ),
}


@pytest.fixture(scope="module")
def start_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starts")
    contents = {"token": TOKEN, "secret": tokens.SECRET, "blank": " \n", "short": "x" * 31}
    for name, content in contents.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    return {name: str(folder / name) for name in [*contents, "nosuch"]}


def start_refused(who, args, home):
    if who == "gate":
        return run("serve", "--listen", "ws://127.0.0.1:0", "--upstream", "ws://127.0.0.1:9", *args)
    return appserver.refused_start(home, "--listen", "ws://127.0.0.1:0", *args)


@pytest.mark.parametrize("who", ["gate", "app-server"])
@pytest.mark.parametrize("name", STARTS)
def test_refused_combinations_say_the_exact_text(who, name, start_files, client_home):
    args, text = STARTS[name]
    result = start_refused(who, [arg.format(**start_files) for arg in args], client_home)
    assert result.returncode == 1, result.stderr
    assert f"Error: {text.format(**start_files)}" in result.stderr.splitlines()
    assert result.stdout == ""


@pytest.mark.parametrize("who", ["gate", "app-server"])
@pytest.mark.parametrize(
    "args, word",
    [
        (["--ws-auth", "nosuch"], "[possible values: capability-token, signed-bearer-token]"),
        (["--ws-auth", "signed-bearer-token", "--ws-max-clock-skew-seconds=-1"], "invalid value '-1' for '--ws-max-clock-skew-seconds"),
        (["--ws-auth", "signed-bearer-token", "--ws-max-clock-skew-seconds", "many"], "invalid value 'many' for '--ws-max-clock-skew-seconds"),
    ],
)
def test_values_that_no_flag_takes_are_usage_errors(who, args, word, client_home):
    result = start_refused(who, args, client_home)
    assert result.returncode == 2, result.stderr
    assert word in result.stderr


def test_a_token_given_as_a_digest_is_accepted_in_either_case(gate, app_server):
    for digest in (tokens.sha256_hex(TOKEN), tokens.sha256_hex(TOKEN).upper()):
        door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, "--ws-auth", "capability-token", "--ws-token-sha256", digest])
        assert ask(door.port, upgrade(headers=GOOD)).status == 101
        assert ask(door.port, upgrade(headers=bearer(f"Bearer {tokens.WRONG}"))).text == INVALID


def test_the_banner_has_the_shape_of_the_app_servers(gate, app_server, auth_files):
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *CAPABILITY_FLAGS, auth_files / "token"])
    lines = door.process.err.snapshot()
    at = lines.index("portcullis (WebSockets)")
    assert lines[at + 1 : at + 4] == [
        f"  listening on: ws://127.0.0.1:{door.port}",
        f"  readyz: http://127.0.0.1:{door.port}/readyz",
        f"  healthz: http://127.0.0.1:{door.port}/healthz",
    ]
    assert door.process.out.text() == ""


# The real client -------------------------------------------------------------------------------------------------------

INITIALIZE = {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "portcullis-test", "version": "1"}}}


def initialize(url: str, token: str | None) -> dict:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with connect(url, additional_headers=headers, compression=None, proxy=None) as socket:
        socket.send(json.dumps(INITIALIZE))
        while True:
            message = json.loads(socket.recv(timeout=10))
            if message.get("id") == 1:
                return message


def test_the_client_speaks_with_the_server_itself_as_the_oracle_says(app_server, client_home):
    result = appserver.unarchive(client_home, f"ws://127.0.0.1:{app_server.port}", None)
    assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)


@pytest.fixture(params=["capability", "signed"])
def mode(request, auth_files):
    """Flags, a credential that opens, and credentials that do not."""
    if request.param == "capability":
        return [*CAPABILITY_FLAGS, auth_files / "token"], TOKEN, [tokens.WRONG]
    return signed_flags(auth_files), tokens.make(), [tokens.make(exp=-100), tokens.make(secret=tokens.OTHER_SECRET), TOKEN]


def test_the_real_client_gets_through_with_the_right_credential_only(gate, app_server, client_home, mode):
    flags, good, bad = mode
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *flags])
    result = appserver.unarchive(client_home, f"ws://{door.authority}", good)
    assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)
    for token in bad:
        result = appserver.unarchive(client_home, f"ws://{door.authority}", token)
        assert (result.returncode, appserver.said(result)) == (1, appserver.REFUSED)
    result = appserver.unarchive(client_home, f"ws://{door.authority}", None)
    assert (result.returncode, appserver.said(result)) == (1, appserver.REFUSED)
    assert len(door.decisions("admitted")) == 1
    assert len(door.decisions("refused")) == len(bad) + 1


def test_an_expired_jwt_is_refused_as_expired_and_logged_so(gate, app_server, client_home, auth_files):
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *signed_flags(auth_files)])
    result = appserver.unarchive(client_home, f"ws://{door.authority}", tokens.make(exp=-100))
    assert (result.returncode, appserver.said(result)) == (1, appserver.REFUSED)
    assert door.wait_decision(message="refused")["refusal"] == "expired"


def test_the_gate_injects_the_upstreams_own_bearer(gate, tmp_path_factory, client_home, auth_files, mock_model):
    folder = tmp_path_factory.mktemp("inner")
    (folder / "inner").write_text(f"inner-{tokens.MARK}\n")
    (folder / "inner").chmod(0o600)
    home = appserver.write_home(folder / "home", mock_model.url)
    server = appserver.AppServer(home, "--ws-auth", "capability-token", "--ws-token-file", str(folder / "inner"))
    try:
        flags = [*CAPABILITY_FLAGS, auth_files / "token", "--upstream-token-file", folder / "inner"]
        door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", server.url, *flags])
        result = appserver.unarchive(client_home, f"ws://{door.authority}", TOKEN)
        assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)
        # The inner token opens the inner door only, and the outer one the outer only.
        assert ask(door.port, upgrade(headers=bearer(f"Bearer inner-{tokens.MARK}"))).text == INVALID
        assert ask(server.port, upgrade(headers=GOOD)).text == INVALID
    finally:
        server.stop()


def test_the_app_servers_unix_socket_serves_as_upstream(gate, tmp_path_factory, client_home, auth_files):
    folder = tmp_path_factory.mktemp("unix")
    server = appserver.AppServer(appserver.write_home(folder / "home", None), unix=folder / "s")
    try:
        door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", server.url, *CAPABILITY_FLAGS, auth_files / "token"])
        result = appserver.unarchive(client_home, f"ws://{door.authority}", TOKEN)
        assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)
        answer = initialize(door.ws(), TOKEN)
        assert answer["result"]["platformFamily"] == "unix"
    finally:
        server.stop()


def test_a_compressing_app_server_does_not_confuse_the_stock_client(gate, tmp_path_factory, client_home, auth_files):
    home = appserver.write_home(tmp_path_factory.mktemp("zstd"), None)
    server = appserver.AppServer(home, extra=("--enable", "app_server_websocket_compression"))
    try:
        name = "x-codex-app-server-compression"
        direct = ask(server.port, upgrade(headers=[(name, "zstd-stream-v1")]))
        assert (direct.status, direct.header(name)) == (101, "zstd-stream-v1")
        door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", server.url, *CAPABILITY_FLAGS, auth_files / "token"])
        result = appserver.unarchive(client_home, f"ws://{door.authority}", TOKEN)
        assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)
    finally:
        server.stop()


def test_the_compression_header_goes_both_ways_or_neither(gate, raw_upstream, auth_files):
    name = "x-codex-app-server-compression"
    upstream = raw_upstream()
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", upstream.url, *CAPABILITY_FLAGS, auth_files / "token"])
    with Raw(door.port) as raw:
        raw.send(upgrade(headers=[*GOOD, (name, "zstd-stream-v1")]))
        inner = upstream.take()
        inner.accept()
        passed_up = inner.header(name)
        inner_answer = raw.response()
        assert inner_answer.status == 101
        # This upstream did not take the offer, so nobody may say that it did.
        assert inner_answer.header(name) is None
        assert passed_up in ([], ["zstd-stream-v1"])


def test_initialize_round_trips_through_the_gate(gate, app_server, auth_files):
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *CAPABILITY_FLAGS, auth_files / "token"])
    through = initialize(door.ws(), TOKEN)
    direct = initialize(f"ws://127.0.0.1:{app_server.port}", None)
    assert through == direct
    assert through["result"]["platformOs"] == "linux"
    end = door.wait_session_end()
    assert end["messages_up"] == 1


def test_the_gate_adds_nothing_to_the_101_that_the_stock_client_would_refuse(gate, app_server, auth_files):
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *CAPABILITY_FLAGS, auth_files / "token"])
    answer = ask(door.port, upgrade(headers=GOOD))
    assert answer.status == 101
    assert answer.header("sec-websocket-protocol") is None
    assert answer.header("sec-websocket-extensions") is None


def test_an_allowed_origin_opens_the_door_to_a_browser_and_stays_outside(gate, app_server, auth_files):
    """The server refuses every Origin, so the gate must take it off."""
    flags = [*CAPABILITY_FLAGS, auth_files / "token", "--allow-origin", "https://app.example"]
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", app_server.url, *flags])
    assert ask(door.port, upgrade(headers=[*GOOD, ("Origin", "https://app.example")])).status == 101
    assert ask(door.port, upgrade(headers=[*GOOD, ("Origin", "https://evil.example")])).status == 403


def test_wss_with_a_private_authority_serves_the_real_client(gate, app_server, client_home, auth_files, certs):
    flags = ["--tls-cert", certs.cert, "--tls-key", certs.key, *CAPABILITY_FLAGS, auth_files / "token"]
    door = gate(argv=["serve", "--listen", "wss://127.0.0.1:0", "--upstream", app_server.url, *flags])
    trusted = {"SSL_CERT_FILE": str(certs.ca)}
    result = appserver.unarchive(client_home, f"wss://localhost:{door.port}", TOKEN, env=trusted)
    assert (result.returncode, appserver.said(result)) == (1, appserver.THROUGH)
    result = appserver.unarchive(client_home, f"wss://localhost:{door.port}", tokens.WRONG, env=trusted)
    assert (result.returncode, appserver.said(result)) == (1, appserver.REFUSED)
    untrusting = appserver.unarchive(client_home, f"wss://localhost:{door.port}", TOKEN)
    assert (untrusting.returncode, appserver.said(untrusting)) == (1, appserver.REFUSED)


def tui(name, home, remote, prompt, env=None):
    argv = f"{appserver.CODEX} --remote {remote} --remote-auth-token-env GATE_TOKEN '{prompt}'; echo EXIT=$?; exec cat"
    return appserver.Tmux(name, argv, {"CODEX_HOME": str(home), "GATE_TOKEN": TOKEN, **(env or {})}, home)


def shows(terminal, text, timeout=30):
    try:
        eventually(lambda: text in terminal.screen(), timeout, every=0.1, what=f"{text!r} on the screen")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{terminal.screen()}") from None


def types(terminal, text):
    """Typed text, seen on the screen once more than before, and then Enter: the TUI takes a burst of keys for a paste."""
    before = terminal.screen().count(f"› {text}")
    terminal.keys("-l", text)
    eventually(lambda: terminal.screen().count(f"› {text}") > before, 30, every=0.1, what=f"{text!r} once more on the screen")
    terminal.keys("Enter")


def answers(terminal, count, prompt, timeout=60):
    """Waits for so many answers. The app-server loses a turn of its own now and then, on a busy machine; then it is asked again."""
    lost = 0

    def seen() -> bool:
        nonlocal lost
        screen = terminal.screen()
        if screen.count("stream disconnected before completion") > lost:
            lost += 1
            types(terminal, prompt)
        return screen.count(appserver.REPLY) >= count

    try:
        eventually(seen, timeout, every=0.1, what=f"answer {count}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{terminal.screen()}") from None


@pytest.mark.timeout(180)
def test_the_tui_reconnects_over_a_restart_of_the_gate(gate, app_server, tmp_path, auth_files):
    port = free_port()
    argv = ["serve", "--listen", f"ws://127.0.0.1:{port}", "--upstream", app_server.url, *CAPABILITY_FLAGS, auth_files / "token"]
    home = appserver.write_home(tmp_path / "tui-home", None)
    first = gate(argv=argv)
    terminal = tui(f"portcullis-{os.getpid()}-{port}", home, f"ws://127.0.0.1:{port}", "hello there")
    try:
        answers(terminal, 1, "hello there")
        first.drain()
        assert first.process.wait(15) == 0
        shows(terminal, "Reconnecting")
        second = gate(argv=argv)
        second.wait_decision(message="admitted", timeout=30)
        eventually(lambda: "Reconnecting" not in terminal.screen(), 30, every=0.1, what="a connected TUI")
        types(terminal, "and again")
        answers(terminal, 2, "and again")
        types(terminal, "/quit")
        shows(terminal, "EXIT=0")
    finally:
        terminal.close()
