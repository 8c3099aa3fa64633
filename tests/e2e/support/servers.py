"""Real servers that gates share: a PostgreSQL and a NATS, each in a folder of its own."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from .process import eventually
from .upstreams import free_port

NOBODY = 65534


def as_nobody() -> dict:
    """PostgreSQL does not run as root."""
    return {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}


class Server:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="portcullis-e2e-"))
        if os.getuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self.child: subprocess.Popen | None = None

    def run(self, argv: list) -> None:
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen([str(part) for part in argv], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_nobody())

    def kill(self, how: signal.Signals) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(how)
            self.child.wait(20)

    def close(self) -> None:
        self.kill(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """Reached through a Unix socket."""

    def __init__(self) -> None:
        super().__init__()
        self.programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        self.once("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
        self.databases = 0
        self.start()

    def once(self, program: str, *argv: str) -> None:
        subprocess.run([str(self.programs / program), *argv], cwd=self.folder, check=True, capture_output=True, **as_nobody())

    def start(self) -> None:
        self.run([self.programs / "postgres", "-D", "data", "-k", self.folder, "-c", "listen_addresses=", "-c", "fsync=off"])
        lock = self.folder / "data" / "postmaster.pid"

        def ready() -> bool:
            lines = lock.read_text().split("\n") if lock.exists() else []
            return len(lines) > 7 and lines[0] == str(self.child.pid) and lines[7].strip() == "ready"

        eventually(ready, timeout=20)

    @property
    def socket(self) -> str:
        return str(self.folder / ".s.PGSQL.5432")

    def new_database(self) -> str:
        self.databases += 1
        name = f"test_{self.databases}"
        self.once("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgres:///{name}?user=postgres&host={quote(str(self.folder), safe='')}"

    def last_database_at(self, port: int) -> str:
        """The newest database, by another way than its Unix socket."""
        return f"postgres://postgres@127.0.0.1:{port}/test_{self.databases}?sslmode=disable"

    def stop(self) -> None:
        self.kill(signal.SIGQUIT)


class Nats(Server):
    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("nats-server", path="/usr/sbin:" + os.environ.get("PATH", ""))
        self.run([program, "--addr", "127.0.0.1", "--port", str(self.port)])

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        eventually(listens, timeout=20)

    def stop(self) -> None:
        self.kill(signal.SIGKILL)
