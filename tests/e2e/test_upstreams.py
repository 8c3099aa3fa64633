"""What stands behind the gate: sizes, fragments, compression, streams, loss, and what is said upstream about the client."""

from __future__ import annotations

import json
import ssl
import threading

import pytest
from websockets.sync.client import connect

from support import configs, node, table, tokens
from support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, Raw, accept_for, ask, close_frame, frame, request, upgrade
from support.upstreams import echo_frames, fastapi as start_fastapi, free_port

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]
HEADERS = dict(BEARER)
MIB = 1 << 20


@pytest.fixture
def open_gate(gate, files):
    """A gate with the stock config in front of some upstream; keyword arguments go into the route."""
    return lambda upstream, **route: gate(configs.base(files, upstream, **route))


# Messages ---------------------------------------------------------------------------------------------------------------


SIZES = [0, 1, 64, 125, 126, 127, 65535, 65536, MIB, 16 * MIB + 1]


def echoed(door, sizes: list[int], *, piece: int, compress: bool, wait: float = 40) -> None:
    """Sends messages of these sizes one after another, and insists on what comes back."""
    events = node.connect(door.ws("/echo"), headers=HEADERS, bulk={"sizes": sizes, "piece": piece}, until=len(sizes), compress=compress, wait=wait)
    assert node.event(events, "open")["extensions"] == ("permessage-deflate" if compress else "")
    assert [(e["bytes"], e["same"]) for e in events if e["event"] == "message"] == [(size, True) for size in sizes]
    assert node.event(events, "close") == {"event": "close", "code": 1000, "reason": "enough"}


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
@pytest.mark.parametrize("piece", [0, 1 << 16], ids=["whole", "fragmented"])
def test_messages_of_every_size_come_back_as_they_went(open_gate, node_ws, piece, compress):
    echoed(open_gate(node_ws.url), SIZES, piece=piece, compress=compress)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece, compress", [(0, True), (0, False), (MIB, False)], ids=["whole, compressed", "whole", "fragmented"])
def test_a_message_of_100_MiB_comes_back_as_it_went(open_gate, node_ws, piece, compress):
    echoed(open_gate(node_ws.url), [100 * MIB], piece=piece, compress=compress, wait=90)


@pytest.mark.parametrize("piece", [0, 100_000], ids=["whole", "fragmented"])
@pytest.mark.parametrize("size", [64, 100 * MIB])
def test_an_upstream_may_send_first_and_as_much_as_it_likes(open_gate, node_ws, size, piece):
    door = open_gate(node_ws.url)
    events = node.connect(door.ws(f"/send?bytes={size}&piece={piece}"), headers=HEADERS, until=1, wait=50)
    message = node.event(events, "message")
    assert (message["bytes"], message["same"]) == (size, True)


def test_the_fastapi_app_echoes_compressed_text_and_bytes(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with connect(door.ws("/ws/echo"), additional_headers=HEADERS, proxy=None, max_size=None) as socket:
        assert socket.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        for message in ("", "text", "snow \u2603" * 1000, b"", b"\x00\xff" * 50_000):
            socket.send(message)
            assert socket.recv(timeout=10) == message
        socket.send(["frag", "men", "ted"])
        assert socket.recv(timeout=10) == "fragmented"


def test_fragments_compressed_bits_and_interleaved_pings_pass_frame_by_frame(open_gate, raw_upstream):
    upstream = raw_upstream(echo_frames)
    door = open_gate(upstream.url)
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        sent = [
            (TEXT, b"one", False, 4),
            (CONTINUATION, b"", False, 0),
            (CONTINUATION, b"two" * 100, False, 0),
            (CONTINUATION, b"three" * 20_000, True, 0),
            (BINARY, b"", True, 0),
        ]
        for opcode, payload, fin, rsv in sent:
            raw.send_frame(opcode, payload, fin=fin, rsv=rsv)
        raw.send_frame(PING, b"are you there")
        got = [raw.frame() for _ in range(len(sent) + 1)]
        assert [(f.opcode, f.payload, f.fin, f.rsv) for f in got] == [*sent, (PONG, b"are you there", True, 0)]
        assert not any(f.masked for f in got)


def test_a_frame_cut_into_single_bytes_arrives_whole(open_gate, raw_upstream):
    door = open_gate(raw_upstream(echo_frames).url)
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        for byte in frame(TEXT, b"x" * 130):
            raw.send(bytes([byte]))
        assert raw.frame().payload == b"x" * 130


def test_frames_sent_with_the_handshake_are_not_lost(open_gate, raw_upstream):
    """A client may not do that before the 101, but bytes that come are bytes; an upstream may, right behind its 101."""

    def eager(connection):
        connection.read_request()
        key = connection.header("sec-websocket-key")[0]
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept_for(key)}\r\n\r\n"
        connection.send(head.encode() + frame(TEXT, b"at once", mask=None))
        assert connection.frame().payload == b"early"
        connection.send(frame(TEXT, b"got it", mask=None))
        connection.ended()

    door = open_gate(raw_upstream(eager).url)
    with Raw(door.port) as raw:
        raw.send(upgrade("/", BEARER, host=door.authority) + frame(TEXT, b"early"))
        assert raw.response().status == 101
        assert [raw.frame().payload, raw.frame().payload] == [b"at once", b"got it"]


def test_the_clients_close_reaches_the_upstream_and_its_answer_comes_back(open_gate, fastapi):
    door = open_gate(fastapi.url)
    mark = fastapi.mark()
    with Raw(door.port) as raw:
        raw.open("/ws/echo", BEARER, host=door.authority)
        raw.send(close_frame(4321, "my own reason"))
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 4321, "my own reason")
        assert raw.ended() == b""
    closed = fastapi.wait_event(mark, event="closed")
    assert (closed["code"], closed["reason"]) == (4321, "my own reason")


def test_the_upstreams_close_reaches_the_client_untouched(open_gate, node_ws):
    door = open_gate(node_ws.url)
    events = node.connect(door.ws("/close?code=4777&reason=enough%20now"), headers=HEADERS)
    assert node.event(events, "close") == {"event": "close", "code": 4777, "reason": "enough now"}


def test_pings_of_either_side_pass_through(open_gate, node_ws):
    door = open_gate(node_ws.url)
    mark = node_ws.mark()
    with connect(door.ws("/ping"), additional_headers=HEADERS, proxy=None) as socket:
        socket.send("ping me with this")
        assert socket.ping().wait(10)
        node_ws.wait_event(mark, event="pong", data="ping me with this")


# Loss -----------------------------------------------------------------------------------------------------------------


def test_an_upstream_killed_between_frames_ends_as_1014(open_gate, node_ws):
    door = open_gate(node_ws.url)
    events = node.connect(door.ws("/terminate"), headers=HEADERS, send=["die"])
    assert node.event(events, "close") == {"event": "close", "code": 1014, "reason": "upstream_unreachable"}


def test_an_upstream_killed_between_the_fragments_of_a_message_ends_as_1014(open_gate, raw_upstream):
    def dies(connection):
        connection.accept()
        connection.send(frame(TEXT, b"half of a mess", fin=False, mask=None))
        connection.reset()

    door = open_gate(raw_upstream(dies).url)
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        got = raw.frame()
        assert (got.opcode, got.payload, got.fin) == (TEXT, b"half of a mess", False)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 1014, "upstream_unreachable")


def test_an_upstream_process_killed_in_mid_message_ends_as_1014(gate, files):
    """The real thing: SIGKILL to the app while the client still sends."""
    app = start_fastapi()
    try:
        door = gate(configs.base(files, app.url))
        with Raw(door.port) as raw:
            raw.open("/ws/echo", BEARER, host=door.authority)
            raw.send_frame(TEXT, b"the first half", fin=False)
            app.process.kill()
            end = raw.frame()
            assert (end.opcode, end.code, end.reason) == (CLOSE, 1014, "upstream_unreachable")
        assert door.wait_session_end(code=1014)["reason"] == "upstream_unreachable"
    finally:
        app.stop()


def test_nothing_is_put_into_a_frame_that_the_upstream_left_unfinished(open_gate, raw_upstream):
    """A close inside the frame would be read as its payload; the client's connection is cut instead."""
    whole = frame(TEXT, b"0123456789" * 100, mask=None)
    part = whole[:200]

    def dies(connection):
        connection.accept()
        connection.send(part)

    door = open_gate(raw_upstream(dies).url)
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        assert raw.ended(timeout=5) == part


def test_an_upstream_that_nobody_serves_is_unreachable(open_gate):
    door = open_gate(f"http://127.0.0.1:{free_port()}")
    for data in (request(headers=BEARER, host=door.authority), upgrade(headers=BEARER, host=door.authority)):
        table.assert_denied(ask(door.port, data), "upstream_unreachable")


def test_an_unreachable_upstream_is_a_close_code_for_a_browser(open_gate):
    door = open_gate(f"http://127.0.0.1:{free_port()}", origin="same-host")
    with Raw(door.port) as raw:
        raw.open("/", [*BEARER, ("Origin", f"http://{door.authority}")], host=door.authority)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 1014, "upstream_unreachable")


def test_an_upstream_that_never_answers_is_a_504(open_gate, raw_upstream):
    door = open_gate(raw_upstream().url, response_timeout="500ms")
    for data in (request(headers=BEARER, host=door.authority), upgrade(headers=BEARER, host=door.authority)):
        table.assert_denied(ask(door.port, data), "upstream_timeout")


def test_an_upstream_that_never_answers_is_a_close_code_for_a_browser(open_gate, raw_upstream):
    door = open_gate(raw_upstream().url, response_timeout="500ms", origin="same-host")
    with Raw(door.port) as raw:
        raw.open("/", [*BEARER, ("Origin", f"http://{door.authority}")], host=door.authority)
        end = raw.frame()
        assert (end.opcode, end.code, end.reason) == (CLOSE, 1014, "upstream_timeout")


def test_an_upstreams_own_refusal_of_the_upgrade_passes_through(open_gate, raw_upstream):
    body = b'{"mine": true}'

    def refuses(connection):
        connection.read_request()
        head = f"HTTP/1.1 418 I'm a teapot\r\nContent-Type: application/json\r\nX-Mine: 1\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.send(head.encode() + body)
        connection.ended()

    door = open_gate(raw_upstream(refuses).url)
    answer = ask(door.port, upgrade("/", BEARER, host=door.authority))
    assert (answer.status, answer.body, answer.header("x-mine")) == (418, body, "1")


def test_a_101_with_a_false_accept_key_is_not_passed_on_as_an_open_socket(open_gate, raw_upstream):
    def lies(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n")
        connection.ended()

    door = open_gate(raw_upstream(lies).url)
    with Raw(door.port) as raw:
        answer = raw.send(upgrade("/", BEARER, host=door.authority)).response()
        assert answer.status == 502 or answer.header("sec-websocket-accept") == "AAAA"


# A slow reader --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(90)
def test_a_slow_reader_gets_every_byte_in_the_end_and_the_gate_holds_little_of_it(open_gate, node_ws):
    size = 64 * MIB
    door = open_gate(node_ws.url)
    mark = node_ws.mark()
    before = resident(door)
    with Raw(door.port, receive_buffer=32 * 1024, timeout=30) as raw:
        raw.open(f"/flood?bytes={size}", BEARER, host=door.authority)
        # Take a little, and then nothing while the upstream pushes: the pressure must reach it.
        raw.read(256 * 1024)
        node_ws.wait_event(mark, event="open", path="/flood")
        assert resident(door) - before < 24 * MIB
        assert not [e for e in node_ws.events(mark) if e["event"] == "flooded"]
        total = 256 * 1024
        while True:
            try:
                raw._more()
            except Closed:
                break
            total += len(raw.buffer)
            tail = bytes(raw.buffer[-64:])
            raw.buffer.clear()
            raw.received.clear()
            if tail.endswith(close_frame(1000, "flooded", mask=None)):
                raw.send(close_frame(1000))
        frames = size // 65536
        assert total == frames * (65536 + 10) + len(close_frame(1000, "flooded", mask=None))
    node_ws.wait_event(mark, event="flooded")


def test_a_reader_that_stalls_is_a_slow_consumer_and_hears_it_when_it_reads_on(open_gate, raw_upstream):
    told = threading.Event()

    def floods(connection):
        connection.accept()

        def flood():
            try:
                while True:
                    connection.send(frame(BINARY, b"x" * 65536, mask=None))
            except OSError:
                return

        threading.Thread(target=flood, daemon=True).start()
        # The gate says goodbye to both ends at once; this one reads.
        assert connection.frame().opcode == CLOSE
        told.set()
        connection.ended()

    door = open_gate(raw_upstream(floods).url, session={"stall": "1s"})
    with Raw(door.port, receive_buffer=32 * 1024) as raw:
        raw.open("/", BEARER, host=door.authority)
        assert told.wait(15)
        while (last := raw.frame()).opcode != CLOSE:
            assert last.payload == b"x" * 65536
        assert (last.code, last.reason) == table.close_of("slow_consumer")
    assert door.wait_session_end(reason="slow_consumer")["code"] == 1013


def test_a_reader_that_never_reads_on_is_cut(open_gate, node_ws):
    door = open_gate(node_ws.url, session={"stall": "1s"})
    mark = node_ws.mark()
    with Raw(door.port, receive_buffer=32 * 1024) as raw:
        raw.open("/flood", BEARER, host=door.authority)
        assert door.wait_session_end(reason="slow_consumer", timeout=20)["duration_ms"] < 15_000
        node_ws.wait_event(mark, event="closed", path="/flood")


def resident(door) -> int:
    """The gate's resident memory in bytes."""
    with open(f"/proc/{door.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


# HTTP -----------------------------------------------------------------------------------------------------------------


def test_server_sent_events_arrive_as_they_are_sent(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with Raw(door.port) as raw:
        raw.send(request(path="/sse/one", headers=BEARER, host=door.authority))
        head = raw.read_until(b"\r\n\r\n").decode()
        assert head.startswith("HTTP/1.1 200 ") and "text/event-stream" in head
        # The first event is here while the second cannot have been made.
        assert raw.chunk() == b"id: 1\ndata: first\n\n"
        assert ask(door.port, request("POST", "/open/one", [*BEARER, ("Content-Length", "0")], host=door.authority)).status == 204
        assert raw.chunk() == b"id: 2\ndata: last\n\n"
        assert raw.chunk() == b""


def test_chunked_bodies_stream_in_both_directions_at_once(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with Raw(door.port) as raw:
        raw.send(request("POST", "/mirror/", [*BEARER, ("Transfer-Encoding", "chunked")], host=door.authority))
        raw.send(b"5\r\nfirst\r\n")
        assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        # The first piece is back before the second is sent.
        assert raw.chunk() == b"first"
        raw.send(b"6\r\nsecond\r\n")
        assert raw.chunk() == b"second"
        raw.send(b"0\r\n\r\n")
        assert raw.chunk() == b""


def test_large_bodies_pass_in_both_directions(open_gate, fastapi):
    door = open_gate(fastapi.url)
    size = 32 * MIB
    with Raw(door.port, timeout=30) as raw:
        raw.send(request("POST", "/count", [*BEARER, ("Content-Length", str(size))], host=door.authority))
        sender = threading.Thread(target=lambda: [raw.send(b"u" * MIB) for _ in range(32)])
        sender.start()
        assert json.loads(raw.response().body) == {"bytes": size}
        sender.join()
        answer = raw.send(request(path=f"/download/{size}", headers=BEARER, host=door.authority)).response()
        assert (answer.status, answer.body == b"d" * size) == (200, True)


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with Raw(door.port) as raw:
        raw.send(request("POST", "/count", [*BEARER, ("Expect", "100-continue"), ("Content-Length", "5")], host=door.authority))
        assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        answer = raw.send(b"hello").response()
        assert (answer.status, json.loads(answer.body)) == (200, {"bytes": 5})


def test_a_refused_client_is_not_told_to_send_its_body(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with Raw(door.port) as raw:
        raw.send(request("POST", "/count", [("Expect", "100-continue"), ("Content-Length", "5")], host=door.authority))
        table.assert_denied(raw.response(), "missing_credential")


def test_head_has_no_body_and_http_1_0_is_answered_and_closed(open_gate, raw_upstream):
    def answers(connection):
        while True:
            connection.read_request()
            body = b"" if connection.head.startswith(b"HEAD") else b"0123456789"
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + body)

    door = open_gate(raw_upstream(answers).url)
    with Raw(door.port) as raw:
        answer = raw.send(request("HEAD", "/", BEARER, host=door.authority)).response("HEAD")
        assert (answer.status, answer.header("content-length")) == (200, "10")
        # The connection is in step: the next answer is the next request's.
        assert raw.send(request(headers=BEARER, host=door.authority)).response().body == b"0123456789"
    with Raw(door.port) as raw:
        answer = raw.send(request(headers=BEARER, host=door.authority, version="1.0")).response()
        assert (answer.status, answer.body, raw.ended()) == (200, b"0123456789", b"")


def test_redirects_cookies_and_statuses_are_the_upstreams_own(open_gate, fastapi):
    door = open_gate(fastapi.url)

    def get(path):
        return ask(door.port, request(path=path, headers=BEARER, host=door.authority))

    assert [(a.status, a.header("location")) for a in map(get, ("/redirect/absolute", "/redirect/relative"))] == [
        (302, "https://elsewhere.example/there?x=1"),
        (307, "/headers/there"),
    ]
    assert get("/cookies").all("set-cookie") == ["one=1; HttpOnly; Path=/; SameSite=lax", "two=2; Path=/cookies; SameSite=strict"]
    for code in (401, 404, 500, 503):
        answer = get(f"/status/{code}")
        assert (answer.status, json.loads(answer.body), answer.header("x-app")) == (code, {"status": code}, "mine")


def test_paths_and_queries_reach_the_upstream_as_they_were_written(open_gate, fastapi):
    door = open_gate(fastapi.url)
    target = "/headers/a%2Fb/%7Ec//d%20e?x=1&y=%26&token=mine&z"
    seen = json.loads(ask(door.port, request(path=target, headers=BEARER, host=door.authority)).body)
    assert f"{seen['path']}?{seen['query']}" == target


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_passes_with_its_body(open_gate, fastapi, method):
    door = open_gate(fastapi.url)
    seen = json.loads(ask(door.port, request(method, "/headers/m", [*BEARER, ("Content-Length", "4")], host=door.authority, body=b"body")).body)
    assert (seen["method"], seen["body"]) == (method, "body")


def test_a_prefix_is_stripped_where_the_route_says_so(gate, files, fastapi):
    config = configs.base(files, fastapi.url, path="/api/*", strip_prefix=True)
    config["route"][0]["path"] = "/api/*"
    door = gate(config)
    seen = json.loads(ask(door.port, request(path="/api/headers/x?q=1", headers=BEARER, host=door.authority)).body)
    assert (seen["path"], seen["query"]) == ("/headers/x", "q=1")


def test_a_connection_serves_many_requests(open_gate, fastapi):
    door = open_gate(fastapi.url)
    with Raw(door.port) as raw:
        for number in range(20):
            seen = json.loads(raw.send(request(path=f"/headers/{number}", headers=BEARER, host=door.authority)).response().body)
            assert seen["path"] == f"/headers/{number}"


def test_a_unix_socket_serves_http_and_websocket(open_gate, tmp_path):
    path = str(tmp_path / "app.sock")
    app = start_fastapi(path)
    try:
        door = open_gate(f"unix:{path}")
        assert ask(door.port, request(path="/headers/u", headers=BEARER, host=door.authority)).status == 200
        with connect(door.ws("/ws/echo"), additional_headers=HEADERS, proxy=None) as socket:
            socket.send("over unix")
            assert socket.recv(timeout=10) == "over unix"
    finally:
        app.stop()


# Upstreams over TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(raw_upstream, certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.cert, certs.key)
    return raw_upstream(echo_frames, tls=context)


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_an_upstream_over_tls_is_trusted_by_the_authority_that_the_route_names(open_gate, encrypted, certs, scheme):
    door = open_gate(encrypted.url.replace("https", scheme), tls_ca=certs.ca)
    assert ask(door.port, request(headers=BEARER, host=door.authority)).body == b"ok"
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        raw.send_frame(BINARY, b"x" * 300_000)
        assert raw.frame().payload == b"x" * 300_000


def test_an_upstream_that_nobody_vouches_for_is_unreachable_and_hears_no_request(open_gate, encrypted):
    door = open_gate(encrypted.url)
    for make in (request, upgrade):
        table.assert_denied(ask(door.port, make(headers=BEARER, host=door.authority)), "upstream_unreachable")
    assert encrypted.untouched()


def test_an_upstream_whose_certificate_names_another_is_unreachable(open_gate, encrypted, certs):
    door = open_gate(encrypted.url.replace("127.0.0.1", "127.0.0.2"), tls_ca=certs.ca)
    table.assert_denied(ask(door.port, request(headers=BEARER, host=door.authority)), "upstream_unreachable")
    assert encrypted.untouched()


# What a route asks for ------------------------------------------------------------------------------------------------


def test_a_body_larger_than_the_route_allows_is_a_413(open_gate, fastapi):
    door = open_gate(fastapi.url, max_body="1KiB")
    post = lambda size: request("POST", "/count", [*BEARER, ("Content-Length", str(size))], host=door.authority, body=b"x" * size)
    assert json.loads(ask(door.port, post(1024)).body) == {"bytes": 1024}
    table.assert_denied(ask(door.port, post(1025)), "message_too_big")


def test_a_chunked_body_larger_than_the_route_allows_is_a_413(open_gate, fastapi):
    door = open_gate(fastapi.url, max_body="1KiB")
    with Raw(door.port) as raw:
        raw.send(request("POST", "/count", [*BEARER, ("Transfer-Encoding", "chunked")], host=door.authority))
        raw.send(b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n0\r\n\r\n")
        table.assert_denied(raw.response(), "message_too_big")


@pytest.mark.parametrize("framing, half", [(("Content-Length", "10"), b"half"), (("Transfer-Encoding", "chunked"), b"4\r\nhalf\r\n")])
def test_a_body_that_stops_coming_is_given_up_and_its_client_told(gate, files, raw_upstream, framing, half):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, top={"timeouts": {"body": "500ms"}}))
    with Raw(door.port) as raw:
        raw.send(request("POST", "/", [*BEARER, framing], host=door.authority) + half)
        inner = upstream.take()
        assert inner.ended(timeout=5).endswith(half)
        answer = raw.response()
        assert (answer.status, answer.header("connection")) == (408, "close")
        raw.ended()


def test_a_body_that_is_no_body_is_a_400_and_no_fault_of_the_upstream(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url))
    with Raw(door.port) as raw:
        raw.send(request("POST", "/", [*BEARER, ("Transfer-Encoding", "chunked")], host=door.authority) + b"4\r\nhalf\r\n")
        assert upstream.take().read_request()
        raw.send(b"no size\r\n")
        assert raw.response().status == 400
    assert not [r for r in door.records() if r["target"] == "portcullis::upstream"]


def test_a_message_of_the_upstream_larger_than_the_route_allows_ends_the_session(open_gate, node_ws):
    door = open_gate(node_ws.url, session={"max_message_down": "1KiB"})
    for size, code, reason in ((1024, 1000, "sent"), (1025, 1009, "message_too_big")):
        events = node.connect(door.ws(f"/send?bytes={size}"), headers=HEADERS, send=["done"], compress=False)
        end = node.event(events, "close")
        assert (end["code"], end["reason"]) == (code, reason)


def test_a_route_for_websockets_alone_takes_no_plain_request(open_gate, raw_upstream):
    upstream = raw_upstream()
    door = open_gate(upstream.url, protocols="websocket")
    answer = ask(door.port, request(headers=BEARER, host=door.authority))
    assert (answer.status, table.problem(answer)["code"]) == (400, "bad_handshake")
    assert upstream.untouched()


def test_claims_that_the_route_requires_are_those_of_the_token(open_gate, fastapi):
    door = open_gate(fastapi.url, claims={"tier": "pro"})

    def answer_to(**claims):
        return ask(door.port, request(path="/headers/x", headers=[("Authorization", f"Bearer {tokens.make(**claims)}")], host=door.authority))

    assert [answer_to(tier=tier).status for tier in ("pro", ["free", "pro"])] == [200, 200]
    for claims in ({}, {"tier": "free"}, {"tier": ["free"]}, {"tier": {"pro": True}}):
        table.assert_denied(answer_to(**claims), "insufficient_scope")


def test_single_codes_are_told_as_the_route_says(open_gate, raw_upstream):
    door = open_gate(raw_upstream().url, signal="close", codes={"expired": 4999, "missing_credential": 3000})
    for headers, code, reason in (([("Authorization", f"Bearer {tokens.make(exp=-60)}")], 4999, "expired"), ([], 3000, "missing_credential")):
        with Raw(door.port) as raw:
            raw.open("/", headers, host=door.authority)
            end = raw.frame()
            assert (end.code, end.reason) == (code, reason)


def test_an_upstream_may_have_a_path_of_its_own(open_gate, fastapi):
    door = open_gate(fastapi.url + "/headers")
    seen = json.loads(ask(door.port, request(path="/x?q=1", headers=BEARER, host=door.authority)).body)
    assert (seen["path"], seen["query"]) == ("/headers/x", "q=1")


# What is said upstream --------------------------------------------------------------------------------------------------

CLIENTS_OWN = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "lies.example"),
    ("Portcullis-Subject", "root"),
    ("portcullis-scopes", "everything"),
    ("Portcullis-Anything", "x"),
    ("X-Mine", "kept"),
    ("Cookie", "theme=dark; session=nobody"),
]
HOP_BY_HOP = [
    ("Connection", "X-Hop, keep-alive"),
    ("X-Hop", "1"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers"),
    ("Proxy-Authorization", "Basic cHJveHk="),
    ("Proxy-Connection", "keep-alive"),
]


def headers_seen(door, kind: str, extra=()) -> dict[str, list[str]]:
    if kind == "http":
        pairs = json.loads(ask(door.port, request(path="/headers/h", headers=[*BEARER, *extra], host=door.authority)).body)["headers"]
    else:
        with Raw(door.port) as raw:
            raw.open("/ws/headers", [*BEARER, *extra], host=door.authority)
            pairs = json.loads(raw.frame().payload)["headers"]
    seen: dict[str, list[str]] = {}
    for name, value in pairs:
        seen.setdefault(name.lower(), []).append(value)
    return seen


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_upstream_learns_who_it_is_from_the_gate_alone(open_gate, fastapi, kind):
    seen = headers_seen(open_gate(fastapi.url), kind, CLIENTS_OWN)
    assert seen["portcullis-subject"] == ["alice"]
    assert "portcullis-anything" not in seen
    assert "everything" not in json.dumps(seen)
    assert seen["x-mine"] == ["kept"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_credential_stays_at_the_gate(open_gate, fastapi, kind):
    seen = headers_seen(open_gate(fastapi.url), kind)
    assert "authorization" not in seen
    assert tokens.MARK not in json.dumps(seen)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_forwarded_headers_are_the_gates_own(open_gate, fastapi, kind):
    door = open_gate(fastapi.url)
    seen = headers_seen(door, kind, CLIENTS_OWN)
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == [door.authority]


def test_hop_by_hop_headers_end_at_the_gate(open_gate, fastapi):
    seen = headers_seen(open_gate(fastapi.url), "http", HOP_BY_HOP)
    left = {name for name in ("x-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection") if name in seen}
    assert left == set()
    assert "x-hop" not in ",".join(seen.get("connection", [])).lower()


def test_hop_by_hop_headers_of_the_answer_end_at_the_gate(open_gate, raw_upstream):
    def answers(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: X-Inner, keep-alive\r\nX-Inner: 1\r\nKeep-Alive: timeout=1\r\n"
                        b"Proxy-Authenticate: Basic\r\nX-Outer: 2\r\nContent-Length: 2\r\n\r\nok")
        connection.ended()

    door = open_gate(raw_upstream(answers).url)
    answer = ask(door.port, request(headers=BEARER, host=door.authority))
    assert (answer.status, answer.body, answer.header("x-outer")) == (200, b"ok", "2")
    assert [answer.header(name) for name in ("x-inner", "keep-alive", "proxy-authenticate")] == [None, None, None]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_credential_is_taken_out_of_each_carrier(gate, files, fastapi, kind):
    door = gate(configs.base(files, fastapi.url, carriers=["subprotocol", "cookie:session", "query"], origin=["https://app.example"]))
    origin = ("Origin", "https://app.example")
    token = tokens.ALICE

    def seen_by(path_query="", headers=()):
        if kind == "http":
            return json.loads(ask(door.port, request(path=f"/headers/c{path_query}", headers=headers, host=door.authority)).body)
        with Raw(door.port) as raw:
            raw.open(f"/ws/headers{path_query}", headers, host=door.authority)
            return json.loads(raw.frame().payload)

    cookie = seen_by(headers=[origin, ("Cookie", f"theme=dark; session={token}; lang=en")])
    assert [v for k, v in cookie["headers"] if k == "cookie"] == ["theme=dark; lang=en"]
    query = seen_by(path_query=f"?a=1&token={token}&b=2")
    assert query["query"] == "a=1&b=2"
    offered = seen_by(headers=[("Sec-WebSocket-Protocol", f"chat.v1, {tokens.k8s(token)}, chat.v2")])
    protocols = ", ".join(v for k, v in offered["headers"] if k == "sec-websocket-protocol").replace(" ", "").split(",")
    assert protocols == ["chat.v1", "chat.v2"]
    for seen in (cookie, query, offered):
        assert tokens.MARK not in json.dumps(seen)
        assert tokens.k8s(token) not in json.dumps(seen)


def test_a_route_may_pass_the_credential_on_by_name(open_gate, fastapi):
    seen = headers_seen(open_gate(fastapi.url, pass_credential=True), "http")
    assert seen["authorization"] == [f"Bearer {tokens.ALICE}"]


@pytest.mark.parametrize("config", ["public", "off"])
def test_a_credential_that_nobody_asks_for_stays_at_the_gate_too(gate, files, fastapi, config):
    if config == "public":
        door = gate(configs.base(files, fastapi.url, verifiers=[], public=True, carriers=["cookie:session"]))
    else:
        door = gate(configs.base(files, fastapi.url, carriers=["cookie:session"], top={"auth": {"required": False}}))
    for kind in ("http", "websocket"):
        seen = headers_seen(door, kind, [("Cookie", f"theme=dark; session={tokens.ALICE}")])
        assert "authorization" not in seen
        assert seen["cookie"] == ["theme=dark"]


def test_the_upstreams_own_bearer_replaces_the_clients(gate, files, fastapi):
    door = gate(configs.base(files, fastapi.url, upstream_token_file=files["upstream"]))
    for kind in ("http", "websocket"):
        assert headers_seen(door, kind)["authorization"] == [f"Bearer upstream-{tokens.MARK}"]


def test_headers_that_the_route_drops_do_not_reach_the_upstream(open_gate, fastapi):
    door = open_gate(fastapi.url, drop_request_headers=["x-codex-app-server-compression"])
    seen = headers_seen(door, "websocket", [("X-Codex-App-Server-Compression", "zstd-stream-v1"), ("X-Mine", "kept")])
    assert ("x-codex-app-server-compression" in seen, seen["x-mine"]) == (False, ["kept"])


def test_identity_headers_can_be_switched_off_and_a_clients_own_still_do_not_pass(open_gate, fastapi):
    seen = headers_seen(open_gate(fastapi.url, identity_headers=False), "http", CLIENTS_OWN)
    assert not [name for name in seen if name.startswith("portcullis-")]


def test_the_host_that_the_client_asked_for_is_kept_or_forwarded(open_gate, fastapi):
    door = open_gate(fastapi.url)
    seen = headers_seen(door, "http")
    assert seen["host"][0] in (door.authority, f"127.0.0.1:{fastapi.port}")
    assert seen["x-forwarded-host"] == [door.authority]
