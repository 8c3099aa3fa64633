"""The real `codex app-server`, the real client, and the mock model that lets turns run without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .process import Process, clean_env, eventually

CODEX = Path(__file__).resolve().parent.parent / "node" / "node_modules" / ".bin" / "codex"
REPLY = "The model says moonstone."

# What the stock client says (CLI 0.169.0) when it got through, and when it did not.
THROUGH = "Error: No archived session found matching 'nosuch'."
REFUSED = "Error: failed to connect to remote app server"


class MockModel:
    """Answers `POST /v1/responses` with one short assistant message as server-sent events."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                item = {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": REPLY}]}
                usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None, "total_tokens": 2}
                events = [
                    {"type": "response.created", "response": {"id": "resp_1"}},
                    {"type": "response.output_item.done", "item": item},
                    {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}},
                ]
                body = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def write_home(home: Path, model_url: str | None) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    if model_url:
        (home / "config.toml").write_text(
            f"""model = "mock-model"
model_provider = "mock_provider"
approval_policy = "never"
sandbox_mode = "read-only"
check_for_update_on_startup = false
[model_providers.mock_provider]
name = "mock"
base_url = "{model_url}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
        )
    return home


class AppServer:
    def __init__(self, home: Path, *auth: str, unix: Path | None = None, extra: tuple[str, ...] = ()) -> None:
        listen = f"unix://{unix}" if unix else "ws://127.0.0.1:0"
        env = {"CODEX_HOME": str(home), "CODEX_INTERNAL_APP_SERVER_REMOTE_CONTROL_DISABLED": "1"}
        self.process = Process([str(CODEX), "--disable", "plugins", *extra, "app-server", "--listen", listen, *auth], env=env, cwd=home)
        try:
            if unix:
                # It says nothing there, but the socket is its to make.
                eventually(lambda: unix.exists() or not self.process.alive(), 20, what="the app-server's socket")
            else:
                self.process.err.wait(lambda lines: any("listening on:" in line for line in lines), 20, "app-server banner")
        except BaseException:
            self.process.stop()
            raise
        found = re.search(r"listening on: ws://127\.0\.0\.1:(\d+)", self.process.err.text())
        self.port = int(found.group(1)) if found else 0
        self.url = f"unix:{unix}" if unix else f"ws://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.stop()


def refused_start(home: Path, *args: str, timeout: float = 15) -> subprocess.CompletedProcess:
    """`codex app-server` with arguments that it must not accept."""
    env = clean_env({"CODEX_HOME": str(home)})
    return subprocess.run([str(CODEX), "app-server", *args], env=env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def unarchive(home: Path, remote: str, token: str | None, *, env: dict | None = None) -> subprocess.CompletedProcess:
    """The cheapest oracle: a headless command that needs a whole JSON-RPC round trip to say what it says."""
    extra = {"CODEX_HOME": str(home), **(env or {})}
    argv = [str(CODEX), "unarchive", "--remote", remote]
    if token is not None:
        extra["GATE_TOKEN"] = token
        argv += ["--remote-auth-token-env", "GATE_TOKEN"]
    return subprocess.run([*argv, "nosuch"], env=clean_env(extra), capture_output=True, text=True, timeout=40, stdin=subprocess.DEVNULL)


def said(result: subprocess.CompletedProcess) -> str:
    """The one line of the client's stderr that counts."""
    return next((line for line in result.stderr.splitlines() if line.startswith("Error:")), result.stderr)


class Tmux:
    """One terminal on a tmux server of its own, with a socket name that nobody else has."""

    def __init__(self, name: str, command: str, env: dict[str, str], cwd: Path) -> None:
        self.name = name
        whole = clean_env(env)
        whole.pop("TMUX", None)
        whole["TERM"] = "xterm-256color"
        self.env = whole
        subprocess.run(["tmux", "-L", name, "-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "40", command],
                       env=whole, cwd=cwd, check=True, timeout=10)

    def screen(self) -> str:
        result = subprocess.run(["tmux", "-L", self.name, "capture-pane", "-p"], env=self.env, capture_output=True, text=True, timeout=10)
        return result.stdout

    def keys(self, *keys: str) -> None:
        subprocess.run(["tmux", "-L", self.name, "send-keys", *keys], env=self.env, check=True, timeout=10)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.name, "kill-server"], env=self.env, capture_output=True, timeout=10)
