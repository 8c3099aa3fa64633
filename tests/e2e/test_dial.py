"""`portcullis dial`: the real program as a client, against a gate and against a WebSocket server of Python."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from websockets.sync.server import serve

from support import configs, tokens
from support.gate import binary, run
from support.process import clean_env, eventually


@pytest.fixture
def door(gate, files, fastapi):
    return gate(configs.base(files, fastapi.url, carriers=["header", "subprotocol", "query", "first-message"], scopes=[]))


@contextlib.contextmanager
def python_server(handler, port: int = 0, **kwargs):
    """A server of the library `websockets`, on a thread; its address is its `socket`'s."""
    with serve(handler, "127.0.0.1", port, **kwargs) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def url_of(server) -> str:
    return f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"


def echo(connection) -> None:
    for message in connection:
        connection.send(message)


def dial(*argv, stdin: bytes = b"", env=None) -> subprocess.CompletedProcess:
    """Dials to the end, and insists that no secret was printed."""
    done = run("dial", *argv, stdin=stdin, env=env)
    said = done.stderr.decode()
    assert tokens.MARK not in said, said
    assert not [token for token in tokens.issued if token in said], said
    return done


def states(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# Lines and bytes --------------------------------------------------------------------------------------------------------


def test_lines_are_messages_and_messages_are_lines(door, files):
    done = dial(door.ws("/ws/echo"), "--token-file", files["one"], stdin=b"one\r\ntwo\n\nwith spaces  \nlast")
    assert done.stdout == b"one\ntwo\n\nwith spaces  \nlast\n"
    assert done.returncode == 0
    assert b"connected to ws://" in done.stderr


def test_a_server_that_is_no_gate_is_dialled_as_well():
    with python_server(echo) as server:
        done = dial(url_of(server), stdin="grüße\n".encode())
    assert (done.returncode, done.stdout) == (0, "grüße\n".encode())


def test_raw_bytes_are_binary_messages_without_lines():
    kinds = []

    def handler(connection):
        for message in connection:
            kinds.append(type(message))
            connection.send(message)

    sent = bytes(range(256)) * 2000
    with python_server(handler) as server:
        done = dial(url_of(server), "--raw", stdin=sent)
    assert done.stdout == sent
    assert set(kinds) == {bytes}


def test_input_that_is_no_text_is_told_by_its_line_and_what_came_before_is_sent(door, files):
    done = dial(door.ws("/ws/echo"), "--token-file", files["one"], stdin=b"one\n\xff\nthree\n")
    assert (done.returncode, done.stdout) == (1, b"one\n")
    assert done.stderr.decode().endswith("Error: line 2 of standard input is no text; use --raw for bytes\n")


def test_a_reader_that_has_gone_is_no_error(door, files):
    command = [binary(), "dial", door.ws("/ws/echo"), "--token-file", str(files["one"]), "--keep-open"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env()) as client:
        client.stdin.write(b"first\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"first\n"
        client.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            while client.poll() is None:
                client.stdin.write(b"unread\n")
                client.stdin.flush()
                time.sleep(0.01)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.close()
        assert client.wait(10) == 0


def test_it_reads_on_after_its_input_where_that_is_wanted(child):
    go_on = threading.Event()

    def handler(connection):
        assert go_on.wait(10)
        connection.send("late")
        connection.close(1000)

    with python_server(handler) as server:
        client = child([binary(), "dial", url_of(server), "--keep-open"])
        client.err.wait(lambda lines: any("connected" in line for line in lines))
        assert client.alive()
        go_on.set()
        client.out.wait(lambda lines: "late" in lines)
        assert client.wait() == 0
    assert "the server closed the connection" in client.err.text()


def test_a_signal_says_goodbye_and_exits_with_0(child):
    seen = queue.Queue()

    def handler(connection):
        for _ in connection:
            pass
        seen.put(connection.protocol.close_rcvd.code)

    for number in (signal.SIGINT, signal.SIGTERM):
        with python_server(handler) as server:
            client = child([binary(), "dial", url_of(server), "--keep-open"])
            client.err.wait(lambda lines: any("connected" in line for line in lines))
            client.signal(number)
            assert client.wait() == 0
            # The server may hear of it after the client has ended.
            assert seen.get(timeout=10) == 1000


# Refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "flags", "code", "exit_code"),
    [
        (lambda: tokens.make(exp=-60), ["--once"], "expired", 5),
        (lambda: tokens.make(exp=-60), [], "expired", 6),
        (lambda: tokens.WRONG, [], "invalid_credential", 6),
        (lambda: tokens.make(nbf=300), ["--once"], "not_yet_valid", 7),
    ],
)
def test_each_recovery_has_its_exit_code(door, make, flags, code, exit_code):
    done = dial(door.ws("/ws/echo"), "--token-env", "TOKEN", "--json", *flags, stdin=b"never\n", env={"TOKEN": make()})
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == b""
    told = states(done.stderr.decode())
    refused = next(state for state in told if state.get("code"))
    assert (refused["state"], refused["code"], refused["status"]) == ("refused", code, 401)
    ended = next(state for state in told if state["state"] == "ended")
    assert ended["exit_code"] == exit_code
    assert ended["mend"]


def test_a_missing_token_and_a_missing_scope_say_what_to_do(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url, scopes=["chat"]))
    done = dial(door.ws("/ws/echo"))
    assert done.returncode == 6
    assert "(HTTP 401, missing_credential)" in done.stderr.decode()
    assert "give a good token with --token-file, --token-env or --token-command" in done.stderr.decode()
    done = dial(door.ws("/ws/echo"), "--token-env", "TOKEN", env={"TOKEN": tokens.make()})
    assert done.returncode == 8
    assert "(HTTP 403, insufficient_scope)" in done.stderr.decode()
    absent = files["one"].with_name("absent")
    done = dial(door.ws("/ws/echo"), "--token-file", absent)
    assert done.returncode == 6
    assert f"there is no token file {absent}; write one" in done.stderr.decode()


def test_a_close_code_after_the_handshake_is_understood_too():
    def handler(connection):
        connection.close(4003, "not for you")

    with python_server(handler) as server:
        done = dial(url_of(server), "--json")
    assert done.returncode == 8
    refused = next(state for state in states(done.stderr.decode()) if state["state"] == "refused")
    assert (refused["close_code"], refused["recovery"]) == (4003, "stop")


def test_codes_of_another_preset_are_understood():
    def handler(connection):
        connection.close(4401, "Unauthorized")

    with python_server(handler) as server:
        done = dial(url_of(server), "--once", "--preset", "graphql-ws")
    assert done.returncode == 5


def test_what_cannot_be_reached_says_why():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # It takes the connection and never answers.
        done = dial(f"ws://127.0.0.1:{port}/", "--once", "--timeout", "1s", stdin=b"one\ntwo\n")
        assert done.returncode == 1
        assert "no answer within 1s" in done.stderr.decode()
        assert "portcullis: 2 messages not sent" in done.stderr.decode()
    done = dial(f"ws://127.0.0.1:{port}/", "--once")
    assert done.returncode == 1
    assert "cannot connect" in done.stderr.decode()


# Coming back ------------------------------------------------------------------------------------------------------------


class Talk:
    """A client with both ends of its pipes in hand."""

    def __init__(self, child, *argv, env=None):
        self.process = child([binary(), "dial", *map(str, argv)], env=env, stdin=subprocess.PIPE)

    def say(self, line: str) -> None:
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()

    def hears(self, line: str, timeout: float = 10) -> None:
        self.process.out.wait(lambda lines: line in lines, timeout, line)

    def told(self, what: str, count: int = 1, timeout: float = 10) -> None:
        self.process.err.wait(lambda lines: sum(what in line for line in lines) >= count, timeout, what)

    def end(self) -> int:
        self.process.popen.stdin.close()
        return self.process.wait()


def test_a_session_that_expires_comes_back_with_the_token_that_is_in_the_file_then(door, child, tmp_path):
    path = tmp_path / "token"
    path.write_text(tokens.make(exp=2))
    talk = Talk(child, door.ws("/ws/echo"), "--token-file", path)
    talk.say("before")
    talk.hears("before")
    path.write_text(tokens.make(exp=600))
    talk.told("(close code 4001, expired)")
    talk.say("after")
    talk.hears("after")
    talk.told("connected", 2)
    assert talk.end() == 0
    assert "after" not in talk.process.err.text()


def test_a_better_token_wakes_who_waits_for_it(door, child, tmp_path):
    path = tmp_path / "token"
    path.write_text(tokens.WRONG)
    talk = Talk(child, door.ws("/ws/echo"), "--token-file", path, "--wait-for-token")
    talk.told(f"waiting for another token; write one into {path}")
    talk.say("queued before there is a way")
    fresh = tmp_path / "fresh"
    fresh.write_text(tokens.ALICE)
    fresh.replace(path)
    start = time.monotonic()
    talk.hears("queued before there is a way")
    assert time.monotonic() - start < 2
    assert talk.end() == 0
    assert tokens.MARK not in talk.process.err.text()


def test_a_command_prints_a_fresh_token_when_one_is_wanted(door, child, tmp_path):
    script = tmp_path / "mint.py"
    count = tmp_path / "count"
    script.write_text(
        "import pathlib, sys, time, jwt\n"
        f"path = pathlib.Path({str(count)!r})\n"
        "number = int(path.read_text()) + 1 if path.exists() else 1\n"
        "path.write_text(str(number))\n"
        "life = 2 if number == 1 else 600\n"
        f"claims = dict(sub='alice', iss={tokens.ISSUER!r}, aud={tokens.AUDIENCE!r}, exp=int(time.time()) + life)\n"
        f"print(jwt.encode(claims, {tokens.SECRET!r}, algorithm='HS256'))\n"
    )
    talk = Talk(child, door.ws("/ws/echo"), "--token-command", f"{sys.executable} {script}")
    talk.say("one")
    talk.hears("one")
    talk.told("(close code 4001, expired)")
    talk.say("two")
    talk.hears("two")
    assert count.read_text() == "2"
    assert talk.end() == 0


def test_a_command_that_fails_says_so_in_its_own_words(tmp_path):
    script = tmp_path / "fail.sh"
    script.write_text("#!/bin/sh\necho 'run: example login' >&2\nexit 3\n")
    script.chmod(0o700)
    done = dial("ws://127.0.0.1:9/", "--token-command", str(script), "--once")
    assert done.returncode == 1
    assert "exit status: 3: run: example login" in done.stderr.decode()


def test_a_session_is_renewed_and_not_opened_again(door, child, tmp_path):
    script = tmp_path / "mint.py"
    script.write_text(
        "import time, uuid, jwt\n"
        f"claims = dict(sub='alice', iss={tokens.ISSUER!r}, aud={tokens.AUDIENCE!r}, exp=int(time.time()) + 8, jti=str(uuid.uuid4()))\n"
        f"print(jwt.encode(claims, {tokens.SECRET!r}, algorithm='HS256'))\n"
    )
    talk = Talk(child, door.ws("/ws/echo"), "--token-command", f"{sys.executable} {script}", "--renew", "4s")
    talk.say("one")
    talk.hears("one")
    talk.told("the session is renewed", 2, timeout=40)
    talk.say("two")
    talk.hears("two")
    assert talk.end() == 0
    assert talk.process.err.text().count("connected") == 1


def test_a_server_that_restarts_is_found_again_and_no_line_is_lost(child):
    heard, live = [], []

    def handler(connection):
        live.append(connection)
        for message in connection:
            heard.append(message)
            connection.send(message)

    with python_server(handler) as server:
        port = server.socket.getsockname()[1]
        talk = Talk(child, f"ws://127.0.0.1:{port}/")
        talk.say("one")
        talk.hears("one")
    # It listens no more; now it leaves those who are there.
    live[0].close(1012)
    talk.told("again in")
    talk.say("two")
    talk.say("three")
    with python_server(handler, port):
        talk.hears("three", timeout=30)
        assert talk.end() == 0
    assert heard == ["one", "two", "three"]


def test_a_server_that_opens_and_closes_at_once_is_not_hammered(child):
    times = []

    def handler(connection):
        times.append(time.monotonic())
        connection.close(1013)

    with python_server(handler) as server:
        client = child([binary(), "dial", url_of(server), "--json", "--keep-open"])
        eventually(lambda: len(times) >= 4, timeout=30)
        client.signal(signal.SIGINT)
        assert client.wait() == 0
    waits = [state["wait_ms"] for state in states(client.err.text()) if state["state"] == "waiting"]
    ceilings = [500 * 2**number for number in range(len(waits))]
    assert all(wait <= ceiling for wait, ceiling in zip(waits, ceilings)), waits


# The way there ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["header", "subprotocol", "query", "first-message"])
def test_each_carrier_enters(door, files, carrier):
    done = dial(door.ws("/ws/echo"), "--token-file", files["one"], "--carrier", carrier, "--subprotocol", "chat", stdin=b"in\n")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    assert door.wait_decision(message="admitted")["carrier"] == carrier


def test_a_ticket_is_fetched_and_used(gate, files, fastapi, tmp_path):
    door = gate(configs.base(files, fastapi.url, carriers=["header", "ticket"], top={"ledger": {"url": f"sqlite:{tmp_path}/ledger.db"}}))
    done = dial(door.ws("/ws/echo"), "--token-file", files["one"], "--carrier", "ticket", stdin=b"in\n")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    assert door.wait_decision(message="admitted", protocol="websocket")["carrier"] == "ticket"


def test_headers_and_subprotocols_reach_the_server():
    seen = {}

    def handler(connection):
        seen["trace"] = connection.request.headers["X-Trace"]
        seen["subprotocol"] = connection.subprotocol
        echo(connection)

    with python_server(handler, subprotocols=["v2"]) as server:
        done = dial(url_of(server), "-H", "X-Trace: 7", "--subprotocol", "v1", "--subprotocol", "v2")
    assert done.returncode == 0
    assert seen == {"trace": "7", "subprotocol": "v2"}


def test_tls_is_checked(certs):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certs.ca)
    context.load_cert_chain(certs.cert, certs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    # TLS 1.3 tells a client that shows none only after the handshake.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with python_server(echo, ssl=context) as server:
        url = f"wss://localhost:{server.socket.getsockname()[1]}/"
        shown = ["--client-cert", certs.client_cert, "--client-key", certs.client_key]
        done = dial(url, "--ca", certs.ca, *shown, stdin=b"in\n")
        assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
        for flags, what in [(["--ca", certs.ca], "TLS fails"), (shown, "UnknownIssuer")]:
            done = dial(url, "--once", *flags)
            assert done.returncode == 1
            assert what in done.stderr.decode()


def test_a_proxy_of_the_environment_is_used(door, files):
    heads = []

    def proxy(listener):
        connection, _ = listener.accept()
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            heads.append(head.decode())
            with socket.create_connection(("127.0.0.1", door.port)) as there:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(there, connection))
                back.start()
                pump(connection, there)
                back.join(10)

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=proxy, args=(listener,))
        thread.start()
        env = {"HTTP_PROXY": f"http://me:pass@127.0.0.1:{listener.getsockname()[1]}", "NO_PROXY": "", "no_proxy": ""}
        flags = ["--token-file", files["one"], "--dangerously-send-token-unencrypted"]
        done = dial("ws://gate.localhost/ws/echo", *flags, stdin=b"in\n", env=env)
        thread.join(10)
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    assert heads[0].startswith("CONNECT gate.localhost:80 HTTP/1.1\r\n")
    assert "proxy-authorization: basic bWU6cGFzcw==".lower() in heads[0].lower()


def test_a_unix_socket_is_dialled(gate, files, fastapi, tmp_path):
    path = tmp_path / "gate.sock"
    config = configs.base(files, fastapi.url)
    config["listener"].append({"url": f"unix://{path}"})
    gate(config, listeners=2)
    flags = ["--token-file", files["one"], "--unix-socket", path]
    done = dial("ws://localhost/ws/echo", *flags, stdin=b"in\n")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


# In a terminal ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs a terminal")
def test_it_is_used_by_typing(door, files, tmp_path):
    server = ["tmux", "-S", str(tmp_path / "tmux")]

    def tmux(*argv) -> str:
        return subprocess.run([*server, *argv], env=clean_env(), check=True, capture_output=True, text=True, timeout=10).stdout

    def screen() -> str:
        return tmux("capture-pane", "-p")

    tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "30", "sh")
    try:
        tmux("send-keys", f"{binary()} dial {door.ws('/ws/echo')} --token-file {files['one']}; echo exit=$?", "Enter")
        eventually(lambda: "portcullis: connected to" in screen(), what="the connection")
        tmux("send-keys", "typed by hand", "Enter")
        # As it was typed, and as it came back.
        eventually(lambda: screen().count("typed by hand") == 2, what="the echo")
        tmux("send-keys", "C-c")
        eventually(lambda: "exit=0" in screen(), what="the end")
    finally:
        tmux("kill-server")
