"""A host that dials from here: the real program as `portcullis connect`, and what its operator asks it."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

from . import tokens
from .gate import binary, parse_records, run
from .process import Process, eventually
from .raw import ask, request

# What is promised is a fifth of a second. Two cores that others use as well may need longer to notice.
AT_ONCE = 0.5


def login(token: str = tokens.ALICE, account: str | None = "acme") -> dict:
    """What the agent writes when somebody has logged in."""
    held = {"id_token": "e30.e30.", "access_token": token, "refresh_token": "refresh", "account_id": account}
    return {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": held, "last_refresh": "2026-01-01T00:00:00Z"}


API_KEY = {"auth_mode": "apikey", "OPENAI_API_KEY": f"sk-{tokens.MARK}", "tokens": None}


def put(path: Path, content: object) -> None:
    """Puts a credential into place as a careful program does: by renaming."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(content if isinstance(content, str) else json.dumps(content))
    fresh.chmod(0o600)
    fresh.replace(path)


class Host:
    def __init__(self, relay: str, *flags, state: Path, env: dict | None = None, name: str = "vm") -> None:
        self.state = state
        argv = [binary(), "connect", "--relay", relay, "--name", name, "--state-dir", state, "--log-format", "json", "--admin", "127.0.0.1:0", *flags]
        self.process = Process(argv, env=env)
        try:
            banner = self.process.err.wait(lambda lines: next((line for line in lines if "admin: http" in line), None), what="banner")
        except BaseException:
            self.process.stop()
            raise
        self.admin = banner.split("admin:", 1)[1].strip()

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_exc) -> None:
        self.process.stop()
        self.look()

    # What its operator asks ----------------------------------------------------------------------------------------

    def status(self) -> dict:
        answer = self.call("GET")
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def order(self, is_enabled: bool):
        return self.call("POST", json.dumps({"enabled": is_enabled}).encode())

    def call(self, method: str, body: bytes = b"", token: str | None = None):
        bearer = token or (self.state / "token").read_text().strip()
        headers = [("Authorization", f"Bearer {bearer}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        return ask(urlsplit(self.admin).port, request(method, "/api/v1/connector", headers, body=body))

    def metrics(self) -> str:
        return ask(urlsplit(self.admin).port, request("GET", "/metrics")).text

    def ready(self) -> int:
        return ask(urlsplit(self.admin).port, request("GET", "/readyz")).status

    def cli(self, command: str, *flags):
        return run("hosts", command, "--admin", self.admin, "--token-file", str(self.state / "token"), *flags)

    # What can be waited for ----------------------------------------------------------------------------------------

    def wait(self, timeout: float = 10, **want) -> dict:
        """Waits until the status is like `want`; `kind` is that of the problem."""

        def fits() -> dict | None:
            status = self.status()
            seen = {**status, "kind": (status["problem"] or {}).get("kind")}
            return status if all(seen[key] == value for key, value in want.items()) else None

        try:
            return eventually(fits, timeout, what=f"{want}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}\n{self.process.err.text()[-3000:]}") from None

    def warnings(self) -> list[dict]:
        return [r["fields"] for r in parse_records(self.process.err.snapshot()) if r["level"] == "WARN"]

    def base_url(self) -> str:
        """The URL of its door; its secret is in the file that the banner names."""
        found = re.search(r"chatgpt_base_url: (\S+) \(SECRET stands in (.+)\)", self.process.err.text())
        assert found, self.process.err.text()
        return found.group(1).replace("SECRET", Path(found.group(2)).read_text().strip())

    # Its end -------------------------------------------------------------------------------------------------------

    def ends_at_once(self, number: int = signal.SIGTERM) -> None:
        begun = time.monotonic()
        self.process.signal(number)
        code = self.process.popen.wait(10)
        took = time.monotonic() - begun
        assert code == 0, (code, self.process.err.text())
        assert took < AT_ONCE, f"it took {took:.3f} s"

    def look(self) -> None:
        """No panic, and no credential, in anything that it printed."""
        self.process.err.wait_end()
        text = self.process.err.text() + self.process.out.text()
        assert "panicked" not in text, text
        assert tokens.MARK not in text, "a secret stands in the output:\n" + text
