"""JWTs of public keys: what script hears of each refusal, and what a gate makes of an issuer that rotates, fails and lies."""

from __future__ import annotations

import json
import threading

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support import configs, table, tokens
from support.gate import run, toml
from support.process import eventually
from support.raw import CLOSE, TEXT, Raw, ask, request, upgrade
from support.service import Issuer
from support.upstreams import echo_frames

APP = "https://app.example"
QUICK = {"min_age": "100ms", "max_age": "100ms", "unknown_kid_interval": "100ms", "max_backoff": "100ms", "fetch_timeout": "1s"}


@pytest.fixture
def issuer(service):
    """An issuer with the key `k1`, which is published."""
    made = Issuer(service())
    made.add("k1")
    made.publish("k1")
    return made


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


def config(files, upstream, issuer, *, verifier: dict | None = None, keys: dict | None = None, **route) -> dict:
    made = configs.base(files, upstream.url, **{"verifiers": ["id"], "origin": [APP], **route})
    made["verifier"] = {"id": {
        "kind": "jwks", "issuer": issuer.name, "audience": tokens.AUDIENCE, "max_clock_skew": "0s",
        "jwks_url": issuer.service.url + issuer.path, **(verifier or {}), **({"keys": keys} if keys else {}),
    }}
    return made


def bearer(token: str) -> list:
    return [("Authorization", f"Bearer {token}")]


def told(door, token: str) -> tuple[int, str] | str:
    """What script on a page of the application hears: an echo, or a close code and its reason."""
    with connect(door.ws("/x"), additional_headers=bearer(token), origin=APP, proxy=None) as socket:
        try:
            socket.send("hello")
            return socket.recv(timeout=10)
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason


def denied(door, token: str):
    """What a native client gets."""
    return ask(door.port, upgrade(headers=bearer(token), host=door.authority))


def enters(door, token: str) -> bool:
    return denied(door, token).status == 101


# Each refusal, by its close code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset, unavailable", [("default", 1013), ("omi", 4001)])
def test_a_page_hears_the_close_code_of_each_refusal(gate, files, echo, issuer, preset, unavailable):
    issuer.add("k2")
    door = gate(config(files, echo, issuer, preset=preset))
    assert told(door, issuer.token("k1")) == "hello"
    assert told(door, issuer.token("k1", exp=-60)) == (4001, "expired")
    assert told(door, issuer.token("k2")) == (4001, "key_unknown")
    assert told(door, issuer.token("k1", sign_with="k2")) == (1008, "invalid_credential")
    assert told(door, issuer.token("k1", aud="somewhere else")) == (1008, "invalid_credential")
    issuer.service.stop()
    away = gate(config(files, echo, issuer, preset=preset))
    assert told(away, issuer.token("k1")) == (unavailable, "keys_unavailable")


@pytest.mark.parametrize("preset", ["default", "omi"])
def test_the_codes_are_those_that_the_program_prints(preset):
    rows = json.loads(run("codes", "--preset", preset, "--format", "json").stdout)
    close = {row["refusal"]: row["close"] for row in rows}
    assert (close["expired"], close["key_unknown"], close["invalid_credential"]) == (4001, 4001, 1008)
    assert close["keys_unavailable"] == (4001 if preset == "omi" else 1013)


def test_a_native_client_gets_the_status_of_each_refusal(gate, files, echo, issuer):
    issuer.add("k2")
    door = gate(config(files, echo, issuer))
    assert enters(door, issuer.token("k1"))
    for token, code in (
        (issuer.token("k1", exp=-60), "expired"),
        (issuer.token("k1", nbf=600), "not_yet_valid"),
        (issuer.token("k2"), "key_unknown"),
        (issuer.token("k1", sign_with="k2"), "invalid_credential"),
        (issuer.token("k1", iss="https://other.example"), "invalid_credential"),
        ("not-a-jwt", "invalid_credential"),
    ):
        table.assert_denied(denied(door, token), code)
    issuer.service.stop()
    answer = denied(gate(config(files, echo, issuer)), issuer.token("k1"))
    table.assert_denied(answer, "keys_unavailable")
    assert int(answer.header("retry-after")) >= 1


def test_the_signal_close_tells_the_code_to_clients_without_an_origin(gate, files, echo, issuer):
    door = gate(config(files, echo, issuer, signal="close"))
    with Raw(door.port) as raw:
        raw.open("/", bearer(issuer.token("k1", exp=-60)), host=door.authority)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 4001, "expired")


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "EdDSA"])
def test_every_algorithm_is_verified_and_only_those_that_are_listed(gate, files, echo, issuer, algorithm):
    issuer.add("a", algorithm)
    issuer.publish("k1", "a")
    door = gate(config(files, echo, issuer))
    assert enters(door, issuer.token("a"))
    other = "RS256" if algorithm != "RS256" else "ES256"
    narrow = gate(config(files, echo, issuer, verifier={"algorithms": [other]}))
    table.assert_denied(denied(narrow, issuer.token("a")), "invalid_credential")


def test_a_public_key_is_no_shared_secret_and_no_signature_is_none(gate, files, echo, issuer):
    issuer.add("rsa", "RS256")
    issuer.publish("rsa")
    door = gate(config(files, echo, issuer))
    pem = issuer.keys["rsa"][1].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = tokens.claims(iss=issuer.name)
    forged = [
        tokens.by_hand(claims, {"alg": "HS256", "kid": "rsa"}, secret=pem.decode()),
        jwt.encode(claims, None, algorithm="none", headers={"kid": "rsa"}),
    ]
    for token in forged:
        table.assert_denied(denied(door, token), "invalid_credential")
    assert enters(door, issuer.token("rsa"))


def test_a_session_ends_with_its_token(gate, files, echo, issuer):
    door = gate(config(files, echo, issuer))
    with Raw(door.port) as raw:
        raw.open("/", bearer(issuer.token("k1", exp=3)), host=door.authority)
        raw.send_frame(TEXT, b"hello")
        assert raw.frame().payload == b"hello"
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 4001, "expired")
    assert door.wait_session_end(reason="expired")["subject"] == "ada"


# Rotation -------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_found_and_a_withdrawn_one_counts_no_more(gate, files, echo, issuer):
    issuer.add("k2")
    door = gate(config(files, echo, issuer, keys={"unknown_kid_interval": "200ms"}))
    assert enters(door, issuer.token("k1"))
    issuer.publish("k2")
    eventually(lambda: enters(door, issuer.token("k2")), what="the new key")
    assert told(door, issuer.token("k1")) == (4001, "key_unknown")


def test_a_storm_of_unknown_keys_is_one_question(gate, files, echo, issuer):
    issuer.add("k2")
    door = gate(config(files, echo, issuer))
    assert enters(door, issuer.token("k1"))
    before = issuer.service.count(issuer.path)
    unknown = issuer.token("k2")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(denied(door, unknown).status)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [401] * 40
    assert issuer.service.count(issuer.path) - before <= 1


def test_keys_are_there_before_the_first_arrival(gate, files, echo, issuer):
    door = gate(config(files, echo, issuer))
    issuer.service.wait_asked(0, issuer.path)
    eventually(lambda: ask(door.port, request(path="/readyz", host=door.authority)).text == "", what="keys")
    issuer.service.stop()
    assert enters(door, issuer.token("k1"))


# Outage, and lies -----------------------------------------------------------------------------------------------------

LIES = {
    "an error": {"status": 500},
    "no JSON": {"body": "<html>"},
    "a redirect": {"status": 302, "headers": {"location": "/elsewhere"}},
    "a shared secret": {"body": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}},
    "no keys": {"body": {"keys": []}},
    "too much": {"body": b" " * (2 << 20)},
    "nothing, ever": {"hangs": True},
}


@pytest.mark.parametrize("lie", LIES)
def test_the_last_good_keys_serve_while_the_issuer_fails_or_lies_and_then_nobody_enters(gate, files, echo, issuer, lie):
    door = gate(config(files, echo, issuer, keys={**QUICK, "max_stale": "4s", "fetch_timeout": "300ms"}))
    assert enters(door, issuer.token("k1"))
    issuer.service.reply("/elsewhere", {"keys": [issuer.jwk("k1")]})
    issuer.service.reply(issuer.path, **{"body": "", **LIES[lie]})
    before = issuer.service.count(issuer.path)
    eventually(lambda: enters(door, issuer.token("k1")) and issuer.service.count(issuer.path) > before, what="a question that fails")
    assert enters(door, issuer.token("k1"))
    eventually(lambda: denied(door, issuer.token("k1")).status == 503, what="keys that are too old")
    assert told(door, issuer.token("k1")) == (1013, "keys_unavailable")
    assert issuer.service.count("/elsewhere") == 0
    issuer.publish("k1")
    eventually(lambda: enters(door, issuer.token("k1")), what="the issuer's return")


def test_readiness_and_metrics_name_the_issuer_that_is_away_until_it_is_back(gate, files, echo, issuer):
    made = config(files, echo, issuer, keys={**QUICK, "max_stale": "100ms"})
    made["admin"] = {"listen": "127.0.0.1:0"}
    door = gate(made)

    def ready() -> str:
        answer = ask(door.port, request(path="/readyz", host=door.authority))
        assert answer.status == 200
        return answer.text

    eventually(lambda: ready() == "", what="a gate with nothing to warn of")
    issuer.service.stop()
    eventually(lambda: f"warning: the keys of {issuer.name} cannot be fetched, and its tokens are refused\n" == ready(), what="the warning")
    assert f'portcullis_issuer_reachable{{issuer="{issuer.name}"}} 0' in door.metrics()
    assert f'portcullis_issuer_keys{{issuer="{issuer.name}"}} 0' in door.metrics()
    issuer.service.start_again()
    eventually(lambda: ready() == "", what="the end of the warning")
    assert f'portcullis_issuer_keys{{issuer="{issuer.name}"}} 1' in door.metrics()


def test_readiness_says_when_keys_serve_that_cannot_be_renewed(gate, files, echo, issuer):
    door = gate(config(files, echo, issuer, keys=QUICK))
    assert enters(door, issuer.token("k1"))
    issuer.service.stop()
    line = f"warning: the keys of {issuer.name} cannot be renewed, and the last good ones serve\n"
    eventually(lambda: ask(door.port, request(path="/readyz", host=door.authority)).text == line, what="the warning")
    assert enters(door, issuer.token("k1"))
    record = door.wait_record(lambda r: r["fields"]["message"] == "keys cannot be fetched", what="the reason")
    assert (record["fields"]["issuer"], record["level"]) == (issuer.name, "WARN")


def test_keys_over_tls_count_when_the_systems_authorities_vouch_for_their_owner(gate, files, echo, service, certs):
    issuer = Issuer(service(tls=certs), "https://id.example")
    issuer.add("k1")
    issuer.publish("k1")
    stranger = gate(config(files, echo, issuer))
    table.assert_denied(denied(stranger, issuer.token("k1")), "keys_unavailable")
    assert issuer.service.count() == 0
    assert enters(gate(config(files, echo, issuer), env={"SSL_CERT_FILE": str(certs.ca)}), issuer.token("k1"))


def test_a_reload_during_an_outage_keeps_the_keys(gate, files, echo, issuer):
    made = config(files, echo, issuer)
    door = gate(made)
    assert enters(door, issuer.token("k1"))
    issuer.service.stop()
    made["verifier"]["id"]["audience"] = [tokens.AUDIENCE, "another"]
    door.reload(made)
    door.wait_record(lambda r: r["fields"]["message"] == "reloaded", what="the reload")
    assert enters(door, issuer.token("k1", aud="another"))


def test_a_reload_without_an_issuer_ends_the_sessions_of_its_tokens(gate, files, echo, issuer):
    made = config(files, echo, issuer)
    door = gate(made)
    with Raw(door.port) as raw:
        raw.open("/", bearer(issuer.token("k1")), host=door.authority)
        made["verifier"]["id"]["issuer"] = "https://other.example"
        door.reload(made)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 4001, "policy_changed")


# Where keys are -------------------------------------------------------------------------------------------------------


def test_keys_are_found_by_discovery_below_the_issuer(gate, files, echo, issuer):
    made = config(files, echo, issuer)
    del made["verifier"]["id"]["jwks_url"]
    door = gate(made)
    assert enters(door, issuer.token("k1"))
    assert issuer.service.count("/.well-known/openid-configuration") == 1


def test_a_document_of_another_issuer_is_not_believed(gate, files, echo, issuer):
    issuer.service.reply("/.well-known/openid-configuration", {"issuer": "https://other.example", "jwks_uri": issuer.service.url + "/keys"})
    made = config(files, echo, issuer)
    del made["verifier"]["id"]["jwks_url"]
    door = gate(made)
    table.assert_denied(denied(door, issuer.token("k1")), "keys_unavailable")
    assert issuer.service.count("/keys") == 0


def test_keys_of_a_file_are_read_again_when_it_changes(gate, files, echo, issuer, tmp_path):
    issuer.add("k2")
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [issuer.jwk("k1")]}))
    made = config(files, echo, issuer, verifier={"jwks_file": path})
    del made["verifier"]["id"]["jwks_url"]
    door = gate(made)
    with Raw(door.port) as raw:
        raw.open("/", bearer(issuer.token("k1")), host=door.authority)
        assert told(door, issuer.token("k2")) == (4001, "key_unknown")
        fresh = path.with_suffix(".next")
        fresh.write_text(json.dumps({"keys": [issuer.jwk("k2")]}))
        fresh.replace(path)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 4001, "policy_changed")
    assert enters(door, issuer.token("k2"))


def test_of_several_issuers_each_has_its_own_keys(gate, files, echo, issuer, service):
    other = Issuer(service(), "https://other.example")
    other.add("k1")
    other.publish("k1")
    made = config(files, echo, issuer)
    made["verifier"]["id"] = {"kind": "jwks", "issuers": [
        {"issuer": one.name, "audience": tokens.AUDIENCE, "jwks_url": one.service.url + one.path} for one in (issuer, other)]}
    door = gate(made)
    for one in (issuer, other):
        assert enters(door, one.token("k1"))
    assert denied(door, other.token("k1", iss=issuer.name)).status == 401
    other.service.stop()
    assert enters(door, issuer.token("k1"))


def test_tokens_stand_beside_jwts(gate, files, echo, issuer):
    made = config(files, echo, issuer, verifiers=["tokens", "id"])
    made["verifier"]["tokens"] = {"kind": "capability-token", "tokens_file": files["tokens"]}
    door = gate(made)
    assert enters(door, tokens.ALICE) and enters(door, issuer.token("k1"))
    for verifier in ("tokens", "id"):
        door.wait_decision(message="admitted", verifier=verifier)


# The tools ------------------------------------------------------------------------------------------------------------


def test_explain_asks_the_issuer_as_the_gate_does_and_check_asks_nobody(files, echo, issuer, tmp_path):
    issuer.add("k2")
    path = tmp_path / "gate.toml"
    path.write_text(toml(config(files, echo, issuer)))
    assert run("check", "--config", path).returncode == 0
    assert issuer.service.count() == 0
    for token, code, outcome in ((issuer.token("k1"), 0, None), (issuer.token("k2"), 4, "key_unknown"), (issuer.token("k1", exp=-60), 4, "expired")):
        result = run("explain", "--config", path, "--websocket", "--url", "/x", "-H", f"Authorization: Bearer {token}", "--json")
        assert (result.returncode, json.loads(result.stdout).get("code")) == (code, outcome), result.stderr
        assert token not in result.stdout
    issuer.service.stop()
    result = run("explain", "--config", path, "--websocket", "--url", "/x", "-H", f"Authorization: Bearer {issuer.token('k1')}", "--json")
    assert json.loads(result.stdout)["code"] == "keys_unavailable"
