"""A child process whose output can be waited for: no sleeps, deadlines only."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import Callable, Iterable


class Lines:
    """The lines of one stream, collected by a thread, waited for by a predicate."""

    def __init__(self, stream) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream) -> None:
        # Closed at its end: a run starts some thousand children, and a process may open as many files.
        with stream:
            for raw in stream:
                with self._changed:
                    self._lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def snapshot(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def text(self) -> str:
        return "\n".join(self.snapshot())

    def wait_end(self, timeout: float = 10) -> None:
        self._thread.join(timeout)

    def wait(self, found: Callable[[list[str]], object], timeout: float = 10, what: str = "a line") -> object:
        """Waits until `found(lines)` is true and gives what it returned."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = found(self._lines)
                if result:
                    return result
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the stream ended" if self._ended else f"{timeout} s passed"
                    raise AssertionError(f"no {what} ({why}); output was:\n" + "\n".join(self._lines[-60:]))
                self._changed.wait(left)


class Process:
    """One child, in its own process group, always ended by its id."""

    def __init__(self, argv: Iterable[str], *, env: dict[str, str] | None = None, cwd=None, stdin=None) -> None:
        self.argv = [str(part) for part in argv]
        self.popen = subprocess.Popen(
            self.argv,
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_env(env),
            cwd=cwd,
            start_new_session=True,
        )
        self.out = Lines(self.popen.stdout)
        self.err = Lines(self.popen.stderr)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        code = self.popen.wait(timeout)
        self.out.wait_end()
        self.err.wait_end()
        return code

    def stop(self, timeout: float = 5) -> int:
        """SIGTERM, then SIGKILL to the group; gives the exit code."""
        if self.alive():
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return self.popen.returncode

    def kill(self) -> None:
        """Kills what is left of the process group that this child leads."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(5)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_exc) -> None:
        self.stop()


PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def clean_env(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without proxies and without our own switches, plus `extra` (None removes a name)."""
    env = {k: v for k, v in os.environ.items() if k not in PROXY_NAMES and not k.startswith(("PORTCULLIS_", "OTEL_"))}
    env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost,::1"
    env["RUST_BACKTRACE"] = "0"
    for key, value in (extra or {}).items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    return env


def eventually(probe: Callable[[], object], timeout: float = 10, every: float = 0.02, what: str = "the state") -> object:
    """Polls `probe` until it is true; for states of another process that announce themselves by nothing else."""
    deadline = time.monotonic() + timeout
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not reached within {timeout} s")
        time.sleep(every)
