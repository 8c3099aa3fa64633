"""A line between a gate and a server: whole, cut, or such that nothing comes through and nobody is told."""

from __future__ import annotations

import contextlib
import socket
import threading


class Cable:
    """Listens on loopback and joins each connection to the Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.passes = threading.Event()
        self.passes.set()
        self.is_cut = False
        self.ends: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection ends, and a new one ends at once."""
        with self.lock:
            self.is_cut = True
            self._drop()

    def hold(self) -> None:
        """Connections are taken and stay, and not a byte passes."""
        self.passes.clear()

    def mend(self) -> None:
        """All passes again; what was held comes through late."""
        with self.lock:
            self.is_cut = False
        self.passes.set()

    def close(self) -> None:
        self.door.close()
        self.cut()
        self.passes.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _peer = self.door.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.path)
                self.ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.passes.wait()
                sink.sendall(data)
        with self.lock:
            self._drop({source, sink})

    def _drop(self, ends: set[socket.socket] | None = None) -> None:
        for end in list(self.ends if ends is None else ends & self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self.ends.discard(end)
