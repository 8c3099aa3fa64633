"""Raw sockets: requests byte by byte, answers and WebSocket frames parsed by hand."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


class Closed(Exception):
    """The peer ended the connection where more bytes were needed; `got` is what came before."""

    def __init__(self, got: bytes = b"") -> None:
        super().__init__(f"connection ended after {got[:200]!r}")
        self.got = got


@dataclass
class Response:
    status: int
    phrase: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Frame:
    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes
    head: int = field(default=0, compare=False)

    @property
    def code(self) -> int | None:
        return struct.unpack(">H", self.payload[:2])[0] if len(self.payload) >= 2 else None

    @property
    def reason(self) -> str:
        return self.payload[2:].decode()


def accept_for(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def mask_bytes(data: bytes, key: bytes) -> bytes:
    if not data:
        return b""
    size = len(data)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x37\xfa\x21\x3d") -> bytes:
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    size = len(payload)
    bit = 0x80 if mask is not None else 0
    if size < 126:
        head = struct.pack(">BB", first, bit | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, bit | 127, size)
    return head + (mask + mask_bytes(payload, mask) if mask is not None else payload)


def close_frame(code: int, reason: str = "", **kwargs) -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason.encode(), **kwargs)


def parse_frames(data: bytes) -> tuple[list[tuple[int, Frame]], bytes]:
    """All whole frames of a byte stream with the offset where each begins, and the rest that is no whole frame."""
    frames, at = [], 0
    while True:
        parsed = parse_frame(data, at)
        if parsed is None:
            return frames, data[at:]
        frames.append((at, parsed[0]))
        at = parsed[1]


def parse_frame(data: bytes, at: int = 0) -> tuple[Frame, int] | None:
    start = at
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    size, at = second & 0x7F, at + 2
    extra = {126: 2, 127: 8}.get(size, 0)
    if len(data) < at + extra:
        return None
    if extra:
        size = int.from_bytes(data[at : at + extra], "big")
        at += extra
    masked = bool(second & 0x80)
    key = b""
    if masked:
        if len(data) < at + 4:
            return None
        key, at = data[at : at + 4], at + 4
    head = at - start
    if len(data) < at + size:
        return None
    payload = bytes(data[at : at + size])
    if masked:
        payload = mask_bytes(payload, key)
    return Frame(bool(first & 0x80), (first >> 4) & 7, first & 15, masked, payload, head), at + size


def request(method: str = "GET", path: str = "/", headers=(), *, host: str | None = "127.0.0.1", version: str = "1.1", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/{version}".encode()]
    if host is not None:
        lines.append(f"Host: {host}".encode())
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def upgrade(path: str = "/", headers=(), *, key: str | None = KEY, ws_version: str | None = "13", upgrade: str | None = "websocket",
            connection: str | None = "Upgrade", method: str = "GET", host: str | None = "127.0.0.1", version: str = "1.1") -> bytes:
    own = []
    if connection is not None:
        own.append(("Connection", connection))
    if upgrade is not None:
        own.append(("Upgrade", upgrade))
    if ws_version is not None:
        own.append(("Sec-WebSocket-Version", ws_version))
    if key is not None:
        own.append(("Sec-WebSocket-Key", key))
    return request(method, path, own + list(headers), host=host, version=version)


class Raw:
    """One TCP (or TLS, or unix) connection with a deadline on everything."""

    def __init__(self, address, *, tls: ssl.SSLContext | None = None, server_name: str = "localhost", timeout: float = 15,
                 receive_buffer: int | None = None, source: str | None = None) -> None:
        self.timeout = timeout
        if isinstance(address, int):
            address = ("127.0.0.1", address)
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        if source is not None:
            sock.bind((source, 0))
        sock.connect(address)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
        self.sock = sock
        self.buffer = bytearray()
        self.received = bytearray()

    def send(self, data: bytes) -> "Raw":
        self.sock.sendall(data)
        return self

    def _more(self) -> None:
        try:
            data = self.sock.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            raise Closed(bytes(self.buffer)) from error
        if not data:
            raise Closed(bytes(self.buffer))
        self.buffer += data
        self.received += data

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_until(self, mark: bytes) -> bytes:
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark))
            self._more()
        return self.read(at + len(mark))

    def read_rest(self) -> bytes:
        """Everything up to the peer's end."""
        try:
            while True:
                self._more()
        except Closed:
            data = bytes(self.buffer)
            self.buffer.clear()
            return data

    def response(self, method: str = "GET") -> Response:
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        lines = head.split("\r\n")
        version, status, *phrase = lines[0].split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        answer = Response(int(status), phrase[0] if phrase else "", headers)
        if answer.status in (101, 204, 304) or method == "HEAD":
            return answer
        if (answer.header("transfer-encoding") or "").lower() == "chunked":
            answer.body = b"".join(self.chunks())
        elif answer.header("content-length") is not None:
            answer.body = self.read(int(answer.header("content-length")))
        else:
            answer.body = self.read_rest()
        return answer

    def chunk(self) -> bytes:
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        data = self.read(size)
        assert self.read(2) == b"\r\n"
        return data

    def chunks(self):
        while data := self.chunk():
            yield data

    def frame(self) -> Frame:
        while (parsed := parse_frame(self.buffer)) is None:
            self._more()
        del self.buffer[: parsed[1]]
        return parsed[0]

    def send_frame(self, opcode: int, payload: bytes = b"", **kwargs) -> "Raw":
        return self.send(frame(opcode, payload, **kwargs))

    def open(self, path: str = "/", headers=(), **kwargs) -> Response:
        """Upgrades and insists on a true 101."""
        answer = self.send(upgrade(path, headers, **kwargs)).response()
        assert answer.status == 101, (answer.status, answer.headers, answer.body)
        assert answer.header("sec-websocket-accept") == accept_for(KEY)
        return answer

    def ended(self, timeout: float | None = None) -> bytes:
        """Waits for the peer's end and gives what came before it."""
        self.sock.settimeout(timeout or self.timeout)
        return self.read_rest()

    def quiet(self, seconds: float) -> bool:
        """True when nothing arrives for so long; an assertion of silence, not a wait for luck."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self._more()
            return False
        except TimeoutError:
            return True
        except Closed:
            return False
        finally:
            self.sock.settimeout(self.timeout)

    def shutdown(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Ends with RST, as a client that lost its network stack."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def ask(port, data: bytes, **kwargs) -> Response:
    """One request on its own connection."""
    method = data.split(b" ", 1)[0].decode("latin-1", "replace")
    with Raw(port, **kwargs) as raw:
        return raw.send(data).response(method)


def random_key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def now() -> float:
    return time.monotonic()
