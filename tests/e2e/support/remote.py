"""The real `codex` as a host of the relay, the network before it, a model that asks for an approval, and guests."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .appserver import CODEX
from .process import Process

CONFIG = """chatgpt_base_url = "http://127.0.0.1:{port}/backend-api/"
cli_auth_credentials_store = "file"
check_for_update_on_startup = false
model = "mock"
model_provider = "mock"
approval_policy = "on-request"

[analytics]
enabled = false

[feedback]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false

[model_providers.mock]
name = "mock"
base_url = "{model}"
wire_api = "responses"
requires_openai_auth = false
"""


class Host:
    """`codex app-server`, reachable by its road alone, with a home in which `token` is that of its account."""

    def __init__(self, home: Path, port: int, model: str, token: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.toml").write_text(CONFIG.format(port=port, model=model))
        (home / "auth.json").write_text(json.dumps({
            "auth_mode": "chatgpt", "OPENAI_API_KEY": None,
            "tokens": {"id_token": id_token(), "access_token": token, "refresh_token": "none", "account_id": "acc"},
            "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }))
        env = {"CODEX_HOME": str(home), "HOME": str(home), "CODEX_REFRESH_TOKEN_URL_OVERRIDE": f"http://127.0.0.1:{port}/oauth/token"}
        self.home = home
        self.process = Process([str(CODEX), "app-server", "--listen", "off", "--remote-control"], env=env, cwd=home)

    def stop(self) -> None:
        self.process.stop()


def id_token() -> str:
    """As a login leaves it; nobody checks its signature."""

    def part(value: dict | bytes) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    about = {"chatgpt_account_id": "acc", "chatgpt_user_id": "ada", "user_id": "ada", "chatgpt_plan_type": "pro"}
    claims = {"email": "ada@example.com", "exp": 4_000_000_000, "https://api.openai.com/auth": about}
    return ".".join([part({"alg": "none", "typ": "JWT"}), part(claims), part(b"signature")])


class Network:
    """What is between the host and the gate: it can be cut, and its other end can move."""

    def __init__(self, port: int) -> None:
        self.far = port
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cuts all that is connected now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                shut(end)

    def close(self) -> None:
        shut(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.far), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._pairs.add((near, far))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    shut(one)
    shut(other)


def shut(end: socket.socket) -> None:
    """Wakes whoever reads it, and closes it."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


class Model:
    """Asks for a command that needs an approval, and is content with what comes of it; `asked` has what it was sent."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.asked.append(request)
                body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in answer(request)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(request: dict) -> list[dict]:
    outputs = [item for item in request["input"] if item["type"] == "function_call_output"]
    if outputs:
        item = {"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": "Well."}]}
    else:
        arguments = {"cmd": "touch made", "sandbox_permissions": "require_escalated", "justification": "to see"}
        item = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "exec_command", "arguments": json.dumps(arguments)}
    usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None, "total_tokens": 2}
    return [
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": {"id": "r1", "usage": usage}},
    ]


class Guest:
    """A client of a host: what it says and hears is JSON-RPC. `heard` keeps all of it, in order."""

    def __init__(self, url: str, token: str) -> None:
        self.heard: list[dict] = []
        self._next = 0
        self.socket = connect(url, additional_headers={"Authorization": f"Bearer {token}"}, compression=None, proxy=None, open_timeout=20)

    def say(self, message: dict) -> None:
        self.socket.send(json.dumps(message))

    def hear(self, timeout: float = 60) -> dict:
        message = json.loads(self.socket.recv(timeout=timeout))
        self.heard.append(message)
        return message

    def ask(self, method: str, params: dict) -> dict:
        """The result of a request, whatever is heard before."""
        self._next += 1
        number = self._next
        self.say({"id": number, "method": method, "params": params})
        told = self.until(lambda message: message.get("id") == number and "method" not in message)
        assert "result" in told, told
        return told["result"]

    def until(self, found) -> dict:
        while True:
            message = self.hear()
            if found(message):
                return message

    def named(self, method: str) -> dict:
        return self.until(lambda message: message.get("method") == method)

    def begin(self) -> dict:
        info = {"name": "guest", "title": "Guest", "version": "1"}
        result = self.ask("initialize", {"clientInfo": info, "capabilities": {"experimentalApi": True}})
        self.say({"method": "initialized"})
        return result

    def approval(self) -> dict:
        """Begins a turn, up to the approval that its command needs."""
        thread = self.ask("thread/start", {})["thread"]["id"]
        self.ask("turn/start", {"threadId": thread, "input": [{"type": "text", "text": "do it", "text_elements": []}]})
        return self.named("item/commandExecution/requestApproval")

    def decline(self, approval: dict) -> dict:
        """Declines it, and waits for the end of the turn."""
        self.say({"id": approval["id"], "result": {"decision": "decline"}})
        return self.named("turn/completed")["params"]["turn"]

    def end(self, timeout: float = 30) -> tuple[int, str]:
        """The code and the reason with which it is closed."""
        try:
            while True:
                self.hear(timeout)
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason

    def close(self) -> None:
        self.socket.close()
