"""A Chromium that pytest gives orders to: one process for a module, one page of its own for each order."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

from .process import Process

RUNNER = Path(__file__).resolve().parent.parent / "node" / "browser.mjs"


class Browser:
    def __init__(self) -> None:
        self.process = Process(["node", RUNNER], stdin=subprocess.PIPE)
        self._ids = itertools.count(1)
        try:
            started = self.process.out.wait(lambda lines: next((json.loads(line) for line in lines), None), 30, "browser")
        except BaseException:
            self.process.stop()
            raise
        # A blank page: a gate serves it as its own, and to the gate it is a foreign page by itself.
        self.page_port: int = started["port"]
        self.pages = f"http://127.0.0.1:{self.page_port}"

    def start(self, url: str, *steps: dict, cookies: dict[str, str] | None = None, trusts: bool = False) -> "Visit":
        """Opens `url` and takes the steps there, while the test does something else; `trusts` whoever it meets over TLS."""
        number = next(self._ids)
        host = "/".join(url.split("/", 3)[:3])
        jar = [{"name": name, "value": value, "url": host} for name, value in (cookies or {}).items()]
        order = {"id": number, "open": url, "cookies": jar, "trusts": trusts, "steps": steps}
        self.process.popen.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.popen.stdin.flush()
        return Visit(self, number)

    def visit(self, url: str, *steps: dict, timeout: float = 30, **kwargs) -> list:
        """Opens `url`, takes the steps there and gives what each of them saw."""
        return self.start(url, *steps, **kwargs).results(timeout)

    def stop(self) -> None:
        """The runner ends its browser when its input ends; what is left of the group is killed."""
        self.process.popen.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        self.process.kill()


class Visit:
    def __init__(self, browser: Browser, number: int) -> None:
        self.browser, self.number = browser, number

    def answer(self, timeout: float = 30) -> dict:
        def search(lines):
            return next((a for a in map(json.loads, lines) if a.get("id") == self.number), None)

        answer = self.browser.process.out.wait(search, timeout, f"answer {self.number} of the browser")
        assert "failed" not in answer, answer["failed"]
        assert answer["problems"] == [], answer["problems"]
        return answer

    def results(self, timeout: float = 30) -> list:
        return self.answer(timeout)["results"]


# Steps ----------------------------------------------------------------------------------------------------------------


def socket(url: str, protocols=(), **order) -> dict:
    """One socket, to be opened by `sockets`."""
    return {"url": url, "protocols": list(protocols), **order}


def sockets(*orders: dict) -> dict:
    """A step that opens them all at once and waits until each has ended."""
    return {"sockets": orders}


def fetch(url: str, **options) -> dict:
    return {"fetch": {"url": url, "options": options}}


# Results --------------------------------------------------------------------------------------------------------------


def event(events: list[dict], name: str) -> dict:
    found = [e for e in events if e["event"] == name]
    assert len(found) == 1, f"one {name!r} wanted in {events}"
    return found[0]


def closed(events: list[dict]) -> tuple[int, str]:
    """The code and the reason of the close event, which must be a clean one."""
    end = event(events, "close")
    assert end["clean"], events
    return end["code"], end["reason"]


def assert_blind(events: list[dict]) -> None:
    """A handshake that failed: script sees 1006 and nothing else."""
    assert [e["event"] for e in events] == ["error", "close"], events
    assert (events[1]["code"], events[1]["reason"], events[1]["clean"]) == (1006, "", False)
