"""The gate under test: the real binary on port 0, its banner, its logs, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from . import tokens
from .process import Process, clean_env, eventually
from .raw import ask, request

PROJECT = Path(__file__).resolve().parents[3]


def binary() -> str:
    named = os.environ.get("PORTCULLIS_BIN")
    if named:
        return named
    for profile in ("release", "debug"):
        built = PROJECT / "target" / profile / "portcullis"
        if built.exists():
            return str(built)
    raise AssertionError("no gate: build it, or set PORTCULLIS_BIN")


def toml(data: dict) -> str:
    """A small TOML writer, for the shapes that a config has."""

    def value(item) -> str:
        if isinstance(item, bool):
            return "true" if item else "false"
        if isinstance(item, (str, Path)):
            return json.dumps(str(item))
        if isinstance(item, (list, tuple)):
            return "[" + ", ".join(value(part) for part in item) + "]"
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in item.items()) + " }"
        return str(item)

    inline = {"codes", "claims"}
    lines: list[str] = []

    def table(prefix: str, content: dict, header: str | None) -> None:
        if header:
            lines.append(header)
        for key, item in content.items():
            if not is_table(key, item):
                lines.append(f"{key} = {value(item)}")
        for key, item in content.items():
            if is_table(key, item):
                name = f"{prefix}{key}"
                if isinstance(item, list):
                    for part in item:
                        table(name + ".", part, f"\n[[{name}]]")
                else:
                    table(name + ".", item, f"\n[{name}]")

    def is_table(key: str, item) -> bool:
        if key in inline:
            return False
        return isinstance(item, dict) or (isinstance(item, list) and bool(item) and isinstance(item[0], dict))

    table("", data, None)
    return "\n".join(lines) + "\n"


class Gate:
    def __init__(self, argv: list[str], *, env: dict | None = None, cwd=None, config_file: Path | None = None,
                 listeners: int = 1, admin: bool = False) -> None:
        self.config_file = config_file
        self.process = Process([binary(), *argv], env=env, cwd=cwd)
        try:
            self.urls: list[str] = self.process.err.wait(lambda lines: banner(lines, listeners), what="banner")
            self.admin_url = None
            if admin:
                self.admin_url = self.process.err.wait(lambda lines: first_url("admin:", lines), what="admin line")
        except BaseException:
            self.process.stop()
            raise

    @property
    def port(self) -> int:
        return urlsplit(self.urls[0]).port

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ws(self, path: str = "/") -> str:
        return f"ws://{self.authority}{path}"

    def http(self, path: str = "/") -> str:
        return f"http://{self.authority}{path}"

    # Logs ---------------------------------------------------------------------------------------------------------

    def records(self) -> list[dict]:
        return parse_records(self.process.err.snapshot())

    def wait_record(self, found: Callable[[dict], bool], timeout: float = 10, what: str = "log record", after: int = 0) -> dict:
        def search(lines):
            return next((r for r in parse_records(lines)[after:] if found(r)), None)

        return self.process.err.wait(search, timeout, what)

    def decisions(self, message: str | None = None) -> list[dict]:
        fields = [r["fields"] for r in self.records() if r.get("target") == "portcullis::decision"]
        return [f for f in fields if message is None or f["message"] == message]

    def wait_decision(self, timeout: float = 10, after: int = 0, **want) -> dict:
        return self._wait_fields("portcullis::decision", want, timeout, after)

    def wait_session_end(self, timeout: float = 10, after: int = 0, **want) -> dict:
        return self._wait_fields("portcullis::session", want, timeout, after)

    def _wait_fields(self, target: str, want: dict, timeout: float, after: int) -> dict:
        def fits(record: dict) -> bool:
            fields = record.get("fields", {})
            return record.get("target") == target and all(fields.get(k) == v for k, v in want.items())

        return self.wait_record(fits, timeout, f"{target} with {want}", after)["fields"]

    # Life ---------------------------------------------------------------------------------------------------------

    def alive(self) -> bool:
        return self.process.alive()

    def check(self, route: str, headers=()) -> dict:
        answer = ask(self.port, request("GET", f"/.portcullis/check?route={route}", headers, host=self.authority))
        assert answer.status == 200, (answer.status, answer.body)
        return json.loads(answer.body)

    def metrics(self) -> str:
        return ask(urlsplit(self.admin_url).port, request("GET", "/metrics")).text

    def sessions(self) -> int:
        """How many sessions the gate counts as live, by its own metrics."""
        total = 0
        for line in self.metrics().splitlines():
            if re.match(r"^portcullis_sessions(_active|_live|_open)?(\{|\s)", line):
                total += int(float(line.rsplit(" ", 1)[1]))
        return total

    def write_config(self, config: dict | str) -> None:
        text = config if isinstance(config, str) else toml(config)
        fresh = self.config_file.with_suffix(".next")
        fresh.write_text(text)
        fresh.replace(self.config_file)

    def reload(self, config: dict | str) -> None:
        """Writes the config, sends SIGHUP and waits for the log to say that it was taken or left."""
        after = len(self.records())
        self.write_config(config)
        self.process.signal(signal.SIGHUP)
        ends = ("reloaded", "reload failed")
        self.wait_record(lambda r: r.get("fields", {}).get("message", "").startswith(ends), what="reload record", after=after)

    def drain(self) -> None:
        self.process.signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ends the gate, and insists on what must be true of every gate that ever ran."""
        was_alive = self.alive()
        code = self.process.stop()
        assert was_alive, f"the gate ended by itself with {code}:\n{self.process.err.text()}"
        self.look()
        return code

    def look(self) -> None:
        """No panic, and no credential, in anything that the gate ever printed."""
        text = self.process.err.text() + self.process.out.text()
        assert "panicked" not in text, text
        assert tokens.MARK not in text, "a secret stands in the output:\n" + text
        leaked = [token for token in tokens.issued if token in text]
        assert not leaked, "a JWT stands in the output:\n" + text


def banner(lines: list[str], count: int) -> list[str] | None:
    urls = [m.group(1) for line in lines if (m := re.search(r"listening on: (\S+)", line))]
    healthy = any("healthz:" in line for line in lines)
    return urls if len(urls) >= count and healthy else None


def first_url(label: str, lines: list[str]) -> str | None:
    return next((line.split(label, 1)[1].strip() for line in lines if label in line), None)


def parse_records(lines: list[str]) -> list[dict]:
    records = []
    for line in lines:
        if line.startswith("{"):
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
    return records


def run(*argv: str, env: dict | None = None, cwd=None, timeout: float = 15, stdin: bytes | None = None) -> subprocess.CompletedProcess:
    """Runs the binary to its end: refused starts and one-shot commands."""
    return subprocess.run([binary(), *map(str, argv)], env=clean_env(env), cwd=cwd, timeout=timeout, capture_output=True, input=stdin,
                          text=stdin is None, stdin=subprocess.DEVNULL if stdin is None else None)


__all__ = ["Gate", "binary", "eventually", "run", "toml"]
