"""A tap between a client and a server: every byte passes, and what the client's frames said can be read."""

from __future__ import annotations

import socket
import threading
import zlib

from .raw import CONTINUATION, TEXT, parse_frames
from .upstreams import Connection, TcpUpstream


class Tap:
    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = TcpUpstream(self._relay)
        self.port = self.listener.port

    def _relay(self, client: Connection) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            threading.Thread(target=self._copy, args=(server, client.sock, None), daemon=True).start()
            self._copy(client.sock, server, client.received)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
        source.settimeout(120)
        try:
            while data := source.recv(1 << 16):
                if kept is not None:
                    kept += data
                target.sendall(data)
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def sockets(self) -> list[list[bytes]]:
        """Of each upgraded connection, in order, the client's text messages."""
        return [texts(bytes(connection.received)) for connection in self.listener.connections if b"sec-websocket-key" in connection.received.lower()]

    def close(self) -> None:
        self.listener.close()


def texts(received: bytes) -> list[bytes]:
    frames, _ = parse_frames(received.split(b"\r\n\r\n", 1)[1])
    inflate = zlib.decompressobj(-15)
    found, whole, packed = [], b"", False
    for _, frame in frames:
        if frame.opcode not in (TEXT, CONTINUATION):
            continue
        packed = bool(frame.rsv & 4) if frame.opcode == TEXT else packed
        whole += frame.payload
        if frame.fin:
            found.append(inflate.decompress(whole + b"\x00\x00\xff\xff") if packed else whole)
            whole = b""
    return found
