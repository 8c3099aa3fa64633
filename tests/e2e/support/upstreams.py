"""Upstreams: a FastAPI app and a Node `ws` app as processes, and a raw TCP upstream scripted by the test itself."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Callable

from .process import Process
from .raw import Closed, Raw, accept_for

HERE = Path(__file__).resolve().parent.parent


class App:
    """A process that prints `{"port": N}` when it listens, and one JSON line for each thing that it saw."""

    def __init__(self, argv, *, cwd=None) -> None:
        self.process = Process(argv, cwd=cwd)
        try:
            started = self.process.out.wait(lambda lines: next((json.loads(l) for l in lines if '"port"' in l), None), 20, "port")
            self.port: int = started["port"]
        except BaseException:
            self.process.stop()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def mark(self) -> int:
        return len(self.process.out.snapshot())

    def wait_event(self, after: int = 0, timeout: float = 10, **want) -> dict:
        def search(lines):
            for line in lines[after:]:
                event = json.loads(line)
                if all(event.get(k) == v for k, v in want.items()):
                    return event
            return None

        return self.process.out.wait(search, timeout, f"upstream event {want}")

    def events(self, after: int = 0) -> list[dict]:
        return [json.loads(line) for line in self.process.out.snapshot()[after:]]

    def stop(self) -> None:
        self.process.stop()


def fastapi(*extra: str) -> App:
    return App([sys.executable, HERE / "apps" / "fastapi_app.py", *extra])


def node_ws() -> App:
    return App(["node", HERE / "node" / "upstream.mjs"])


class Connection(Raw):
    """The upstream's side of one connection, with all bytes that came recorded in `received`."""

    def __init__(self, sock: socket.socket, timeout: float = 15) -> None:
        sock.settimeout(timeout)
        self.timeout = timeout
        self.sock = sock
        self.buffer = bytearray()
        self.received = bytearray()
        self.head = b""

    def read_request(self) -> bytes:
        self.head = self.read_until(b"\r\n\r\n")
        return self.head

    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers() if key.lower() == name.lower()]

    def accept(self, headers=()) -> "Connection":
        """Reads the upgrade and answers 101."""
        self.read_request()
        key = self.header("sec-websocket-key")[0]
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept_for(key)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        return self


class TcpUpstream:
    """Listens, and gives each connection to `handler` on a thread of its own; without one, the test takes connections itself."""

    def __init__(self, handler: Callable[[Connection], None] | None = None, unix_path: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        if unix_path:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(unix_path)
            self.url = f"unix:{unix_path}"
        else:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.sock.listen(128)
        self.tls = tls
        self.handler = handler
        self.connections: list[Connection] = []
        self.errors: list[BaseException] = []
        self._changed = threading.Condition()
        self._taken = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock, _peer = self.sock.accept()
            except OSError:
                return
            if self.tls:
                try:
                    sock.settimeout(5)
                    sock = self.tls.wrap_socket(sock, server_side=True)
                except OSError as error:
                    self.errors.append(error)
                    sock.close()
                    continue
            connection = Connection(sock)
            with self._changed:
                self.connections.append(connection)
                self._changed.notify_all()
            if self.handler:
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: Connection) -> None:
        try:
            self.handler(connection)
        except (Closed, OSError) as error:
            self.errors.append(error)
        finally:
            connection.close()

    def take(self, timeout: float = 10) -> Connection:
        """The next connection, in the order of arrival."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.connections) > self._taken, timeout):
                raise AssertionError("no connection reached the upstream")
            self._taken += 1
            return self.connections[self._taken - 1]

    def untouched(self) -> bool:
        return not self.connections

    def close(self) -> None:
        self.sock.close()
        for connection in self.connections:
            try:
                connection.close()
            except OSError:
                pass

    def __enter__(self) -> "TcpUpstream":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def echo_frames(connection: Connection) -> None:
    """Accepts an upgrade and echoes data frames as they come, answers pings and the close; plain HTTP gets 200 `ok`."""
    from .raw import CLOSE, PING, PONG, frame

    connection.read_request()
    if not connection.header("sec-websocket-key"):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        return
    key = connection.header("sec-websocket-key")[0]
    connection.send(
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept_for(key)}\r\n\r\n".encode()
    )
    while True:
        got = connection.frame()
        assert got.masked, "the gate must pass on masked frames only"
        if got.opcode == PING:
            connection.send(frame(PONG, got.payload, mask=None))
        elif got.opcode == CLOSE:
            connection.send(frame(CLOSE, got.payload, mask=None))
            return
        elif got.opcode != PONG:
            connection.send(frame(got.opcode, got.payload, fin=got.fin, rsv=got.rsv, mask=None))


def free_port() -> int:
    """A port nobody listens on; for upstreams that must be unreachable and for gates that come back on the same port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
