"""ID tokens of a Firebase project, by keys in both forms in which Google publishes them, and the state of accounts."""

from __future__ import annotations

import datetime
import json
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from support import configs, table, tokens
from support.process import eventually
from support.raw import CLOSE, Raw, ask, upgrade
from support.service import Issuer
from support.upstreams import echo_frames

PROJECT = "chat-12345"
LOOKUP = f"/v1/projects/{PROJECT}/accounts:lookup"


@pytest.fixture
def issuer(service):
    made = Issuer(service(), f"https://securetoken.google.com/{PROJECT}")
    made.add("k1", "RS256")
    made.publish("k1")
    return made


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


def config(files, upstream, issuer, **verifier) -> dict:
    made = configs.base(files, upstream.url, verifiers=["firebase"])
    made["verifier"] = {"firebase": {"kind": "firebase", "project": PROJECT, "jwks_url": issuer.service.url + "/keys", **verifier}}
    return made


def token(issuer, **claims) -> str:
    return issuer.token("k1", **{"aud": PROJECT, "iat": -10, "auth_time": -10, **claims})


def knock(door, token: str):
    return ask(door.port, upgrade(headers=[("Authorization", f"Bearer {token}")], host=door.authority))


def account(issuer, **more) -> None:
    issuer.service.reply(LOOKUP, {"users": [{"localId": "ada", **more}]})


def certificate(issuer, kid: str) -> str:
    private = issuer.keys[kid][1]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.system.gserviceaccount.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return made.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_token_of_the_project_enters_and_its_subject_is_the_account(gate, files, echo, issuer):
    door = gate(config(files, echo, issuer))
    assert knock(door, token(issuer)).status == 101
    assert door.wait_decision(message="admitted", subject="ada")


def test_certificates_are_keys_too(gate, files, echo, issuer):
    issuer.service.reply("/keys", {"k1": certificate(issuer, "k1")})
    assert knock(gate(config(files, echo, issuer)), token(issuer)).status == 101


@pytest.mark.parametrize("claims, code", [
    ({"exp": -120}, "expired"),
    ({"aud": "another-project"}, "invalid_credential"),
    ({"iss": "https://securetoken.google.com/another-project"}, "invalid_credential"),
    ({"auth_time": None}, "invalid_credential"),
    ({"auth_time": 600}, "invalid_credential"),
    ({"iat": 600}, "invalid_credential"),
    ({"sub": ""}, "invalid_credential"),
    ({"sub": "x" * 129}, "invalid_credential"),
], ids=str)
def test_each_rule_of_googles_is_asked(gate, files, echo, issuer, claims, code):
    door = gate(config(files, echo, issuer))
    table.assert_denied(knock(door, token(issuer, **claims)), code)


def test_a_disabled_account_is_kept_out_and_one_that_signed_out_everywhere_too(gate, files, echo, issuer, tmp_path):
    bearer = tmp_path / "bearer.txt"
    bearer.write_text(f"google-{tokens.MARK}")
    bearer.chmod(0o600)
    door = gate(config(files, echo, issuer, accounts_url=issuer.service.url, bearer_file=bearer, remember_for="0s"))
    account(issuer)
    assert knock(door, token(issuer)).status == 101
    question = next(asked for asked in issuer.service.asked if asked.path == LOOKUP)
    assert json.loads(question.body) == {"localId": ["ada"]}
    assert question.headers["authorization"] == f"Bearer google-{tokens.MARK}"
    for more, code in (
        ({"disabled": True}, "account_disabled"),
        ({"validSince": str(int(time.time()))}, "revoked"),
    ):
        account(issuer, **more)
        table.assert_denied(knock(door, token(issuer)), code)
    issuer.service.reply(LOOKUP, {"kind": "nobody"})
    table.assert_denied(knock(door, token(issuer)), "account_disabled")


def test_a_page_hears_that_its_account_is_disabled(gate, files, echo, issuer):
    made = config(files, echo, issuer, accounts_url=issuer.service.url)
    made["route"][0]["signal"] = "close"
    account(issuer, disabled=True)
    door = gate(made)
    with Raw(door.port) as raw:
        raw.open("/", [("Authorization", f"Bearer {token(issuer)}")], host=door.authority)
        end = raw.frame()
        assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of("account_disabled"))


@pytest.mark.parametrize("lie", [
    {"status": 500}, {"body": "no JSON"}, {"body": {"users": [{"localId": "eve"}]}}, {"hangs": True},
], ids=["error", "no JSON", "another account", "hangs"])
def test_while_nobody_knows_the_account_nobody_enters(gate, files, echo, issuer, lie):
    issuer.service.reply(LOOKUP, **{"body": "", **lie})
    door = gate(config(files, echo, issuer, accounts_url=issuer.service.url, timeout="300ms"))
    table.assert_denied(knock(door, token(issuer)), "keys_unavailable")
    account(issuer)
    assert knock(door, token(issuer)).status == 101


def test_operators_are_told_once_for_many_that_nobody_knows_the_accounts(gate, files, echo, issuer):
    issuer.service.reply(LOOKUP, status=500)
    door = gate(config(files, echo, issuer, accounts_url=issuer.service.url))
    for number in range(10):
        table.assert_denied(knock(door, token(issuer, sub=f"ada{number}")), "keys_unavailable")
    told = [record["fields"] for record in door.records() if "state cannot be had" in record["fields"]["message"]]
    assert [(fields["questions"], "500" in fields["error"]) for fields in told] == [(1, True)]


def test_the_state_of_an_account_is_remembered_for_its_time(gate, files, echo, issuer):
    account(issuer)
    door = gate(config(files, echo, issuer, accounts_url=issuer.service.url, remember_for="3s"))
    assert [knock(door, token(issuer)).status for _ in range(4)] == [101] * 4
    assert issuer.service.count(LOOKUP) == 1
    account(issuer, disabled=True)
    eventually(lambda: knock(door, token(issuer)).status == 403, what="the end of the account")


@pytest.mark.parametrize("more, code", [({"disabled": True}, "account_disabled"), ({"validSince": str(2**40)}, "revoked")], ids=["disabled", "signed out"])
def test_a_live_session_ends_with_its_account(gate, files, echo, issuer, more, code):
    made = config(files, echo, issuer, accounts_url=issuer.service.url, remember_for="0s")
    made["route"][0]["session"] = {"recheck": "300ms"}
    account(issuer)
    door = gate(made)
    with Raw(door.port) as raw:
        raw.open("/", [("Authorization", f"Bearer {token(issuer)}")], host=door.authority)
        issuer.service.wait_asked(2, LOOKUP)
        raw.send_frame(1, b"still here")
        assert raw.frame().payload == b"still here"
        account(issuer, **more)
        end = raw.frame()
        assert (end.opcode, (end.code, end.reason)) == (CLOSE, table.close_of(code))
