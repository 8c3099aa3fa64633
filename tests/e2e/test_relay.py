"""The gate as a relay of remote control: the real `codex` as its host, guests by WebSocket, operators by the commands."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess

import pytest
from websockets.exceptions import InvalidStatus

from support import tokens
from support.gate import binary
from support.process import clean_env, eventually
from support.raw import ask, request, upgrade
from support.remote import Guest, Host, Model, Network

OPERATOR = f"operator-{tokens.MARK}-token"
ADA = f"{tokens.ISSUER}#ada"
CONTROL = "/backend-api/wham/remote/control"
NAME = socket.gethostname()
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
def config(files, tmp_path):
    """A gate where hosts dial, whose guests come in at `/host/NAME`."""
    operators = tmp_path / "operators.txt"
    operators.write_text(f"olga:{OPERATOR}\n")
    operators.chmod(0o600)

    def make(memory: dict, *names: str, port: int = 0, relay: dict | None = None, **guests) -> dict:
        dialled = {"name": "hosts", "path": "/backend-api/*", "upstream": "relay", "verifiers": ["jwt"], "relay": relay or {}}
        doors = [
            {"name": f"guests of {name}", "path": f"/host/{name}", "upstream": f"remote:{name}", "verifiers": ["jwt"], **guests}
            for name in names
        ]
        return {
            "listener": [{"url": f"ws://127.0.0.1:{port}"}],
            "verifier": {
                "jwt": {"kind": "hmac-jwt", "secret_files": [files["secret"]], "issuer": tokens.ISSUER, "audience": tokens.AUDIENCE},
                "operators": {"kind": "capability-token", "tokens_file": operators, "scopes": ["portcullis:admin"]},
            },
            "route": [dialled, *doors],
            "admin": {"listen": "127.0.0.1:0", "verifiers": ["operators"]},
            "limits": {"failed_handshakes": "1000000/m", "handshakes": "1000000/m"},
            **memory,
        }

    return make


@pytest.fixture
def host(cleanup, tmp_path, model):
    """Starts hosts of an account; each home is a machine."""

    def start(port: int, account: str = "ada", home: str = "host") -> Host:
        token = tokens.make(sub=account, exp=3600)
        machine = Host(tmp_path / home, port, model.url, token)
        cleanup.callback(machine.stop)
        return machine

    return start


def opened(gate, after: int = 0) -> dict:
    """Waits for a road, and gives the fields of its log line."""
    return gate.wait_record(lambda record: record.get("fields", {}).get("message") == "a road is open", 60, "a road", after)["fields"]


def test_the_real_host_enrols_and_serves_a_guest_through_a_turn_with_an_approval(gate, config, host, model, memory):
    door = gate(config(memory, NAME))
    host(door.port)
    opened(door)
    guest = Guest(door.ws(f"/host/{NAME}"), tokens.make(sub="ada"))
    assert guest.begin()["userAgent"]
    turn = guest.decline(guest.approval())
    assert turn["status"] == "completed", turn
    assert len(model.asked) == 2
    guest.close()
