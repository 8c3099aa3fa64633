"""The config that most tests start from, as a dict that each test may change."""

from __future__ import annotations

import copy
from pathlib import Path

from . import tokens


def write_files(folder: Path) -> dict[str, Path]:
    """Token and secret files, as an operator would keep them."""
    files = {
        "tokens": ("tokens.txt", f"alice:{tokens.ALICE}\nbob:{tokens.BOB}\n"),
        "one": ("one.txt", tokens.ALICE + "\n"),
        "secret": ("secret.txt", tokens.SECRET + "\n"),
        "upstream": ("upstream.txt", f"upstream-{tokens.MARK}\n"),
    }
    written = {}
    for name, (file, content) in files.items():
        path = folder / file
        path.write_text(content)
        path.chmod(0o600)
        written[name] = path
    return written


def base(files: dict[str, Path], upstream: str, *, session: dict | None = None, limits: dict | None = None, top: dict | None = None, **route) -> dict:
    """One listener, two verifiers, one route for everything; keyword arguments go into the route."""
    config: dict = {
        "listener": [{"url": "ws://127.0.0.1:0"}],
        "verifier": {
            "tokens": {"kind": "capability-token", "tokens_file": files["tokens"], "scopes": ["chat"]},
            "jwt": {
                "kind": "hmac-jwt",
                "algorithm": "HS256",
                "secret_files": [files["secret"]],
                "issuer": tokens.ISSUER,
                "audience": tokens.AUDIENCE,
                "max_clock_skew": "0s",
            },
        },
        "route": [{"name": "chat", "path": "/*", "upstream": upstream, "verifiers": ["tokens", "jwt"], **route}],
    }
    # Every test comes from one address; what throttles it is tested where it is meant.
    config["limits"] = {"failed_handshakes": "1000000/m", "handshakes": "1000000/m"}
    if session:
        config["route"][0]["session"] = session
    if limits:
        config["route"][0]["limits"] = limits
    config.update(copy.deepcopy(top or {}))
    return config
