"""What operators have: a config with an admin API, the commands, the API itself, and what `/readyz` tells them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from . import configs, tokens
from .gate import Gate, binary
from .process import clean_env, eventually
from .raw import Response, ask, request
from .sockets import bearer, opened

OPERATOR = f"operator-{tokens.MARK}-token"


def config(files: dict[str, Path], upstream: str, memory: dict, **route) -> dict:
    """One route for tokens, JWTs and API keys, an admin API for operators, and the memory."""
    operators = files["tokens"].parent / "operators.txt"
    operators.write_text(f"olga:{OPERATOR}\n")
    operators.chmod(0o600)
    made = configs.base(files, upstream, **{"verifiers": ["tokens", "jwt", "keys"], **route}, top=memory)
    made["verifier"]["keys"] = {"kind": "api-key"}
    made["verifier"]["operators"] = {"kind": "capability-token", "tokens_file": operators, "scopes": ["portcullis:admin"]}
    made["admin"] = {"listen": "127.0.0.1:0", "verifiers": ["operators"]}
    return made


def portcullis(door: Gate, *argv: str, code: int = 0, token: str = OPERATOR) -> str:
    """What a command prints, which must end with `code`."""
    env = {"PORTCULLIS_ADMIN": door.admin_url, "PORTCULLIS_ADMIN_TOKEN": token}
    ran = subprocess.run([binary(), *argv], env=clean_env(env), capture_output=True, text=True, timeout=30)
    assert ran.returncode == code, (argv, ran.stdout, ran.stderr)
    assert OPERATOR not in ran.stdout + ran.stderr
    return ran.stdout or ran.stderr


def data(door: Gate, *argv: str):
    return json.loads(portcullis(door, *argv, "--json"))


def call(door: Gate, method: str, path: str, body: dict | None = None) -> Response:
    """One request to the admin API: quicker than a command."""
    headers = bearer(OPERATOR)
    text = b""
    if body is not None:
        text = json.dumps(body).encode()
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
    port = urlsplit(door.admin_url).port
    return ask(port, request(method, f"/api/v1{path}", headers, host=f"127.0.0.1:{port}", body=text))


def ready(door: Gate) -> tuple[int, str]:
    answer = ask(urlsplit(door.admin_url).port, request("GET", "/readyz"))
    return answer.status, answer.text


def meet(one: Gate, other: Gate) -> None:
    """Waits until each hears of the other's sessions: a gate takes arrivals before the bus has heard of it."""
    probe = opened(other, bearer(tokens.ALICE))
    eventually(lambda: len(data(one, "sessions", "ls")) == 1)
    probe.close()
    back = opened(one, bearer(tokens.ALICE))
    eventually(lambda: [session["gate"] for session in data(other, "sessions", "ls")] != [])
    back.close()
    eventually(lambda: data(one, "sessions", "ls") == [])
