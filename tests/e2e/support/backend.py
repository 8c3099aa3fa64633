"""The public backend of remote control, re-enacted: it answers as it was seen to answer, and notes whatever a host says that its own does not."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import re
import socket
import socketserver
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from . import tokens
from .certs import Certs

ROAD = "/backend-api/wham/remote/control/server"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UNKNOWN_HOST = {"detail": "Remote app server not found"}


@dataclass
class Reply:
    """What is answered instead of what is right; `hangs` for never."""

    status: int = 200
    body: object = ""
    headers: dict = field(default_factory=dict)
    hangs: bool = False

    def data(self) -> bytes:
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Asked:
    door: str  # enroll, refresh, road
    bearer: str
    account: str | None
    at: float


class Road:
    """The backend's end of a road."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    def say(self, **envelope) -> None:
        self.connection.send(json.dumps(envelope))

    def hear(self, timeout: float = 10) -> dict:
        return json.loads(self.connection.recv(timeout=timeout))

    def hear_message(self, **want) -> dict:
        """The next envelope that is like `want`."""
        while True:
            said = self.hear()
            if all(said.get(key) == value for key, value in want.items()):
                return said

    def is_gone(self, timeout: float = 10) -> bool:
        try:
            while True:
                self.connection.recv(timeout=timeout)
        except ConnectionClosed:
            return True
        except TimeoutError:
            return False


class Backend:
    """On port 0, until it is stopped. `name` is what its hosts must be called, `account` whose they must be."""

    def __init__(self, *, name: str = "vm", account: str | None = None, tls: Certs | None = None) -> None:
        self.name, self.account = name, account
        self.accepted = {tokens.ALICE}
        self.replies = {"enroll": deque(), "refresh": deque(), "road": deque()}
        self.always: dict[str, Reply] = {}
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.roads: queue.Queue[Road] = queue.Queue()
        self.changed = threading.Condition()
        self.stopped = threading.Event()
        self.server_id: str | None = None
        self.token: str | None = None
        self.installation: str | None = None
        self.given = 0
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls.cert, tls.key)
        backend = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                backend.serve(self.request)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler, bind_and_activate=True)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/backend-api"

    # What a test says and sees ------------------------------------------------------------------------------------

    def count(self, door: str) -> int:
        return sum(asked.door == door for asked in self.asked)

    def doors(self) -> list[str]:
        """At which it was asked, in order."""
        return [asked.door for asked in self.asked]

    def wait_asked(self, door: str, times: int = 1, timeout: float = 10) -> Asked:
        """Waits until it was asked `times` times at `door`, and gives the last of these."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.count(door) >= times, timeout), f"{door} was asked {self.count(door)} times: {self.asked}"
            return [asked for asked in self.asked if asked.door == door][times - 1]

    def road(self, timeout: float = 10) -> Road:
        return self.roads.get(timeout=timeout)

    def forget(self) -> None:
        self.server_id = self.token = None

    def stop(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, kind, *_rest) -> None:
        self.stop()
        if kind is None:
            assert not self.violations, self.violations

    # What a host sees ---------------------------------------------------------------------------------------------

    def serve(self, plain: socket.socket) -> None:
        try:
            stream = self.context.wrap_socket(plain, server_side=True) if self.context else plain
        except (ssl.SSLError, OSError):
            return
        with contextlib.suppress(OSError, EOFError, ConnectionClosed, InvalidHandshake):
            # Over TLS nothing can be looked at beforehand; a host without a token asks for one first.
            is_exchange = self.token is None if self.context else plain.recv(4, socket.MSG_PEEK) == b"POST"
            if is_exchange:
                Exchange(stream, self)
            else:
                self.open_road(stream)

    def open_road(self, stream: socket.socket) -> None:
        connection = ServerConnection(stream, ServerProtocol(max_size=16 * 1024 * 1024), close_timeout=0.2)
        connection.handshake(process_request=self.answer_road)
        if connection.response.status_code == 101:
            self.roads.put(Road(connection))
            # The thread of the connection reads; the socket is closed when this handler returns.
            connection.recv_events_thread.join()

    def answer_road(self, _connection, request):
        headers = request.headers
        self.note("road", headers.get("Authorization"), headers.get("chatgpt-account-id"))
        self.must(request.path == ROAD, f"road: {request.path}")
        self.must("chatgpt-account-id" not in headers, "road: it names the account")
        for odd in ("User-Agent", "originator", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
            self.must(odd not in headers, f"road: {odd}")
        self.must(headers.get("x-codex-protocol-version") == "3", "road: the version")
        self.must(headers.get("x-codex-name") == base64.b64encode(self.name.encode()).decode(), "road: the name")
        self.must(headers.get("x-codex-installation-id") == self.installation, "road: the installation")
        reply = self.reply_at("road")
        if reply is None and (self.server_id is None or headers.get("x-codex-server-id") != self.server_id):
            reply = Reply(404, UNKNOWN_HOST)
        if reply is None and headers.get("Authorization") != f"Bearer {self.token}":
            reply = Reply(401, {"detail": "Unauthorized"})
        if reply is None:
            return None
        if reply.hangs:
            self.stopped.wait(30)
        made = Headers({"Content-Type": "application/json", "Content-Length": str(len(reply.data())), "Connection": "close", **reply.headers})
        return Response(reply.status, "No", made, reply.data())

    def answer(self, path: str, headers, body: bytes) -> Reply:
        door = path.rsplit("/", 1)[1]
        self.note(door, headers.get("Authorization"), headers.get("chatgpt-account-id"))
        if not self.must(path in (f"{ROAD}/enroll", f"{ROAD}/refresh"), f"path {path}"):
            return Reply(404)
        self.must(headers.get("Content-Type") == "application/json", f"{door}: Content-Type")
        self.must(headers.get("chatgpt-account-id") == self.account, f"{door}: account {headers.get('chatgpt-account-id')}")
        for needed in ("originator", "User-Agent"):
            self.must(needed in headers, f"{door}: no {needed}")
        said = json.loads(body)
        installation = said.get("installation_id", "")
        self.must(bool(UUID.fullmatch(installation)) and headers.get("x-codex-installation-id") == installation, f"{door}: installation {installation}")
        self.must(self.installation in (None, installation), f"{door}: another installation")
        self.installation = installation
        if door == "enroll":
            self.must(set(said) == {"name", "os", "arch", "app_server_version", "installation_id"}, f"enroll: {sorted(said)}")
            self.must(said["name"] == self.name and said["os"] == "linux", f"enroll: {said}")
        else:
            self.must(set(said) == {"server_id", "installation_id"}, f"refresh: {sorted(said)}")
        reply = self.reply_at(door)
        if reply:
            return reply
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self.accepted:
            return Reply(401, {"detail": "Unauthorized"})
        if door == "refresh" and said["server_id"] != self.server_id:
            return Reply(404, UNKNOWN_HOST)
        return Reply(200, self.grant(door))

    def grant(self, door: str) -> dict:
        self.given += 1
        if door == "enroll":
            self.server_id = f"srv_e_{self.given}"
        self.token = f"road-{tokens.MARK}-{self.given}"
        expires = datetime.now(timezone.utc) + timedelta(hours=1)
        return {"server_id": self.server_id, "environment_id": f"env_{self.server_id}", "remote_control_token": self.token,
                "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ"), "more": 1}

    def reply_at(self, door: str) -> Reply | None:
        replies = self.replies[door]
        return replies.popleft() if replies else self.always.get(door)

    def note(self, door: str, authorization: str | None, account: str | None) -> None:
        self.must((authorization or "").startswith("Bearer "), f"{door}: Authorization")
        with self.changed:
            self.asked.append(Asked(door, (authorization or "").removeprefix("Bearer "), account, time.monotonic()))
            self.changed.notify_all()

    def must(self, is_so: bool, what: str) -> bool:
        if not is_so:
            self.violations.append(what)
        return is_so


class Exchange(BaseHTTPRequestHandler):
    """One request that is no handshake."""

    protocol_version = "HTTP/1.1"

    def __init__(self, stream: socket.socket, backend: Backend) -> None:
        self.backend = backend
        super().__init__(stream, stream.getpeername(), None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.backend.answer(self.path, self.headers, body)
        if reply.hangs:
            self.backend.stopped.wait(30)
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(reply.data())), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.data())
        self.close_connection = True

    def log_message(self, *_args) -> None:
        pass
