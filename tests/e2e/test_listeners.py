"""Where the gate listens: TLS and its certificates, unix sockets, several doors at once, and the operators' own."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import certs as certs_
from support import configs, table, tokens
from support.gate import run
from support.process import clean_env, eventually
from support.raw import BINARY, TEXT, Raw, ask, request, upgrade
from support.upstreams import echo_frames

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


@pytest.fixture
def tls_gate(gate, files, echo, certs, tmp_path):
    """A gate on wss:// with files of its own, so that a test may replace them; keyword arguments go into the listener."""

    def start(upstream: str | None = None, **listener):
        cert, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        shutil.copy(certs.cert, cert), shutil.copy(certs.key, key)
        config = configs.base(files, upstream or echo.url)
        config["listener"] = [{"url": "wss://127.0.0.1:0", "tls_cert": cert, "tls_key": key, **listener}]
        door = gate(config)
        door.config, door.cert, door.key = config, cert, key
        return door

    return start


def context(certs, *, client: bool = False, alpn: list[str] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=certs.ca)
    if client:
        made.load_cert_chain(certs.client_cert, certs.client_key)
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def echoes(raw: Raw, text: bytes = b"hello") -> None:
    raw.send_frame(TEXT, text)
    assert raw.frame().payload == text


def open_tls(door, trust: ssl.SSLContext) -> Raw:
    raw = Raw(door.port, tls=trust)
    raw.open("/", BEARER, host=f"localhost:{door.port}")
    return raw


# TLS ------------------------------------------------------------------------------------------------------------------


def test_a_listener_of_wss_serves_http_and_websocket_over_tls_alone(tls_gate, certs):
    door = tls_gate()
    assert door.urls[0].startswith("wss://127.0.0.1:")
    with open_tls(door, context(certs)) as raw:
        echoes(raw)
    answer = ask(door.port, request(headers=BEARER, host=f"localhost:{door.port}"), tls=context(certs))
    assert (answer.status, answer.body) == (200, b"ok")
    table.assert_denied(ask(door.port, upgrade(host=f"localhost:{door.port}"), tls=context(certs)), "missing_credential")
    # Plain bytes are no handshake, and get no answer that could be taken for one of HTTP.
    with Raw(door.port) as raw:
        raw.send(request(headers=BEARER))
        assert not raw.ended().startswith(b"HTTP/")


def test_old_versions_of_tls_are_refused(tls_gate, certs):
    door = tls_gate()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(certs.ca)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Raw(door.port, tls=old)


def test_http_2_is_agreed_for_plain_requests(tls_gate, certs, fastapi):
    door = tls_gate(fastapi.url)
    argv = ["curl", "-sS", "-m", "10", "--cacert", certs.ca, "-H", f"Authorization: Bearer {tokens.ALICE}", "-w", "\n%{http_version} %{http_code}"]
    result = subprocess.run([*argv, f"https://localhost:{door.port}/headers/x"], env=clean_env(), capture_output=True, text=True, timeout=20)
    body, told = result.stdout.rsplit("\n", 1)
    assert told == "2 200", result
    assert dict(json.loads(body)["headers"])["x-forwarded-proto"] == "https"


def test_a_burst_over_tls_that_had_to_wait_is_no_stall(gate, files, echo, certs):
    config = configs.base(files, echo.url, session={"stall": "1s"})
    config["listener"] = [{"url": "wss://127.0.0.1:0", "tls_cert": certs.cert, "tls_key": certs.key}]
    door = gate(config)
    message = b"x" * (8 << 20)
    with Raw(door.port, tls=context(certs), receive_buffer=32 * 1024) as raw:
        raw.open("/", BEARER, host=f"localhost:{door.port}")
        sender = threading.Thread(target=raw.send_frame, args=(BINARY, message))
        sender.start()
        received = b""
        while len(received) < len(message):
            received += raw.frame().payload
        sender.join()
        assert received == message
        # Longer than a stall may last: what went out late has gone out.
        assert raw.quiet(2)
        echoes(raw)


def test_a_handshake_that_stalls_in_tls_is_given_up(gate, files, echo, certs):
    config = configs.base(files, echo.url, top={"timeouts": {"handshake": "1s"}})
    config["listener"] = [{"url": "wss://127.0.0.1:0", "tls_cert": certs.cert, "tls_key": certs.key}]
    door = gate(config)
    for start in (b"", b"\x16\x03\x01"):
        with Raw(door.port) as raw:
            raw.send(start)
            raw.ended(timeout=5)
    with open_tls(door, context(certs)) as raw:
        echoes(raw)


def test_a_new_certificate_is_taken_and_live_sessions_stay(tls_gate, certs, tmp_path):
    door = tls_gate()
    live = open_tls(door, context(certs))
    fresh = certs_.make(fresh_folder(tmp_path))
    shutil.copy(fresh.cert, door.cert), shutil.copy(fresh.key, door.key)
    door.reload(door.config)

    def serves_the_new_one() -> bool:
        try:
            open_tls(door, context(fresh)).close()
        except ssl.SSLCertVerificationError:
            return False
        return True

    eventually(serves_the_new_one, 10, what="the new certificate")
    with pytest.raises(ssl.SSLCertVerificationError):
        open_tls(door, context(certs))
    echoes(live, b"still here")


def fresh_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "fresh"
    folder.mkdir()
    return folder


def test_a_broken_certificate_leaves_the_old_one(tls_gate, certs):
    door = tls_gate()
    door.cert.write_text("no certificate")
    door.reload(door.config)
    with open_tls(door, context(certs)) as raw:
        echoes(raw)
    assert [r for r in door.records() if r["level"] in ("ERROR", "WARN")]


# Client certificates --------------------------------------------------------------------------------------------------


def refused_by_tls(door, trust: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client learns that its certificate is missing when it reads for the first time."""
    try:
        with Raw(door.port, tls=trust) as raw:
            raw.send(upgrade(headers=BEARER, host=f"localhost:{door.port}"))
            return not raw.ended().startswith(b"HTTP/")
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_required_client_certificate_is_asked_of_everybody(tls_gate, certs):
    door = tls_gate(tls_client_ca=certs.ca)
    assert refused_by_tls(door, context(certs))
    with open_tls(door, context(certs, client=True)) as raw:
        echoes(raw)


def test_a_client_certificate_of_a_stranger_is_refused(tls_gate, certs, tmp_path):
    stranger = certs_.make(fresh_folder(tmp_path))
    for mode in ("required", "optional"):
        door = tls_gate(tls_client_ca=certs.ca, tls_client_auth=mode)
        trust = context(certs)
        trust.load_cert_chain(stranger.client_cert, stranger.client_key)
        assert refused_by_tls(door, trust)


def test_an_optional_client_certificate_may_be_declined_and_is_told_upstream(tls_gate, certs, fastapi):
    door = tls_gate(fastapi.url, tls_client_ca=certs.ca, tls_client_auth="optional")
    forged = [*BEARER, ("Portcullis-Client-Certificate", "sha256:00")]

    def seen(client: bool) -> str | None:
        answer = ask(door.port, request(path="/headers/c", headers=forged, host=f"localhost:{door.port}"), tls=context(certs, client=client))
        return dict(json.loads(answer.body)["headers"]).get("portcullis-client-certificate")

    der = ssl.PEM_cert_to_DER_cert(certs.client_cert.read_text())
    assert (seen(False), seen(True)) == (None, "sha256:" + tokens.sha256_hex_of(der))


def test_a_certificate_is_no_credential(tls_gate, certs):
    door = tls_gate(tls_client_ca=certs.ca)
    table.assert_denied(ask(door.port, upgrade(host=f"localhost:{door.port}"), tls=context(certs, client=True)), "missing_credential")


# Other doors ----------------------------------------------------------------------------------------------------------


def test_a_unix_socket_is_a_door_too_and_is_gone_afterwards(gate, files, echo, tmp_path):
    path = tmp_path / "gate.sock"
    config = configs.base(files, echo.url)
    config["listener"].append({"url": f"unix://{path}"})
    door = gate(config)
    assert door.urls[1] == f"unix://{path}"
    assert stat.S_ISSOCK(path.stat().st_mode)
    with Raw(str(path)) as raw:
        raw.open("/", BEARER, host="localhost")
        echoes(raw)
    table.assert_denied(ask(str(path), upgrade(host="localhost")), "missing_credential")
    assert door.stop() == 0
    assert not path.exists()


def test_a_socket_that_a_crash_left_behind_is_taken_over_and_a_live_one_is_not(gate, files, echo, tmp_path):
    path = tmp_path / "gate.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    config = configs.base(files, echo.url)
    config["listener"].append({"url": f"unix://{path}"})
    gate(config)
    with Raw(str(path)) as raw:
        raw.open("/", BEARER, host="localhost")
        second = run("serve", "--listen", f"unix://{path}", "--upstream", echo.url)
        assert second.returncode == 1 and str(path) in second.stderr
        echoes(raw)


def test_a_host_name_is_listened_on(gate, echo):
    door = gate(argv=["serve", "--listen", "ws://localhost:0", "--upstream", echo.url])
    assert ask(door.port, upgrade(host=f"localhost:{door.port}")).status == 101


def test_a_port_that_is_taken_is_a_startup_error(echo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", "--listen", f"ws://127.0.0.1:{port}", "--upstream", echo.url)
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr and "in use" in result.stderr


def test_each_listener_serves_its_own_hosts(gate, files, echo):
    config = configs.base(files, echo.url)
    config["listener"].append({"url": "ws://127.0.0.1:0", "hosts": ["gate.example"]})
    door = gate(config)
    named = int(door.urls[1].rsplit(":", 1)[1])
    # Named hosts come beside those of loopback, so that health checks still work.
    served = [(door.port, "localhost"), (named, "gate.example"), (named, "GATE.example:80"), (named, "localhost")]
    foreign = [(door.port, "gate.example"), (named, "evil.example"), (named, "gate.example.evil.example"), (named, "sub.gate.example")]
    for port, host, status in [(*pair, 101) for pair in served] + [(*pair, 403) for pair in foreign]:
        assert ask(port, upgrade(headers=BEARER, host=host)).status == status, (port, host)


def test_health_routes_may_be_left_to_the_service(gate, files, echo):
    config = configs.base(files, echo.url)
    config["listener"].insert(0, {"url": "ws://127.0.0.1:0", "health_routes": False})
    door = gate(config)
    table.assert_denied(ask(door.port, request(path="/healthz", host=door.authority)), "missing_credential")
    other = int(door.urls[1].rsplit(":", 1)[1])
    assert ask(other, request(path="/healthz", host=f"127.0.0.1:{other}")).status == 200


# Operators ------------------------------------------------------------------------------------------------------------


def value_of(metrics: str, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    total = 0.0
    for line in metrics.splitlines():
        if line.split("{")[0].split(" ")[0] == name and all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def test_metrics_count_sessions_decisions_and_ends(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"admin": {"listen": "127.0.0.1:0"}}))
    with Raw(door.port) as raw:
        raw.open("/", BEARER, host=door.authority)
        echoes(raw)
        assert value_of(door.metrics(), "portcullis_sessions") == 1
        ask(door.port, upgrade(headers=[("Authorization", f"Bearer {tokens.WRONG}")], host=door.authority))
    eventually(lambda: value_of(door.metrics(), "portcullis_session_ends_total", reason="client_gone") == 1, what="the end in the metrics")
    metrics = door.metrics()
    assert value_of(metrics, "portcullis_sessions") == 0
    assert value_of(metrics, "portcullis_decisions_total", route="chat", protocol="websocket") == 2
    assert value_of(metrics, "portcullis_decisions_total", outcome="invalid_credential") == 1
    assert value_of(metrics, "portcullis_session_messages_total", direction="up") == 1
    assert tokens.MARK not in metrics


def test_operators_have_health_of_their_own_and_clients_have_no_metrics(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"admin": {"listen": "127.0.0.1:0"}}))
    admin = urlsplit(door.admin_url).port
    assert [ask(admin, request(path=path)).status for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    table.assert_denied(ask(door.port, request(path="/metrics", host=door.authority)), "missing_credential")


def test_while_it_drains_the_operators_hear_503(gate, files, raw_upstream):
    upstream = raw_upstream()
    door = gate(configs.base(files, upstream.url, top={"admin": {"listen": "127.0.0.1:0"}}))
    admin = urlsplit(door.admin_url).port
    with Raw(door.port) as raw:
        raw.send(request(headers=BEARER, host=door.authority))
        inner = upstream.take()
        inner.read_request()
        door.drain()
        eventually(lambda: ask(admin, request(path="/readyz")).status == 503, what="503 at /readyz")
        inner.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert raw.response().status == 200
    assert door.process.wait(10) == 0
