"""Two ends that tell each other numbers through whatever is between them: what is lost, doubled or out of order shows."""

from __future__ import annotations

import json
import threading
from typing import Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from .process import eventually

TALKS = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        print(json.dumps({"id": asked["id"], "result": {"asked": asked["method"]}}), flush=True)
"""

# A relay keeps 128 messages of a guest, and knows of half of those late that they were delivered.
AHEAD = 30


def number(n: int) -> dict:
    return {"method": "number", "params": {"n": n}}


def tell(say: Callable[[dict], object], heard: list[int], last: int, cut: Callable[[], object], cuts: int) -> None:
    """Says 1 to `last`, never far ahead of `heard`, the list of the other end, with so many cuts while something is under way."""
    part = last // cuts
    for n in range(1, last + 1):
        eventually(lambda: n - (heard[-1] if heard else 0) <= AHEAD, 40, what=f"{n - AHEAD} at the other end")
        say(number(n))
        if n % part == part // 2:
            cut()


class Upstream:
    """A WebSocket server that answers each request with its method, and keeps the numbers that it is told."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.asked: list[str] = []
        self.guests: list[ServerConnection] = []
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=16 * 1024 * 1024, ping_interval=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"

    def say(self, message: dict) -> None:
        """To the guest who came last."""
        self.guests[-1].send(json.dumps(message))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def _serve(self, guest: ServerConnection) -> None:
        self.guests.append(guest)
        try:
            for text in guest:
                message = json.loads(text)
                if message.get("method") == "number":
                    self.heard.append(message["params"]["n"])
                elif "id" in message:
                    self.asked.append(message["method"])
                    guest.send(json.dumps({"id": message["id"], "result": {"asked": message["method"]}}))
        except ConnectionClosed:
            pass
