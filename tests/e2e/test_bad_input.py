"""What no good client sends: each gets a clear answer, none reaches the upstream, and the next good client is served."""

from __future__ import annotations

import json
import subprocess

import pytest

from support import configs, table, tokens
from support.gate import Gate, toml
from support.process import clean_env
from support.raw import CLOSE, TEXT, Closed, Raw, Response, ask, frame, request, upgrade
from support.upstreams import TcpUpstream, echo_frames

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]
SHORT = 1.0


# One gate for the whole suite: what it survives together it survives alone ---------------------------------------------


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad-input")
    files = configs.write_files(folder)
    with TcpUpstream(echo_frames) as upstream:
        config = configs.base(files, upstream.url, carriers=["header", "subprotocol", "query"], top={"timeouts": {"header": "1s"}})
        route = config["route"][0]
        # Three policies side by side: for everybody, for some, for few.
        config["route"] = [
            {**route, "path": "/*"},
            {"name": "public", "path": "/public/*", "upstream": upstream.url, "public": True},
            {**route, "name": "admin", "path": "/admin", "scopes": ["chat", "admin"]},
        ]
        config["listener"] = [{"url": "ws://127.0.0.1:0"}, {"url": "ws://127.0.0.1:0", "hosts": ["gate.example"]}, {"url": "ws://0.0.0.0:0"}]
        path = folder / "gate.toml"
        path.write_text(toml(config))
        gate = Gate(["serve", "--config", str(path)], config_file=path, listeners=3)
        gate.upstream = upstream
        gate.any_host_port = int(gate.urls[2].rsplit(":", 1)[1])
        try:
            yield gate
        except BaseException:
            gate.process.stop()
            raise
        gate.stop()


@pytest.fixture
def door(suite, request):
    """The gate; after each test it must have kept everything from the upstream, and still serve."""
    request.node._gates = [suite]
    before = len(suite.upstream.connections)
    yield suite
    assert suite.alive()
    arrived = suite.upstream.connections[before:]
    assert not arrived, [bytes(connection.received) for connection in arrived]
    assert_serves(suite)


def assert_serves(door) -> None:
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        raw.send_frame(TEXT, b"a good client")
        assert raw.frame().payload == b"a good client"


def send_all(raw: Raw, data: bytes) -> None:
    """Sends what the gate may refuse before it has read all of it."""
    try:
        raw.send(data)
    except OSError:
        pass


def end_sending(raw: Raw) -> None:
    try:
        raw.shutdown()
    except OSError:
        # The gate was quicker, and the connection is over.
        pass


def answer_to(door, data: bytes, *, then_end: bool = False, port: int | None = None) -> Response:
    with Raw(port or door.port, timeout=5) as raw:
        send_all(raw, data)
        if then_end:
            end_sending(raw)
        return raw.response(data.split(b" ", 1)[0].decode("latin-1"))


def assert_refused(answer: Response, status: int, code: str) -> None:
    problem = table.problem(answer)
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)


def assert_ends(door, data: bytes, status: int) -> Response:
    """An answer in HTTP, and the connection is over: nobody knows where the next request would begin."""
    with Raw(door.port, timeout=5) as raw:
        send_all(raw, data)
        answer = raw.response()
        assert answer.status == status, (answer.status, answer.headers, answer.body)
        try:
            assert raw.ended() == b""
        except ConnectionResetError:
            pass
        return answer


def good(*, path: str = "/", extra: bytes = b"", host: bytes | None = None, method: bytes = b"GET", version: bytes = b"HTTP/1.1", end: bytes = b"\r\n\r\n") -> bytes:
    """A handshake that would be admitted but for what the test puts into it, byte by byte."""
    lines = [
        method + b" " + path.encode("latin-1") + b" " + version,
        b"Host: " + (host or b"127.0.0.1"),
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Authorization: Bearer " + tokens.ALICE.encode(),
    ]
    return b"\r\n".join(lines) + (b"\r\n" + extra if extra else b"") + end


def post(extra: list[bytes], body: bytes = b"") -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: 127.0.0.1", b"Authorization: Bearer " + tokens.ALICE.encode(), *extra]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# Not HTTP -------------------------------------------------------------------------------------------------------------

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2

GARBAGE = {
    "zeros": b"\0" * 64,
    "every byte": bytes(range(256)),
    "high bytes": b"\xff\xfe\xfd" * 50 + b"\r\n\r\n",
    "TLS": CLIENT_HELLO,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "words": b"hello there\r\n\r\n",
    "a WebSocket frame": frame(TEXT, b"no handshake"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n",
    "lower case": b"get / http/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "spaces in the target": b"GET /a b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a control character in the target": b"GET /a\x01b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a NUL in the target": b"GET /a\0b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_not_http_is_a_400_and_the_end(door, what):
    assert_ends(door, GARBAGE[what], 400)


def test_nothing_at_all_is_closed_in_time_without_a_word(door):
    with Raw(door.port) as raw:
        assert raw.ended(timeout=SHORT + 3) == b""


def test_a_client_that_leaves_at_once_does_no_harm(door):
    for data in (b"", b"G", b"GET / HTTP/1.1\r\nHo", good()[:-2]):
        raw = Raw(door.port)
        if data:
            raw.send(data)
        raw.reset()


# Half and slow --------------------------------------------------------------------------------------------------------

WHOLE = good()
HALVES = {"method": 3, "target": 6, "line": 16, "headers": len(WHOLE) // 2, "all but the last byte": len(WHOLE) - 1}


@pytest.mark.parametrize("half", HALVES)
def test_half_a_handshake_and_an_end_is_a_400(door, half):
    answer = answer_to(door, WHOLE[: HALVES[half]], then_end=True)
    assert answer.status == 400


@pytest.mark.parametrize("half", HALVES)
def test_half_a_handshake_and_silence_is_a_408_in_time(door, half):
    assert_ends(door, WHOLE[: HALVES[half]], 408)


def test_a_header_that_trickles_in_is_cut_off_in_time_however_busy_it_looks(door):
    with Raw(door.port) as raw:
        raw.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        for _ in range(40):
            # A byte now and then, which is no progress.
            if not raw.quiet(0.1):
                break
            send_all(raw, b"x")
        else:
            pytest.fail("the gate waits for ever")
        assert raw.response().status == 408


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
def test_a_slow_request_of_another_method_is_no_exception(door, method):
    assert_ends(door, f"{method} / HTTP/1.1\r\nHost: 127".encode(), 408)


def test_half_a_handshake_in_a_kept_connection_is_no_exception(door):
    with Raw(door.port) as raw:
        # Refused, and kept: the second request on it is only half there.
        assert raw.send(upgrade(host=door.authority)).response().status == 401
        raw.send(WHOLE[:40])
        assert raw.response().status == 408


# Too much -------------------------------------------------------------------------------------------------------------

TOO_MUCH = {
    "one header of 64 KiB": lambda: good(extra=b"X-Big: " + b"x" * (64 << 10)),
    "64 KiB without a line end": lambda: b"GET /" + b"x" * (64 << 10),
    "64 KiB of a plain request": lambda: request(headers=[*BEARER, ("X-Big", "x" * (64 << 10))]),
    "one header of 1 MiB": lambda: good(extra=b"X-Big: " + b"x" * (1 << 20)),
    "1 MiB in headers of 16 KiB": lambda: good(extra=b"\r\n".join(b"X-Big-%d: " % n + b"x" * 16384 for n in range(64))),
    "a target of 1 MiB": lambda: good(path="/" + "x" * (1 << 20)),
    "1 MiB without a line end": lambda: b"GET /" + b"x" * (1 << 20),
    "101 headers": lambda: good(extra=b"\r\n".join(b"X-%d: 1" % n for n in range(95))),
    "1000 headers": lambda: good(extra=b"\r\n".join(b"X-%d: 1" % n for n in range(1000))),
    "1000 headers of a plain request": lambda: request(headers=[*BEARER, *((f"X-{n}", "1") for n in range(1000))]),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_much_of_a_head_is_a_431_or_a_414(door, what):
    status = 414 if what == "a target of 1 MiB" else 431
    answer = answer_to(door, TOO_MUCH[what]())
    assert answer.status in (status, 431), (answer.status, answer.body)


def test_100_headers_and_60_KiB_are_not_too_much(suite):
    with Raw(suite.port) as raw:
        raw.send(good(extra=b"\r\n".join(b"X-%d: 1" % n for n in range(93))))
        assert raw.response().status == 101
    with Raw(suite.port) as raw:
        raw.send(good(extra=b"X-Big: " + b"x" * (60 << 10)))
        assert raw.response().status == 101


# Contradictions -------------------------------------------------------------------------------------------------------


def test_two_hosts_are_no_host(door):
    for extra in (b"Host: 127.0.0.1", b"Host: evil.example", b"hOST: localhost"):
        assert_refused(answer_to(door, good(extra=extra)), 403, "host_forbidden")
        assert_refused(answer_to(door, good(extra=extra), port=door.any_host_port), 403, "host_forbidden")
        plain = request(headers=[*BEARER, tuple(extra.decode().split(": "))])
        assert_refused(answer_to(door, plain), 403, "host_forbidden")


HOSTS = [b"a b", b"http://127.0.0.1/", b"127.0.0.1/x", b"127.0.0.1, evil.example", b"user@127.0.0.1", b"127.0.0.1\\evil.example", b"[::1", b"127.0.0.1:x", b"\xff"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_no_host_is_forbidden(door, host):
    answer = answer_to(door, good(host=host))
    assert answer.status in (400, 403), (answer.status, answer.body)
    if answer.status == 403:
        assert_refused(answer, 403, "host_forbidden")


def test_a_missing_host_is_forbidden_on_loopback(door):
    assert_refused(answer_to(door, upgrade(headers=BEARER, host=None)), 403, "host_forbidden")
    assert_refused(answer_to(door, request(headers=BEARER, host=None)), 403, "host_forbidden")


@pytest.mark.parametrize("target", ["http://evil.example/", "http://127.0.0.1.evil.example/", "ws://evil.example/", "http://user@127.0.0.1/", "http://127.0.0.1:1/"])
def test_a_target_that_disagrees_with_host_is_forbidden(door, target):
    for port in (door.port, door.any_host_port):
        for data in (good(path=target), request(path=target, headers=BEARER)):
            assert_refused(answer_to(door, data, port=port), 403, "host_forbidden")


def test_a_target_that_agrees_with_host_is_served(suite):
    with Raw(suite.port) as raw:
        raw.send(good(path=f"http://{suite.authority}/", host=suite.authority.encode()))
        assert raw.response().status == 101


@pytest.mark.parametrize("second", [b"http://127.0.0.1", b"https://evil.example", b""])
def test_two_origins_are_a_foreign_origin(door, second):
    extra = b"Origin: http://127.0.0.1\r\nOrigin: " + second
    assert_refused(answer_to(door, good(extra=extra)), 403, "origin_forbidden")


ORIGINS = [b"null", b"", b"127.0.0.1", b"http://127.0.0.1/", b"http://127.0.0.1 http://evil.example", b"http://user@127.0.0.1", b"http://127.0.0.1.evil.example",
           b"http://127.0.0.1:81", b"\xff", b"http://127.0.0.1\x00"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_that_is_none_of_this_host_is_forbidden(door, origin):
    answer = answer_to(door, good(extra=b"Origin: " + origin))
    if b"\0" in origin:
        assert answer.status == 400
    else:
        assert_refused(answer, 403, "origin_forbidden")


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"

SMUGGLING = {
    "Content-Length twice, different": ([b"Content-Length: 5", b"Content-Length: 6"], b"hello!"),
    "Content-Length twice, equal": ([b"Content-Length: 5", b"Content-Length: 5"], b"hello"),
    "Content-Length as a list": ([b"Content-Length: 5, 5"], b"hello"),
    "Content-Length with a sign": ([b"Content-Length: +5"], b"hello"),
    "Content-Length negative": ([b"Content-Length: -1"], b"hello"),
    "Content-Length in hex": ([b"Content-Length: 0x5"], b"hello"),
    "Content-Length with a space": ([b"Content-Length: 5 5"], b"hello"),
    "Content-Length empty": ([b"Content-Length:"], b""),
    "Content-Length huge": ([b"Content-Length: 18446744073709551616"], b"hello"),
    "CL.TE": ([b"Content-Length: 4", b"Transfer-Encoding: chunked"], CHUNKED + SMUGGLED),
    "TE.CL": ([b"Transfer-Encoding: chunked", b"Content-Length: 4"], CHUNKED + SMUGGLED),
    "TE twice": ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], CHUNKED),
    "TE chunked and then another": ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], CHUNKED),
    "TE as a list twice chunked": ([b"Transfer-Encoding: chunked, chunked"], CHUNKED),
    "TE not chunked": ([b"Transfer-Encoding: identity"], b"hello"),
    "TE unknown": ([b"Transfer-Encoding: xchunked"], CHUNKED),
    "TE of two codings": ([b"Transfer-Encoding: gzip, chunked"], CHUNKED),
    "TE with a vertical tab": ([b"Transfer-Encoding: \x0bchunked"], CHUNKED),
    "TE with a space before the colon": ([b"Transfer-Encoding : chunked"], CHUNKED),
    "TE folded": ([b"Transfer-Encoding:\r\n chunked"], CHUNKED),
    "TE in quotes": ([b'Transfer-Encoding: "chunked"'], CHUNKED),
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_a_body_whose_length_is_in_doubt_never_reaches_the_upstream(door, shape):
    extra, body = SMUGGLING[shape]
    answer = assert_ends(door, post(extra, body), 400)
    assert answer.body == b"" or json.loads(answer.body)["code"] == "bad_handshake"


@pytest.mark.parametrize("shape", ["CL.TE", "TE.CL"])
def test_on_a_kept_connection_two_lengths_are_chunks_and_the_end(suite, shape):
    """RFC 9112, 6.1: what is read is the chunks alone, what goes upstream says so, and nothing behind it is taken for a request.

    Why it is not refused, as it is on a fresh connection: docs/decisions/0015-two-lengths-on-a-kept-connection.md.
    """
    extra, body = SMUGGLING[shape]
    before = len(suite.upstream.connections)
    with Raw(suite.port, timeout=5) as raw:
        assert raw.send(request(path="/healthz", host=suite.authority)).response().status == 200
        raw.send(post(extra, body))
        answer = raw.response()
        try:
            rest = raw.ended()
        except ConnectionResetError:
            rest = b""
    assert answer.status in (200, 400) and rest == b""
    for connection in suite.upstream.connections[before:]:
        seen = bytes(connection.received)
        assert b"content-length" not in seen.lower() and b"smuggled" not in seen, seen
    assert_serves(suite)


CHUNKS = {
    "a size that is no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size that overflows": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "a bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", CHUNKS)
def test_a_broken_chunk_ends_the_request_upstream_too(suite, what):
    """The head was good and is on its way: the upstream must see that the body is not whole."""
    before = len(suite.upstream.connections)
    with Raw(suite.port, timeout=5) as raw:
        raw.send(post([b"Transfer-Encoding: chunked"], CHUNKS[what]))
        try:
            answer = raw.response()
            assert answer.status in (200, 400, 502), answer.status
        except Closed:
            pass
        try:
            assert raw.ended() == b""
        except ConnectionResetError:
            pass
    for connection in suite.upstream.connections[before:]:
        assert not bytes(connection.received).endswith(b"0\r\n\r\n")
    assert_serves(suite)


@pytest.mark.parametrize("extra", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: 0\r\nTransfer-Encoding: chunked"])
def test_a_handshake_with_a_body_is_refused(door, extra):
    answer = answer_to(door, good(extra=extra, end=b"\r\n\r\nhello"))
    assert answer.status == 400, (answer.status, answer.body)
    if answer.body:
        assert_refused(answer, 400, "bad_handshake")


BROKEN_HEADERS = {
    "obs-fold": b"X-Folded: one\r\n two",
    "obs-fold of the first line": b" X-Folded: one",
    "a space before the colon": b"X-Spaced : one",
    "a tab before the colon": b"X-Spaced\t: one",
    "no colon": b"X-Nothing",
    "no name": b": one",
    "a space in the name": b"X Two: one",
    "a NUL in the value": b"X-Nul: a\0b",
    "a NUL in the name": b"X-\0: a",
    "a control character in the value": b"X-Bell: a\x07b",
    "a bare CR in the value": b"X-Cr: a\rb",
    "a byte beyond ASCII in the name": b"X-\xe9: a",
    "a bare CR as a line end": b"X-One: 1\rX-Two: 2",
}


@pytest.mark.parametrize("what", BROKEN_HEADERS)
def test_a_broken_header_is_a_400_and_the_end(door, what):
    assert_ends(door, good(extra=BROKEN_HEADERS[what]), 400)
    assert_ends(door, post([BROKEN_HEADERS[what]]), 400)


def test_bare_line_feeds_are_line_ends_for_us_and_never_for_those_behind_us(suite):
    """RFC 9112, 2.2 lets a recipient take them; what goes upstream is written anew."""
    before = len(suite.upstream.connections)
    with Raw(suite.port) as raw:
        raw.send(good().replace(b"\r\n", b"\n"))
        answer = raw.response()
        assert answer.status in (101, 400)
    for connection in suite.upstream.connections[before:]:
        head = bytes(connection.received).split(b"\r\n\r\n")[0]
        assert b"\n" not in head.replace(b"\r\n", b"")
    assert_serves(suite)


# Paths between routes of different policy -----------------------------------------------------------------------------

CROOKED = [
    "/public/../admin", "/public/..", "/public/../", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2E%2E/admin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin",
    "/public/x/../../admin", "/public\\..\\admin", "/public/..\\admin", "/public/..%5cadmin", "//admin", "///admin", "/./admin", "/%61dmin", "/%2fadmin", "/x/../public/y",
    "//public/x", "/public//../admin",
]


@pytest.mark.parametrize("path", CROOKED)
def test_a_path_that_could_mean_another_route_is_an_unknown_resource(door, path):
    for data in (good(path=path), request(path=path, headers=BEARER), request(path=path)):
        answer = answer_to(door, data)
        assert_refused(answer, 404, "resource_unknown")


@pytest.mark.parametrize("path", ["/admin", "/admin?x=/../public/"])
def test_the_straight_path_meets_its_own_policy(door, path):
    for data in (good(path=path), request(path=path, headers=BEARER)):
        assert_refused(answer_to(door, data), 403, "insufficient_scope")


# Handshakes that are none ---------------------------------------------------------------------------------------------

KEYS = ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25j!Q==", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==", "A" * 1000]


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_key_is_a_bad_handshake(door, key):
    assert_refused(answer_to(door, upgrade(headers=BEARER, key=key, host=door.authority)), 400, "bad_handshake")


def test_a_missing_or_doubled_key_is_a_bad_handshake(door):
    assert_refused(answer_to(door, upgrade(headers=BEARER, key=None, host=door.authority)), 400, "bad_handshake")
    assert_refused(answer_to(door, good(extra=b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")), 400, "bad_handshake")


@pytest.mark.parametrize("version", [None, "", "12", "14", "013", "13.0", "thirteen", "13, 8", "8"])
def test_a_wrong_version_is_told_the_right_one(door, version):
    answer = answer_to(door, upgrade(headers=BEARER, ws_version=version, host=door.authority))
    assert_refused(answer, 426, "bad_handshake")
    assert answer.header("sec-websocket-version") == "13"


def test_a_doubled_version_is_a_wrong_version(door):
    assert_refused(answer_to(door, good(extra=b"Sec-WebSocket-Version: 13")), 426, "bad_handshake")


@pytest.mark.parametrize("connection", [None, "", "close", "keep-alive", "upgraded"])
def test_an_upgrade_without_connection_upgrade_is_a_bad_handshake(door, connection):
    assert_refused(answer_to(door, upgrade(headers=BEARER, connection=connection, host=door.authority)), 400, "bad_handshake")


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE", "OPTIONS"])
def test_a_handshake_of_another_method_is_told_to_use_get(door, method):
    answer = answer_to(door, upgrade(headers=BEARER, method=method, host=door.authority))
    assert (answer.status, answer.header("allow")) == (405, "GET")
    if method != "HEAD":
        assert_refused(answer, 405, "bad_handshake")


def test_a_handshake_in_HTTP_1_0_is_told_to_upgrade(door):
    answer = answer_to(door, upgrade(headers=BEARER, version="1.0", host=door.authority))
    assert_refused(answer, 426, "bad_handshake")


def test_the_shape_is_asked_before_the_credential_and_after_the_origin(door):
    assert_refused(answer_to(door, upgrade(ws_version="8", host=door.authority)), 426, "bad_handshake")
    foreign = [("Origin", "https://evil.example")]
    assert_refused(answer_to(door, upgrade(headers=foreign, ws_version="8", host=door.authority)), 403, "origin_forbidden")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_no_services_business_do_not_pass(door, method):
    """A tunnel would go anywhere, and TRACE would show what the gate adds for the upstream alone."""
    targets = ["evil.example:443", f"127.0.0.1:{door.upstream.port}"] if method == "CONNECT" else ["/", "/public/x", "*"]
    for target in targets:
        answer = answer_to(door, request(method, target, BEARER, host=target if method == "CONNECT" else door.authority))
        assert 400 <= answer.status < 500, (target, answer.status)


# HTTP/2 ---------------------------------------------------------------------------------------------------------------


def curl(door, *argv: str) -> tuple[int, bytes]:
    result = subprocess.run(["curl", "-sS", "-m", "10", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", *argv],
                            env=clean_env(), capture_output=True, timeout=20)
    assert result.returncode == 0, result.stderr
    body, told = result.stdout.rsplit(b"\n", 1)
    version, status = told.split()
    assert version == b"2"
    return int(status), body


def test_http_2_with_prior_knowledge_gets_the_same_decision(door):
    status, body = curl(door, door.http("/"))
    assert (status, json.loads(body)["code"]) == (401, "missing_credential")
    status, body = curl(door, "-H", f"Authorization: Bearer {tokens.WRONG}", door.http("/"))
    assert (status, json.loads(body)["code"]) == (401, "invalid_credential")
    status, body = curl(door, "-H", "Host: rebound.example", door.http("/"))
    assert (status, json.loads(body)["code"]) == (403, "host_forbidden")


def test_http_2_with_prior_knowledge_is_served(suite):
    assert curl(suite, "-H", f"Authorization: Bearer {tokens.ALICE}", suite.http("/")) == (200, b"ok")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BROKEN_HTTP_2 = {
    "half a preface": PREFACE[:10],
    "a preface and garbage": PREFACE + bytes(range(256)),
    "a preface and an HTTP/1.1 request": PREFACE + request(headers=BEARER),
    "a preface and a frame too long": PREFACE + b"\xff\xff\xff\x04\x00\x00\x00\x00\x00" + b"\0" * 1000,
    "a preface and headers on stream 0": PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
}


@pytest.mark.parametrize("what", BROKEN_HTTP_2)
def test_broken_http_2_ends(door, what):
    with Raw(door.port) as raw:
        send_all(raw, BROKEN_HTTP_2[what])
        end_sending(raw)
        try:
            raw.ended(timeout=SHORT + 3)
        except ConnectionResetError:
            pass


# Credentials ----------------------------------------------------------------------------------------------------------

# `protocols/app-server.md` 2.2, and two `Authorization` headers, which we take for malformed.
FORMS = {
    "none": ([], "missing_credential"),
    "another token": ([f"Bearer {tokens.WRONG}"], "invalid_credential"),
    "an extra word": ([f"Bearer {tokens.ALICE} more"], "invalid_credential"),
    "quoted": ([f'Bearer "{tokens.ALICE}"'], "invalid_credential"),
    "Basic": (["Basic dXNlcjpwYXNz"], "malformed_credential"),
    "bare": ([tokens.ALICE], "malformed_credential"),
    "Bearer alone": (["Bearer"], "malformed_credential"),
    "Bearer and a space": (["Bearer "], "malformed_credential"),
    "Bearer and a tab": ([f"Bearer\t{tokens.ALICE}"], "malformed_credential"),
    "empty": ([""], "malformed_credential"),
    "not ASCII": ([b"Bearer \xc3\xa9"], "malformed_credential"),
    "not UTF-8": ([b"Bearer \xff"], "malformed_credential"),
    "with a comma": ([f"Bearer {tokens.ALICE}, Bearer {tokens.ALICE}"], "invalid_credential"),
    "two, both good": ([f"Bearer {tokens.ALICE}", f"Bearer {tokens.ALICE}"], "malformed_credential"),
    "two, good and bad": ([f"Bearer {tokens.ALICE}", f"Bearer {tokens.WRONG}"], "malformed_credential"),
    "two, bad and good": ([f"Bearer {tokens.WRONG}", f"Bearer {tokens.ALICE}"], "malformed_credential"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_bearer_form_that_is_none_is_refused_alike_over_http_and_websocket(door, form):
    values, code = FORMS[form]
    headers = [("Authorization", value) for value in values]
    for make in (upgrade, request):
        table.assert_denied(answer_to(door, make(headers=headers, host=door.authority)), code)


@pytest.mark.parametrize("value", [f"Bearer {tokens.ALICE}", f"bearer {tokens.ALICE}", f"BEARER {tokens.ALICE}", f"Bearer  {tokens.ALICE}", f"Bearer {tokens.ALICE}  "])
def test_a_bearer_form_that_is_one_is_taken(suite, value):
    for name in ("Authorization", "authorization", "AUTHORIZATION"):
        assert ask(suite.port, upgrade(headers=[(name, value)], host=suite.authority)).status == 101


@pytest.mark.parametrize("name", ["Proxy-Authorization", "X-Authorization", "Cookie"])
def test_a_credential_elsewhere_is_not_looked_at(door, name):
    table.assert_denied(answer_to(door, upgrade(headers=[(name, f"Bearer {tokens.ALICE}")], host=door.authority)), "missing_credential")


@pytest.mark.parametrize("query", ["token=%ff", "token=%c3%28", "access_token=%80", "token=", "token", "token=a&token=b", "token=a&access_token=b", "%74oken=%ff"])
def test_a_token_in_the_query_that_is_no_text_is_malformed(door, query):
    for make in (upgrade, request):
        table.assert_denied(answer_to(door, make(path=f"/?{query}", host=door.authority)), "malformed_credential")


def test_raw_bytes_in_the_query_are_a_400(door):
    for data in (b"/?x=\xff", b"/?token=\xc3\x28", b"/\xff"):
        assert_ends(door, good(path=data.decode("latin-1")), 400)


PROTOCOLS = {
    "no base64": (b"portcullis.bearer.!, chat", "malformed_credential"),
    "padded base64": (b"portcullis.bearer.YWJj=, chat", "malformed_credential"),
    "half base64": (b"portcullis.bearer.a, chat", "malformed_credential"),
    "not UTF-8 within": (b"portcullis.bearer.gIGC, chat", "malformed_credential"),
    "nothing": (b"portcullis.bearer., chat", "malformed_credential"),
    "nothing, openai": (b"openai-insecure-api-key., chat", "malformed_credential"),
    "two": (b"portcullis.bearer.YWJj, base64url.bearer.phx.YWJj, chat", "malformed_credential"),
    "wrong": (b"chat, portcullis.bearer.YWJj", "invalid_credential"),
    "unknown dialect": (b"base64url.bearer.unknown.YWJj, chat", "missing_credential"),
}


@pytest.mark.parametrize("what", PROTOCOLS)
def test_a_subprotocol_that_is_no_credential_is_refused(door, what):
    offer, code = PROTOCOLS[what]
    table.assert_denied(answer_to(door, upgrade(headers=[("Sec-WebSocket-Protocol", offer)], host=door.authority)), code)


@pytest.mark.parametrize("offer", [b"\xff", b"chat, \xff\xfe", b"portcullis.bearer.\xff, chat", b"\xc3\xa9"])
def test_a_subprotocol_header_that_is_not_text_is_refused(door, offer):
    answer = answer_to(door, upgrade(headers=[("Sec-WebSocket-Protocol", offer)], host=door.authority))
    assert (answer.status, table.problem(answer)["code"]) in [(401, "malformed_credential"), (401, "missing_credential")]


# After the handshake --------------------------------------------------------------------------------------------------

BAD_FRAMES = {
    "unmasked": frame(TEXT, b"hello", mask=None),
    "a fragmented ping": frame(9, b"", fin=False),
    "a ping of 126 bytes": b"\x89\xfe\x00\x7e" + b"\0" * 130,
    "a length beyond 63 bits": b"\x82\xff" + b"\xff" * 8 + b"\0" * 4,
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_a_broken_frame_ends_the_session_and_goes_nowhere(suite, what):
    before = len(suite.upstream.connections)
    with Raw(suite.port) as raw:
        raw.open("/", BEARER, host=suite.authority)
        raw.send(BAD_FRAMES[what])
        end = raw.frame()
        assert (end.opcode, end.code) == (CLOSE, 1002)
    [connection] = suite.upstream.connections[before:]
    after_head = bytes(connection.received).split(b"\r\n\r\n", 1)[1]
    # All that the upstream may have heard is that it is over.
    assert after_head == b"" or after_head[0] == 0x88
    assert_serves(suite)
