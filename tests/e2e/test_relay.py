"""The gate as a relay of remote control: the real `codex` as its host, guests by WebSocket, operators by the commands."""

from __future__ import annotations

import contextlib
import json

import pytest
from websockets.exceptions import InvalidStatus

from support import configs, relay, tokens
from support.operators import portcullis
from support.process import eventually
from support.raw import ask, request, upgrade
from support.relay import ADA, CONTROL, NAME, enrol, enter, hosts, pair, post, serving, told
from support.remote import Host, Model, Network

UNKNOWN = b'{"detail":"Remote app server not found"}'


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def model(cleanup):
    model = Model()
    cleanup.callback(model.close)
    return model


@pytest.fixture
def config(files):
    return lambda memory, *names, **settings: relay.config(files, memory, *names, **settings)


@pytest.fixture
def host(cleanup, tmp_path, model):
    """Starts hosts of an account; each home is a machine."""

    def start(port: int, account: str = "ada", home: str = "host") -> Host:
        token = tokens.make(sub=account, exp=3600)
        machine = Host(tmp_path / home, port, model.url, token)
        cleanup.callback(machine.stop)
        return machine

    return start


def refused(door, account: str) -> tuple[int, str]:
    """The status and the code with which a guest is refused."""
    with pytest.raises(InvalidStatus) as caught:
        enter(door, account=account)
    response = caught.value.response
    return response.status_code, json.loads(response.body)["code"]


def dial(door, enrolled: dict, token: str | None = None, headers=()):
    """What a road is answered."""
    return ask(door.port, upgrade(f"{CONTROL}/server", [
        ("Authorization", f"Bearer {token or enrolled['remote_control_token']}"), ("x-codex-server-id", enrolled["server_id"]),
        ("x-codex-protocol-version", "3"), *headers,
    ], host=door.authority))


# The real host --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_the_real_host_enrols_and_serves_a_guest_through_a_turn_with_an_approval(gate, config, host, model, memory):
    door = gate(config(memory, NAME))
    host(door.port)
    shown = serving(door)
    assert (shown["name"], shown["account"], shown["road"]["guests"]) == (NAME, ADA, 0)
    guest = enter(door)
    assert guest.begin()["userAgent"]
    assert guest.ask("remoteControl/status/read", {})["status"] == "connected"
    assert hosts(door)[0]["road"]["guests"] == 1
    turn = guest.decline(guest.approval())
    assert turn["status"] == "completed", turn
    assert len(model.asked) == 2
    guest.close()
    told(door, "a host has enrolled", name=NAME, account=ADA)
    told(door, "a road is open", account=ADA)
    admitted = door.wait_decision(message="admitted", route="hosts:road")
    assert admitted["subject"] == "unasked"
    metrics = door.metrics()
    assert 'portcullis_remote_requests_total{asked="enrol",status="200"} 1' in metrics
    assert "portcullis_remote_roads_opened_total 1" in metrics and "portcullis_remote_roads 1" in metrics


@pytest.mark.timeout(180)
def test_a_road_that_drops_in_mid_turn_loses_and_doubles_nothing(gate, config, host, model, cleanup, tmp_path):
    door = gate(config({"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}, NAME))
    network = Network(door.port)
    cleanup.callback(network.close)
    host(network.port)
    shown = serving(door)
    guest = enter(door)
    guest.begin()
    approval = guest.approval()
    network.cut()
    told(door, "a road has ended", host=shown["id"])
    # It waits for the next road.
    turn = guest.decline(approval)
    assert turn["status"] == "completed", turn
    assert serving(door)["id"] == shown["id"]
    once = [json.dumps(message, sort_keys=True) for message in guest.heard if "id" in message or message["method"].startswith(("turn/", "item/"))]
    assert len(once) == len(set(once)), guest.heard
    assert [message["method"] for message in guest.heard if message.get("method", "").startswith("turn/c")] == ["turn/completed"]
    # What the model was told of the command came from one decision.
    assert len(model.asked) == 2
    assert hosts(door)[0]["last_road"]["reason"]


@pytest.mark.timeout(180)
def test_the_host_comes_back_by_itself_to_a_gate_that_was_restarted(gate, config, host, cleanup, memory):
    whole = config(memory, NAME)
    first = gate(whole)
    network = Network(first.port)
    cleanup.callback(network.close)
    host(network.port)
    shown = serving(first)
    guest = enter(first)
    guest.begin()
    first.drain()
    assert guest.end() == (1012, "draining")
    assert first.process.wait(20) == 0
    told(first, "a road has ended", reason="draining")
    second = gate(whole)
    network.far = second.port
    assert serving(second)["id"] == shown["id"]
    enter(second).begin()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("memory", ["postgres and nats"], indirect=True)
def test_a_guest_at_another_gate_reaches_the_host_which_is_elsewhere_for_operators_there(gate, config, host, model, memory):
    whole = config(memory, NAME)
    near, far = gate(whole), gate(whole)
    host(near.port)
    shown = serving(near)
    eventually(lambda: hosts(far)[0]["state"] == "elsewhere", 20, every=0.1, what="an answer over the bus")
    found = json.loads(portcullis(far, "hosts", "show", shown["id"], "--json"))
    assert (found["state"], found["road"]) == ("elsewhere", None)
    guest = enter(far)
    guest.begin()
    turn = guest.decline(guest.approval())
    assert turn["status"] == "completed", turn
    assert len(model.asked) == 2
    assert hosts(near)[0]["road"]["guests"] == 1
    portcullis(far, "hosts", "revoke", shown["id"])
    told(near, "a road has ended", host=shown["id"], reason="revoked")
    assert guest.end()[1] == "resource_unknown"
    assert [hosts(door)[0]["state"] for door in (near, far)] == ["revoked", "revoked"]


@pytest.mark.timeout(180)
def test_a_host_that_is_forgotten_enrols_anew_and_one_that_is_revoked_stays_out(gate, config, host, tmp_path):
    door = gate(config({"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}, NAME))
    host(door.port)
    first = serving(door)
    guest = enter(door)
    guest.begin()
    portcullis(door, "hosts", "rm", first["id"])
    assert guest.end() == (4404, "resource_unknown")
    second = serving(door, but=first["id"])
    assert [host["name"] for host in hosts(door)] == [NAME]
    guest = enter(door)
    guest.begin()

    seen = len(door.records())
    portcullis(door, "hosts", "revoke", second["id"])
    assert guest.end() == (4404, "resource_unknown")
    told(door, "a road has ended", seen, reason="revoked")
    door.wait_session_end(after=seen, route="hosts:road", code=4004)
    # It comes back, and is refused.
    eventually(lambda: 'status="403"' in door.metrics(), 60, every=0.2, what="a host that is refused")
    assert hosts(door)[0]["state"] == "revoked"
    assert refused(door, "ada") == (404, "resource_unknown")


# Who may be a guest ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_foreign_account_is_refused_until_it_is_paired_and_cut_when_it_is_unpaired(gate, config, host, memory):
    door = gate(config(memory, NAME, remote={"account": ADA}))
    host(door.port)
    shown = serving(door)
    assert refused(door, "bob") == (403, "not_owner")
    guest = enter(door)
    guest.begin()
    pair(door, guest, "bob")
    bob = enter(door, account="bob")
    bob.begin()
    device, = json.loads(portcullis(door, "hosts", "devices", shown["id"], "--json"))
    assert (device["account"], device["display_name"]) == (f"{tokens.ISSUER}#bob", "bob's phone")
    portcullis(door, "hosts", "unpair", shown["id"], device["id"])
    assert bob.end() == (4003, "not_owner")
    assert refused(door, "bob") == (403, "not_owner")
    assert guest.ask("remoteControl/status/read", {})["status"] == "connected"


@pytest.mark.timeout(120)
def test_a_revoked_subject_loses_its_guests_and_not_its_host(gate, config, host, memory):
    door = gate(config(memory, NAME))
    host(door.port)
    serving(door)
    guest = enter(door)
    guest.begin()
    portcullis(door, "revoke", "add", "subject", "ada")
    assert guest.end() == (4004, "revoked")
    shown, = hosts(door)
    assert shown["state"] == "open"


def test_without_an_account_a_host_is_the_guests_own(gate, config, memory):
    door = gate(config(memory, "box"))
    enrol(door)
    assert ask(door.port, upgrade("/host/box", [("Authorization", f"Bearer {tokens.make(sub='bob')}")], host=door.authority)).status == 404


# What the gate leaves to the relay ------------------------------------------------------------------------------------


def test_a_road_needs_a_server_token_and_only_an_unknown_host_is_told_to_enrol_anew(gate, config, memory):
    door = gate(config(memory))
    enrolled = enrol(door)
    assert dial(door, enrolled, "wrong").status == 401
    assert dial(door, enrolled, tokens.make(sub="ada")).status == 401, "an account's credential opens no road"
    unknown = dial(door, {"server_id": "srv_0", "remote_control_token": "none"})
    assert (unknown.status, unknown.body) == (404, UNKNOWN)
    refreshed = post(door, "server/refresh", tokens.make(sub="ada"), {"server_id": "srv_0", "installation_id": "i1"})
    assert (refreshed.status, refreshed.body) == (404, UNKNOWN)
    assert dial(door, enrolled, headers=[("Origin", "http://" + door.authority)]).status == 403, "no page opens a road"
    assert ask(door.port, upgrade(f"{CONTROL}/server", [("Authorization", "Bearer x")], host=door.authority)).status == 400
    assert post(door, "server/pair", enrolled["remote_control_token"], {}).status == 200
    assert post(door, "server/pair", tokens.make(sub="ada"), {}).status == 401


@pytest.mark.parametrize("before", ["/backend-api/x", "/backend-api/wham", "/backend-api/wham/remote/control", "/backend-api/x/backend-api"])
def test_an_accounts_credential_opens_no_road_and_begins_no_pairing_by_a_longer_path(gate, config, memory, before):
    door = gate(config(memory))
    enrolled = enrol(door)
    control = f"{before}/wham/remote/control"
    for token in [tokens.make(sub="ada"), enrolled["remote_control_token"]]:
        said = [("Authorization", f"Bearer {token}"), ("x-codex-server-id", enrolled["server_id"]), ("x-codex-protocol-version", "2")]
        road = ask(door.port, upgrade(f"{control}/server", said, host=door.authority))
        assert road.status in (401, 404) and road.body != UNKNOWN, road.text
        for path in ["server/pair", "server/pair/status"]:
            lines = [*said, ("Content-Type", "application/json"), ("Content-Length", "2")]
            paired = ask(door.port, request("POST", f"{control}/{path}", lines, host=door.authority, body=b"{}"))
            assert paired.status in (401, 404), paired.text
    assert "a road is open" not in door.process.err.text()


def test_what_accounts_change_is_in_the_audit_log(gate, config, memory):
    door = gate(config(memory))
    enrol(door)
    box = enrol(door)
    code = json.loads(post(door, "server/pair", box["remote_control_token"], {}).body)["pairing_code"]
    assert post(door, "pair/claim", tokens.make(sub="bob"), {"pairing_code": "wrong"}).status == 404
    device = json.loads(post(door, "pair/claim", tokens.make(sub="bob"), {"pairing_code": code}).body)["client_id"]
    path = f"{CONTROL}/environments/{box['environment_id']}/clients/{device}"
    removed = ask(door.port, request("DELETE", path, [("Authorization", f"Bearer {tokens.make(sub='ada')}")], host=door.authority))
    assert removed.status == 204, removed.text

    def records():
        found = json.loads(portcullis(door, "audit", "--kind", "host", "--json"))
        return found if len(found) >= 4 else None

    shown = eventually(records, 20, every=0.1, what="four records")
    said = [(record["subject"], record["issuer"], record["outcome"], record["detail"], record["route"]) for record in reversed(shown)]
    pair = f"{box['server_id']}/{device}"
    assert said == [
        ("ada", tokens.ISSUER, "host_enrolled", f"{box['server_id']} box", "hosts"),
        ("ada", tokens.ISSUER, "host_enrolled_again", f"{box['server_id']} box", "hosts"),
        ("bob", tokens.ISSUER, "device_paired", pair, "hosts"),
        ("ada", tokens.ISSUER, "device_removed", pair, "hosts"),
    ]


def test_who_is_refused_at_the_road_is_reported_as_refused_and_operators_are_told_why(gate, config, memory):
    door = gate(config(memory))
    box, other = enrol(door), enrol(door, name="other", installation="i2")
    for _ in range(3):
        assert dial(door, box, "prt_" + "x" * 43).status == 401
        assert dial(door, {**other, "server_id": box["server_id"]}).status == 401
        assert dial(door, {**other, "server_id": "srv_0"}, "x").status == 404
    portcullis(door, "hosts", "revoke", other["server_id"])
    assert dial(door, other).status == 403
    told(door, "a host was refused", host=box["server_id"], why="its token is not valid")
    told(door, "a host was refused", host=other["server_id"], why="its token is shown by another host")
    told(door, "a host was refused", why="there is no such host")
    lines = [record for record in door.records() if record.get("fields", {}).get("message") == "a host was refused"]
    assert len(lines) == 3, "a line a minute for each"
    assert box["remote_control_token"] not in door.process.err.text()
    for refusal in ["invalid_credential", "resource_unknown", "revoked"]:
        door.wait_decision(message="refused", route="hosts:road", refusal=refusal)
    assert "hosts:road" not in [admitted["route"] for admitted in door.decisions("admitted")]


def test_wrong_server_tokens_are_failed_handshakes_of_their_address(gate, config, memory):
    whole = config(memory)
    door = gate({**whole, "limits": {"failed_handshakes": "3/h"}})
    enrolled = enrol(door)
    assert dial(door, enrolled, "wrong").status == 401
    assert post(door, "server/pair", "wrong", {}).status == 401
    assert dial(door, enrolled, "prt_" + "x" * 43).status == 401
    assert dial(door, enrolled).status == 429
    assert post(door, "server/pair", enrolled["remote_control_token"], {}).status == 429


def test_a_server_token_is_nobodys_credential(gate, config, memory):
    door = gate(config(memory, "box"))
    enrolled = enrol(door)
    secret = enrolled["remote_control_token"]
    for path in ["server/enroll", "server/refresh", "pair/claim"]:
        assert post(door, path, secret, {}).status == 401, path
    answer = ask(door.port, upgrade("/host/box", [("Authorization", f"Bearer {secret}")], host=door.authority))
    assert answer.status == 401
    assert secret not in door.process.err.text()


def test_without_authentication_all_hosts_are_of_one_account(gate, config, tmp_path):
    door = gate({**config({"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}, "box"), "auth": {"required": False}, "admin": {"listen": "127.0.0.1:0"}})
    enrolled = enrol(door, account="whoever")
    assert dial(door, enrolled, "wrong").status == 401, "a server token counts all the same"
    assert dial(door, enrolled).status == 101
    assert told(door, "a road is open")["account"] == "local"
    assert door.wait_decision(message="admitted", route="hosts:road")["subject"] == "local"


def test_explain_and_check_say_who_decides(gate, config, tmp_path):
    door = gate(config({"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}))
    file = str(door.config_file)
    said = portcullis(door, "explain", "--config", file, "--url", f"{CONTROL}/server", "--websocket")
    assert "hosts:road" in said and "the upstream decides" in said, said
    said = portcullis(door, "explain", "--config", file, "--url", f"{CONTROL}/server/enroll", "--method", "POST", code=4)
    assert "missing_credential" in said, said
    said = portcullis(door, "check", "--config", file)
    assert f"route hosts:road at {CONTROL}/server, whose upstream decides who enters" in said, said


def test_a_host_has_a_name_of_its_accounts_choosing(gate, config, memory):
    door = gate(config(memory))
    one, other = enrol(door), enrol(door, name="desk", installation="i2")
    portcullis(door, "hosts", "rename", one["server_id"], "desk", code=1)
    portcullis(door, "hosts", "rename", one["server_id"], "attic")
    assert {host["name"] for host in hosts(door)} == {"attic", "desk"}
    shown = portcullis(door, "hosts", "show", one["server_id"])
    assert "attic" in shown and "away" in shown, shown
    table = portcullis(door, "hosts", "ls", "--account", ADA)
    assert other["server_id"] in table and table.startswith("ID"), table


def test_a_reload_leaves_roads_and_says_what_it_does_not_change(gate, config, host, tmp_path):
    memory = {"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}
    door = gate(config(memory, NAME))
    host(door.port)
    shown = serving(door)
    door.reload(config(memory, NAME, "desk", relay={"guests": 1}))
    door.wait_record(lambda record: "`[route.relay]`" in record.get("fields", {}).get("message", ""), what="a warning")
    enter(door).begin()
    assert hosts(door)[0]["road"]["since"] == shown["road"]["since"]
    assert refused(door, "bob") == (404, "resource_unknown")


def test_a_relay_that_comes_with_a_reload_to_a_gate_without_a_ledger_waits_for_a_restart(gate, config, files, tmp_path):
    door = gate(configs.base(files, "builtin:echo"))
    door.reload(config({"ledger": {"url": f"sqlite:{tmp_path / 'l.db'}"}}, "box"))
    door.wait_record(lambda record: "before a restart" in record.get("fields", {}).get("message", ""), what="a warning")
    answer = post(door, "server/enroll", tokens.make(sub="ada"), {})
    assert (answer.status, answer.header("retry-after")) == (503, "10")
    answer = ask(door.port, upgrade("/host/box", [("Authorization", f"Bearer {tokens.make(sub='ada')}")], host=door.authority))
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "overloaded")
