"""One Node WebSocket client a call; gives what it saw as a list of events."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .process import clean_env

CLIENT = Path(__file__).resolve().parent.parent / "node" / "client.mjs"


def connect(url: str, *, kind: str = "ws", wait: float = 10, **order) -> list[dict]:
    argv = ["node", "--no-warnings", "--experimental-websocket", str(CLIENT), json.dumps({"kind": kind, "url": url, "wait": int(wait * 1000), **order})]
    result = subprocess.run(argv, env=clean_env(), capture_output=True, text=True, timeout=wait + 15, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def event(events: list[dict], name: str) -> dict:
    found = [e for e in events if e["event"] == name]
    assert len(found) == 1, f"one {name!r} wanted in {events}"
    return found[0]
