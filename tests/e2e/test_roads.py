"""Roads from end to end: two gates and the real `codex`, and `portcullis connect` as the host of our own relay."""

from __future__ import annotations

import contextlib
import json

import pytest

from support import relay, table, tokens
from support.operators import portcullis
from support.relay import ADA, NAME, enter, hosts, pair, serving, told
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


def turns(guest: Guest) -> list[str]:
    """What was heard that must be heard once: answers, requests, and what tells of turns and their items."""
    heard = (message for message in guest.heard if "id" in message or message["method"].startswith(("turn/", "item/")))
    return [json.dumps(message, sort_keys=True) for message in heard]


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
