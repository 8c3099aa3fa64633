"""Roads from end to end: two gates and the real `codex`, and `portcullis connect` as the host of our own relay."""

from __future__ import annotations

import contextlib
import json
import sys
import threading

import pytest

from support import host as connector
from support import node, numbered, relay, table, tokens
from support.browser import closed, event, socket, sockets
from support.operators import portcullis
from support.process import eventually
from support.raw import ask, request, upgrade
from support.relay import ADA, NAME, enrol, enter, hosts, pair, serving, told
from support.remote import Guest, Host, Model, Network

# A file does not go away, and gates that share one have no bus.
SERVERS = pytest.mark.parametrize("memory", ["postgres and nats"], indirect=True)


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def config(files):
    return lambda memory, *names, **settings: relay.config(files, memory, *names, **settings)


# Two gates ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(cleanup):
    model = Model()
    cleanup.callback(model.close)
    return model


@pytest.fixture
def network(cleanup):
    """Makes what is between a host and a gate."""

    def make(port: int) -> Network:
        network = Network(port)
        cleanup.callback(network.close)
        return network

    return make


@pytest.fixture
def two_gates(gate, config, memory):
    """Starts two gates of one ledger and one bus."""

    def start(**settings):
        shared = config(memory, NAME, **settings)
        return gate(shared), gate(shared)

    return start


@pytest.fixture
def agent(cleanup, tmp_path, model, network):
    """Starts the real `codex` as Ada's host, and waits until its road ends at `door`; gives what is between."""

    def start(door) -> Network:
        line = network(door.port)
        machine = Host(tmp_path / "host", line.port, model.url, tokens.make(sub="ada", exp=3600))
        cleanup.callback(machine.stop)
        serving(door)
        return line

    return start


@SERVERS
@pytest.mark.timeout(180)
@pytest.mark.parametrize("first", [True, False], ids=["host at the first gate", "host at the second gate"])
def test_a_guest_at_another_gate_goes_on_when_the_gate_of_its_hosts_road_is_killed(two_gates, agent, model, first):
    one, other = two_gates()
    near, far = (one, other) if first else (other, one)
    line = agent(near)
    known, = hosts(far)
    assert known["state"] == "away" and known["road"] is None, "the road ends at the other gate"
    guest = enter(far)
    assert guest.begin()["userAgent"]
    approval = guest.approval()
    assert hosts(near)[0]["road"]["guests"] == 1
    near.process.kill()
    line.far = far.port
    # It waits for the host, which comes back by itself.
    turn = guest.decline(approval)
    assert turn["status"] == "completed", turn
    assert serving(far)["id"] == known["id"]
    once = turns(guest)
    assert len(once) == len(set(once)), guest.heard
    assert [message["method"] for message in guest.heard if message.get("method", "").startswith("turn/c")] == ["turn/completed"]
    # What the model was told of the command came from one decision.
    assert len(model.asked) == 2
    # And another turn, at the gate that is left.
    assert guest.decline(guest.approval())["status"] == "completed"
    assert len(model.asked) == 4


@SERVERS
@pytest.mark.timeout(120)
def test_a_host_that_is_revoked_at_one_gate_loses_its_road_and_its_guests_at_the_other(two_gates, agent):
    near, far = two_gates()
    agent(near)
    here, there = enter(near), enter(far)
    here.begin()
    there.begin()
    seen = len(near.records())
    portcullis(far, "hosts", "revoke", hosts(far)[0]["id"])
    assert there.end() == here.end() == table.close_of("resource_unknown")
    told(near, "a road has ended", seen, reason="revoked")
    near.wait_session_end(after=seen, route="hosts:road", code=4004)
    assert [host["state"] for host in hosts(near)] == ["revoked"]


@SERVERS
@pytest.mark.timeout(120)
def test_a_device_that_is_unpaired_at_one_gate_loses_its_guests_at_the_other(two_gates, agent):
    near, far = two_gates(remote={"account": ADA})
    agent(near)
    shown, = hosts(near)
    ada = enter(far)
    ada.begin()
    pair(near, ada, "bob")
    bobs = [enter(near, account="bob"), enter(far, account="bob")]
    for bob in bobs:
        bob.begin()
    device, = json.loads(portcullis(far, "hosts", "devices", shown["id"], "--json"))
    portcullis(far, "hosts", "unpair", shown["id"], device["id"])
    assert [bob.end() for bob in bobs] == [table.close_of("not_owner")] * 2
    assert ada.ask("remoteControl/status/read", {})["status"] == "connected"


@SERVERS
@pytest.mark.timeout(120)
def test_a_subject_that_is_revoked_at_the_gate_of_the_road_loses_its_guest_at_the_other(two_gates, agent):
    near, far = two_gates()
    agent(near)
    guest = enter(far)
    guest.begin()
    portcullis(near, "revoke", "add", "subject", "ada")
    assert guest.end() == table.close_of("revoked")
    assert [host["state"] for host in hosts(near)] == ["open"], "roads rest on server tokens"


# `portcullis connect` -------------------------------------------------------------------------------------------------

# How many messages each way, and how often each end cuts the road.
LAST, CUTS = 1000, 2

ASKS = [json.dumps({"id": n, "method": method}) for n, method in enumerate(["initialize", "hello"])]
ANSWERS = [{"id": 0, "result": {"asked": "initialize"}}, {"id": 1, "result": {"asked": "hello"}}]


@pytest.fixture
def file(tmp_path):
    return {"ledger": {"url": f"sqlite:{tmp_path / 'ledger.db'}"}}


@pytest.fixture
def upstream(cleanup):
    upstream = numbered.Upstream()
    cleanup.callback(upstream.close)
    return upstream


@pytest.fixture
def credential(tmp_path):
    """Ada's, in the file where the connector reads it."""
    file = tmp_path / "relay-token"
    connector.put(file, tokens.make(sub="ada", exp=3600))
    return file


@pytest.fixture
def connect(cleanup, tmp_path, credential):
    """Starts `portcullis connect` before an upstream, and waits until it is connected through `port`."""

    def start(port: int, upstream: str) -> connector.Host:
        flags = ["--upstream", upstream, "--token-file", credential]
        started = cleanup.enter_context(connector.Host(f"http://127.0.0.1:{port}/backend-api", *flags, state=tmp_path / "state"))
        started.wait(20, phase="connected", problem=None)
        return started

    return start


@pytest.mark.parametrize("kind", ["a WebSocket", "a process"])
def test_guests_of_every_kind_reach_what_stands_behind_the_connector(gate, config, file, connect, browser, upstream, tmp_path, kind):
    door = gate(config(file, "vm", carriers=["header", "subprotocol", "ticket"], origin=[browser.pages]))
    script = tmp_path / "talks.py"
    script.write_text(numbered.TALKS)
    machine = connect(door.port, upstream.url if kind == "a WebSocket" else f"stdio:exec {sys.executable} {script}")
    guest = enter(door, "vm")
    assert guest.ask("initialize", {}) == {"asked": "initialize"}

    token = tokens.make(sub="ada")
    seen = node.connect(door.ws("/host/vm"), headers={"Authorization": f"Bearer {token}"}, send=ASKS, until=2)
    assert answers(seen) == ANSWERS and event(seen, "close")["code"] == 1000
    page = [("Authorization", f"Bearer {token}"), ("Origin", browser.pages)]
    ticket = json.loads(ask(door.port, request("POST", "/.portcullis/ticket?route=/host/vm", page, host=door.authority)).body)["ticket"]
    [[by_protocol, by_ticket]] = browser.visit(browser.pages, sockets(
        socket(door.ws("/host/vm"), [tokens.own(token), "chat.v1"], send=ASKS, until=2),
        socket(door.ws(f"/host/vm?ticket={ticket}"), send=ASKS, until=2),
    ))
    for events in (by_protocol, by_ticket):
        assert answers(events) == ANSWERS and closed(events)[0] == 1000
    assert event(by_protocol, "open")["protocol"] == "chat.v1"

    # They have left, and Python is still there.
    machine.wait(guests=1)
    shown, = hosts(door)
    assert (shown["name"], shown["account"], shown["state"], shown["road"]["guests"]) == ("vm", ADA, "open", 1)
    assert shown["id"] == machine.status()["server_id"]
    assert "portcullis_remote_guests 1" in door.metrics() and "portcullis_connector_guests 1" in machine.metrics()
    assert guest.ask("hello", {}) == {"asked": "hello"}
    machine.ends_at_once()
    assert eventually(lambda: hosts(door)[0]["state"] == "away", what="a host that is away")


@pytest.mark.timeout(180)
def test_a_thousand_messages_each_way_come_once_and_in_order_over_a_road_that_drops(gate, config, file, connect, network, upstream):
    door = gate(config(file, "vm"))
    line = network(door.port)
    machine = connect(line.port, upstream.url)
    guest = enter(door, "vm")
    guest.ask("initialize", {})
    assert talk(guest, upstream, line.cut) == upstream.heard == list(range(1, LAST + 1))
    # What follows belongs to nothing of that.
    assert guest.ask("still there?", {}) == {"asked": "still there?"}
    assert upstream.asked == ["initialize", "still there?"] and len(upstream.guests) == 1
    status = machine.status()
    assert status["roads"] > CUTS, "it dropped less often than was meant"
    assert hosts(door)[0]["last_road"]["reason"]
    assert f"portcullis_remote_roads_opened_total {status['roads']}" in door.metrics()
    assert f"portcullis_connector_roads_total {status['roads']}" in machine.metrics()


@SERVERS
@pytest.mark.timeout(180)
def test_a_thousand_messages_to_a_host_come_once_and_in_order_when_the_gate_of_its_road_is_killed(gate, config, memory, connect, network, upstream):
    near, far = (gate(config(memory, "vm")) for _ in range(2))
    line = network(near.port)
    machine = connect(line.port, upstream.url)
    guest = enter(far, "vm")
    guest.ask("initialize", {})

    def kill() -> None:
        near.process.kill()
        line.far = far.port

    numbered.tell(guest.say, upstream.heard, LAST, kill, 1)
    eventually(lambda: len(upstream.heard) >= LAST, 60, what="the last number at the upstream")
    assert upstream.heard == list(range(1, LAST + 1))
    assert guest.ask("still there?", {}) == {"asked": "still there?"}
    assert machine.status()["server_id"] == serving(far)["id"] and len(upstream.guests) == 1


@SERVERS
@pytest.mark.timeout(180)
def test_a_thousand_messages_each_way_come_once_and_in_order_while_the_host_goes_from_gate_to_gate(gate, config, memory, connect, network, upstream):
    near, far = (gate(config(memory, "vm")) for _ in range(2))
    line = network(near.port)
    machine = connect(line.port, upstream.url)
    guest = enter(far, "vm")
    guest.ask("initialize", {})

    def move() -> None:
        line.far = far.port if line.far == near.port else near.port
        line.cut()

    assert talk(guest, upstream, move) == upstream.heard == list(range(1, LAST + 1))


@SERVERS
@pytest.mark.timeout(180)
def test_a_thousand_messages_to_a_host_at_another_gate_come_once_and_in_order_over_a_bus_that_restarts(gate, config, memory, nats, connect, upstream):
    near, far = (gate(config(memory, "vm")) for _ in range(2))
    connect(near.port, upstream.url)
    guest = enter(far, "vm")
    guest.ask("initialize", {})

    def restart() -> None:
        nats.stop()
        nats.start()

    numbered.tell(guest.say, upstream.heard, LAST, restart, CUTS)
    eventually(lambda: len(upstream.heard) >= LAST, 60, what="the last number at the upstream")
    assert upstream.heard == list(range(1, LAST + 1))
    assert guest.ask("still there?", {}) == {"asked": "still there?"}


def test_the_connector_comes_back_to_a_gate_that_was_restarted_as_the_host_that_it_was(gate, config, file, connect, network, upstream):
    whole = config(file, "vm")
    first = gate(whole)
    line = network(first.port)
    machine = connect(line.port, upstream.url)
    shown = serving(first)
    guest = enter(first, "vm")
    guest.ask("initialize", {})
    first.drain()
    assert guest.end() == table.close_of("draining")
    assert first.process.wait(20) == 0
    machine.wait(20, phase="errored", kind="relay_down", guests=0)
    second = gate(whole)
    line.far = second.port
    assert serving(second)["id"] == shown["id"]
    machine.wait(phase="connected", problem=None, server_id=shown["id"])
    assert enter(second, "vm").ask("initialize", {}) == {"asked": "initialize"}
    second.process.kill()
    third = gate(whole)
    line.far = third.port
    assert serving(third)["id"] == shown["id"]
    assert enter(third, "vm").ask("initialize", {}) == {"asked": "initialize"}


def test_a_credential_that_expired_is_told_and_its_successor_is_taken_from_the_file(gate, config, file, connect, network, upstream, credential):
    # So that the relay wants to see the account's credential whenever the host dials.
    door = gate(config(file, "vm", relay={"token_life": "1m"}))
    line = network(door.port)
    connector.put(credential, tokens.make(sub="ada", exp=8))
    machine = connect(line.port, upstream.url)
    shown = serving(door)
    guest = enter(door, "vm")
    guest.ask("initialize", {})
    eventually(lambda: not door_takes(door, credential), what="the end of the credential")
    line.cut()
    status = machine.wait(20, kind="expired", state="waiting_for_credential")
    assert "the relay says that the credential has expired" in status["problem"]["text"] and status["problem"]["mend"]
    assert machine.ready() == 503
    connector.put(credential, tokens.make(sub="ada", exp=600))
    machine.wait(5, phase="connected", problem=None, server_id=shown["id"])
    # The guest has waited for it.
    assert guest.ask("hello", {}) == {"asked": "hello"}


def test_a_host_that_is_forgotten_enrols_anew_and_one_that_is_revoked_says_so_and_waits(gate, config, file, connect, upstream):
    door = gate(config(file, "vm"))
    machine = connect(door.port, upstream.url)
    first = serving(door)
    guest = enter(door, "vm")
    guest.ask("initialize", {})
    portcullis(door, "hosts", "rm", first["id"])
    assert guest.end() == table.close_of("resource_unknown")
    second = serving(door, but=first["id"])
    machine.wait(phase="connected", problem=None, server_id=second["id"])
    assert [host["name"] for host in hosts(door)] == ["vm"]

    guest = enter(door, "vm")
    guest.ask("initialize", {})
    portcullis(door, "hosts", "revoke", second["id"])
    assert guest.end() == table.close_of("resource_unknown")
    status = machine.wait(20, kind="revoked", state="waiting_for_credential")
    assert status["problem"]["text"].startswith("the relay says that this host was revoked: "), status
    assert [host["state"] for host in hosts(door)] == ["revoked"]
    assert 'portcullis_connector_problem{kind="revoked"' in machine.metrics()
    assert machine.ready() == 503

    # Once it is forgotten, it may come again.
    portcullis(door, "hosts", "rm", second["id"])
    third = serving(door)
    machine.wait(phase="connected", problem=None, server_id=third["id"])


# Refused guests -------------------------------------------------------------------------------------------------------


def test_script_sees_the_code_and_the_reason_with_which_a_guest_is_refused(gate, config, file, browser):
    door = gate(config(file, "box", "nowhere", relay={"away": "1s"}, remote={"account": ADA},
                       carriers=["header", "subprotocol"], origin=[browser.pages]))
    enrol(door)
    orders = {
        "resource_unknown": ("/host/nowhere", "ada"),
        "not_owner": ("/host/box", "bob"),
        "upstream_unreachable": ("/host/box", "ada"),
    }
    [seen] = browser.visit(browser.pages, sockets(
        *(socket(door.ws(path), [tokens.own(tokens.make(sub=who)), "chat.v1"]) for path, who in orders.values())))
    got = {code: closed(events) for code, events in zip(orders, seen)}
    assert got == {code: table.close_of(code) for code in orders}
    for code in ("resource_unknown", "not_owner"):
        refused = door.wait_decision(message="refused", refusal=code)
        assert (refused["subject"], refused["carrier"], refused["close_code"]) == (orders[code][1], "subprotocol", table.TABLE[code].close)
    # Without an origin it is a response, as at the door.
    answer = ask(door.port, upgrade("/host/box", [("Authorization", f"Bearer {tokens.make(sub='bob')}")], host=door.authority))
    table.assert_denied(answer, "not_owner")


# Helpers --------------------------------------------------------------------------------------------------------------


def talk(guest: Guest, upstream: numbered.Upstream, cut) -> list[int]:
    """Has both tell each other numbers, with cuts by either; gives what the guest heard."""
    heard: list[int] = []

    def listen() -> None:
        while len(heard) < LAST:
            heard.append(guest.hear()["params"]["n"])

    threads = [
        threading.Thread(target=listen, daemon=True),
        threading.Thread(target=numbered.tell, args=(upstream.say, heard, LAST, cut, CUTS), daemon=True),
    ]
    for thread in threads:
        thread.start()
    numbered.tell(guest.say, upstream.heard, LAST, cut, CUTS)
    for thread in threads:
        thread.join(60)
    eventually(lambda: len(upstream.heard) >= LAST, 60, what="the last number at the upstream")
    return heard


def turns(guest: Guest) -> list[str]:
    """What was heard that must be heard once: answers, requests, and what tells of turns and their items."""
    heard = (message for message in guest.heard if "id" in message or message["method"].startswith(("turn/", "item/")))
    return [json.dumps(message, sort_keys=True) for message in heard]


def answers(events: list[dict]) -> list[dict]:
    return [json.loads(told["text"]) for told in events if told["event"] == "message"]


def door_takes(door, credential) -> bool:
    headers = [("Authorization", f"Bearer {credential.read_text()}")]
    return door.check("/host/vm", headers)["admitted"]
