"""A revocation reaches every gate: in whatever client, while the bus comes and goes, without the ledger, and when a gate was not there."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter

import pytest
import websockets
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support import browser as browser_
from support import node, operators, table, tokens
from support.operators import call, data, portcullis, ready
from support.process import eventually
from support.raw import Raw, upgrade
from support.sockets import admitted, assert_alive, assert_closed, assert_refused, bearer, opened, refusal
from support.upstreams import echo_frames

ALICE, BOB = bearer(tokens.ALICE), bearer(tokens.BOB)
REVOKED = table.close_of("revoked")

# A file does not go away, and needs nobody to tell of it.
SERVERS = pytest.mark.parametrize("memory", ["postgres and nats"], indirect=True)


@pytest.fixture
def config(files, raw_upstream, memory):
    upstream = raw_upstream(echo_frames)
    return lambda **route: operators.config(files, upstream.url, memory, **route)


@pytest.fixture
def two_gates(gate, config):
    def start(**route):
        shared = config(**route)
        one, other = gate(shared), gate(shared)
        operators.meet(one, other)
        return one, other

    return start


def revoke(door, subject: str) -> None:
    assert call(door, "POST", "/revocations", {"kind": "subject", "value": subject}).status == 201


# In whatever client ---------------------------------------------------------------------------------------------------


@SERVERS
def test_what_is_revoked_at_one_gate_is_told_to_clients_of_every_kind_at_the_other(two_gates, browser):
    one, other = two_gates(carriers=["header", "cookie:sid"], origin=[browser.pages])
    headers, seen = {"Authorization": f"Bearer {tokens.ALICE}"}, []

    def node_ws() -> None:
        seen.append(node.connect(other.ws("/"), headers=headers, wait=30))

    waiting = threading.Thread(target=node_ws)
    waiting.start()
    visit = browser.start(browser.pages, browser_.sockets(browser_.socket(other.ws("/"), wait=30_000)), cookies={"sid": tokens.ALICE})
    with connect(other.ws("/"), additional_headers=headers, proxy=None) as python, opened(other, BOB) as bob, opened(one, ALICE) as here:
        live = eventually(lambda: len(found := data(one, "sessions", "ls", "--subject", "alice")) == 4 and found, timeout=20)
        assert sorted(Counter(session["gate"] for session in live).values()) == [1, 3]
        assert sorted(session["carrier"] for session in live) == ["cookie", "header", "header", "header"]
        portcullis(one, "revoke", "add", "subject", "alice")
        with pytest.raises(ConnectionClosed) as closed:
            python.recv(timeout=10)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == REVOKED
        [[script]] = visit.results()
        assert browser_.closed(script) == REVOKED
        waiting.join(30)
        end = node.event(seen[0], "close")
        assert (end["code"], end["reason"]) == REVOKED
        assert_closed(here, "revoked")
        assert_alive(bob)


# While the bus comes and goes -----------------------------------------------------------------------------------------

# A gate looks by itself every two seconds; the rest is what a busy machine needs.
BOUND = 5.0
KILLS = 4


class Client:
    """A session that talks all the time, and notes how it ended."""

    def __init__(self, door, subject: str) -> None:
        self.door, self.subject = door, subject
        self.echoes = 0
        self.end: tuple[int, str] | None = None
        self.ended_at = 0.0

    async def live(self, is_open: asyncio.Event) -> None:
        token = tokens.make(sub=self.subject)
        async with websockets.connect(self.door.ws("/"), additional_headers=dict(bearer(token)), proxy=None) as socket:
            is_open.set()
            try:
                while True:
                    await socket.send(self.subject)
                    assert await socket.recv() == self.subject
                    self.echoes += 1
                    await asyncio.sleep(0.2)
            except ConnectionClosed as closed:
                self.end = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
                self.ended_at = time.monotonic()


class Crowd:
    """Sessions of each subject at both gates."""

    def __init__(self, doors, subjects: list[str]) -> None:
        self.clients = {subject: [Client(door, subject) for door in doors] for subject in subjects}
        self.revoked: dict[str, float] = {}

    async def enter(self, group: asyncio.TaskGroup) -> list[asyncio.Task]:
        tasks = []
        for client in (client for both in self.clients.values() for client in both):
            is_open = asyncio.Event()
            tasks.append(group.create_task(client.live(is_open)))
            await asyncio.wait_for(is_open.wait(), 10)
        return tasks

    async def revoke(self, door, subject: str) -> None:
        await asyncio.to_thread(revoke, door, subject)
        self.revoked[subject] = time.monotonic()

    async def more_are_revoked(self, count: int, most: int) -> int:
        """Waits for so many revocations, as long as there are `most` in all; gives how many there were."""
        before = len(self.revoked)
        while len(self.revoked) < min(before + count, most):
            await asyncio.sleep(0.02)
        return len(self.revoked) - before

    async def all_have_ended(self, subject: str) -> None:
        """Waits for the end of a revoked subject's sessions, and insists on how and when."""
        async with asyncio.timeout(30):
            while any(client.end is None for client in self.clients[subject]):
                await asyncio.sleep(0.02)
        for client in self.clients[subject]:
            assert client.end == REVOKED
            late = client.ended_at - self.revoked[subject]
            assert late < BOUND, f"{subject} lived for {late:.1f} s"


@SERVERS
@pytest.mark.timeout(120)
def test_a_bus_that_is_killed_again_and_again_under_load_loses_no_revocation(two_gates, nats):
    doors = two_gates()
    asyncio.run(revoked_while_the_bus_comes_and_goes(doors, nats))
    for door in doors:
        eventually(lambda: "bus" not in ready(door)[1], timeout=20)


async def revoked_while_the_bus_comes_and_goes(doors, nats) -> None:
    some, kept, last = ([f"{kind}{number}" for number in range(count)] for kind, count in (("revoked", 90), ("kept", 10), ("last", 4)))
    crowd = Crowd(doors, [*some, *kept, *last])
    async with asyncio.TaskGroup() as group:
        tasks = await crowd.enter(group)

        async def kill_and_start() -> int:
            untold = 0
            for kill in range(KILLS):
                await asyncio.to_thread(nats.stop)
                try:
                    untold += await crowd.more_are_revoked(5, len(some))
                    if kill % 2:
                        # Nobody tells the other gate of these.
                        await crowd.all_have_ended(list(crowd.revoked)[-1])
                finally:
                    await asyncio.to_thread(nats.start)
                await crowd.more_are_revoked(5, len(some))
            return untold

        killer = group.create_task(kill_and_start())
        # All at one: who revokes has looked by itself.
        for subject in some:
            await crowd.revoke(doors[0], subject)
            await asyncio.sleep(0.1)
        assert await asyncio.wait_for(killer, 30) >= KILLS * 5 / 2, "too few were revoked while the bus was away"
        for subject in some:
            await crowd.all_have_ended(subject)
        # And with the bus back, one at a time.
        for number, subject in enumerate(last):
            await crowd.revoke(doors[number % 2], subject)
            await crowd.all_have_ended(subject)
        before = {client: client.echoes for subject in kept for client in crowd.clients[subject]}
        while any(client.echoes < echoes + 2 for client, echoes in before.items()):
            assert all(client.end is None for client in before)
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()


# Without the ledger ---------------------------------------------------------------------------------------------------


@SERVERS
@pytest.mark.parametrize("how", ["cut", "hold"])
def test_a_gate_that_is_cut_off_from_the_ledger_alone_makes_up_for_it_when_it_is_back(gate, config, postgres, cable, how):
    """The bus tells it that there is something to read, and it cannot: nobody new comes in, until it has read."""
    shared = config()
    shared["ledger"]["max_stale"] = "1s"
    other = gate(shared)
    cut_off = gate({**shared, "ledger": {**shared["ledger"], "url": postgres.last_database_at(cable.port)}})
    operators.meet(other, cut_off)
    key = data(other, "key", "new", "--owner", "ada")["key"]
    alice, bob, ada = opened(cut_off, ALICE), opened(cut_off, BOB), opened(cut_off, bearer(key))
    getattr(cable, how)()
    try:
        revoke(other, "alice")
        revoke(other, "ada")
        eventually(lambda: ready(cut_off)[0] == 503, timeout=20)
        assert "ledger" in ready(cut_off)[1]
        for headers in (ALICE, BOB, bearer(tokens.make(sub="carol"))):
            assert_refused(cut_off, headers, "overloaded")
        assert refusal(cut_off, bearer(key)) in ("overloaded", "keys_unavailable")
        assert call(cut_off, "POST", "/revocations", {"kind": "subject", "value": "bob"}).status == 503
        for session in (alice, bob, ada):
            assert_alive(session)
        assert ready(other)[0] == 200
        assert admitted(other, BOB)
        assert_refused(other, ALICE, "revoked")
    finally:
        cable.mend()
    # From now on whoever is let in was looked up in what was read.
    eventually(lambda: assert_not_admitted(cut_off, ALICE) == "revoked", timeout=20)
    for session in (alice, ada):
        assert_closed(session, "revoked")
    eventually(lambda: ready(cut_off)[0] == 200, timeout=20)
    assert admitted(cut_off, BOB)
    assert_alive(bob)


def assert_not_admitted(door, headers) -> str:
    code = refusal(door, headers)
    assert code in ("overloaded", "revoked")
    return code


# When a gate was not there --------------------------------------------------------------------------------------------


def test_a_gate_that_starts_or_wakes_after_a_revocation_neither_admits_nor_keeps_what_was_revoked(gate, config):
    shared = config()
    awake, asleep, stopped = gate(shared), gate(shared), gate(shared)
    alice, bob = opened(asleep, ALICE), opened(asleep, BOB)
    stopped.stop()
    asleep.process.signal(signal.SIGSTOP)
    try:
        portcullis(awake, "revoke", "add", "subject", "alice")
        # One who is in the queue of a gate that sleeps.
        queued = Raw(asleep.port).send(upgrade("/", ALICE, host=asleep.authority))
    finally:
        asleep.process.signal(signal.SIGCONT)
    assert_closed(alice, "revoked")
    answer = queued.response()
    if answer.status == 101:
        assert_closed(queued, "revoked")
    assert_refused(asleep, ALICE, "revoked")
    assert_alive(bob)
    # It starts again, and one more for the first time.
    for late in (gate(shared), gate(shared)):
        assert_refused(late, ALICE, "revoked")
        assert admitted(late, BOB)
