"""A gate as the relay of hosts: its config, what its operators and its log say, and who comes to it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from . import operators, tokens
from .gate import Gate
from .process import eventually
from .raw import ask, request
from .remote import Guest

ADA = f"{tokens.ISSUER}#ada"
CONTROL = "/backend-api/wham/remote/control"
# What the real host calls itself.
NAME = socket.gethostname()


def config(files: dict[str, Path], memory: dict, *names: str, port: int = 0, relay: dict | None = None, **guests) -> dict:
    """A gate where hosts dial, whose guests come in at `/host/NAME`; keyword arguments go into the guests' routes."""
    file = files["secret"].parent / "operators.txt"
    file.write_text(f"olga:{operators.OPERATOR}\n")
    file.chmod(0o600)
    dialled = {"name": "hosts", "path": "/backend-api/*", "upstream": "relay", "verifiers": ["jwt"], "relay": relay or {}}
    doors = [
        {"name": f"guests of {name}", "path": f"/host/{name}", "upstream": f"remote:{name}", "verifiers": ["jwt"], **guests}
        for name in names
    ]
    return {
        "listener": [{"url": f"ws://127.0.0.1:{port}"}],
        "verifier": {
            "jwt": {"kind": "hmac-jwt", "secret_files": [files["secret"]], "issuer": tokens.ISSUER, "audience": tokens.AUDIENCE,
                    "max_clock_skew": "0s"},
            "operators": {"kind": "capability-token", "tokens_file": file, "scopes": ["portcullis:admin"]},
        },
        "route": [dialled, *doors],
        "admin": {"listen": "127.0.0.1:0", "verifiers": ["operators"]},
        "limits": {"failed_handshakes": "1000000/m", "handshakes": "1000000/m"},
        **memory,
    }


def hosts(door: Gate) -> list[dict]:
    return operators.data(door, "hosts", "ls")


def serving(door: Gate, but: str = "") -> dict:
    """Waits for a host, another one than `but`, whose road is open."""

    def found():
        return next((host for host in hosts(door) if host["state"] == "open" and host["id"] != but), None)

    return eventually(found, 60, every=0.1, what="an open road")


def told(door: Gate, message: str, after: int = 0, **fields) -> dict:
    """Waits for a line of the relay."""

    def fits(record: dict) -> bool:
        found = record.get("fields", {})
        begins = found.get("message", "").startswith(message)
        return record.get("target") == "portcullis::remote" and begins and all(found.get(k) == v for k, v in fields.items())

    return door.wait_record(fits, 60, message, after)["fields"]


def enter(door: Gate, name: str = NAME, account: str = "ada") -> Guest:
    return Guest(door.ws(f"/host/{name}"), tokens.make(sub=account))


def post(door: Gate, path: str, token: str, body: dict, headers=()):
    data = json.dumps(body).encode()
    lines = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers]
    return ask(door.port, request("POST", f"{CONTROL}/{path}", lines, host=door.authority, body=data))


def enrol(door: Gate, account: str = "ada", name: str = "box", installation: str = "i1") -> dict:
    """Enrols a machine that is played by hand."""
    body = {"name": name, "os": "linux", "arch": "x86_64", "app_server_version": "1", "installation_id": installation}
    answer = post(door, "server/enroll", tokens.make(sub=account), body)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def pair(door: Gate, guest: Guest, account: str) -> None:
    """Lets an account reach the host of `guest`, by a code that the host asks for."""
    code = guest.ask("remoteControl/pairing/start", {"manualCode": True})["manualPairingCode"]
    claimed = post(door, "pair/claim", tokens.make(sub=account), {"manual_pairing_code": code, "display_name": f"{account}'s phone"})
    assert claimed.status == 200, claimed.text
