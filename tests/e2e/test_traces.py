"""Traces over OTLP: what a collector is told of arrivals and sessions, and what an upstream is told of the trace."""

from __future__ import annotations

import contextlib
import re
import signal
import time

import pytest
from websockets.sync.client import connect

from support import configs, tokens
from support.collector import PATH, Collector, Span
from support.gate import run, toml
from support.process import eventually
from support.raw import Raw, ask, request, upgrade
from support.upstreams import echo_frames, free_port

BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]
WRONG = [("Authorization", f"Bearer {tokens.WRONG}")]
CLAIM = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = CLAIM[:-2] + "00"
ADMIN = {"listen": "127.0.0.1:0"}


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture
def upstream(raw_upstream):
    return raw_upstream(echo_frames)


@pytest.fixture
def traced(gate, files, collector, upstream):
    """A gate with traces; `traces` goes into `[traces]`, `top` beside it, and other keyword arguments into the route."""

    def start(traces: dict | None = None, *, to: str = upstream.url, env: dict | None = None, top: dict | None = None, **route):
        top = {"traces": {"url": collector.url, **(traces or {})}, "admin": ADMIN, **(top or {})}
        return gate(configs.base(files, to, top=top, **route), env=env)

    return start


def get(door, path: str = "/a/b", headers=BEARER) -> int:
    return ask(door.port, request("GET", path, headers, host=door.authority)).status


def shake_hands(door, path: str = "/a/b", headers=BEARER) -> int:
    return ask(door.port, upgrade(path, headers, host=door.authority)).status


def talk(door, headers=None) -> str:
    """One session, which its client ends; gives its name."""
    with connect(door.ws("/a/b"), additional_headers=dict(BEARER) | (headers or {}), proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "hello"
        return socket.response.headers["Portcullis-Session"]


def server(spans: list[Span]) -> Span:
    return next(span for span in spans if span.kind == "server")


def client(spans: list[Span]) -> Span:
    return next(span for span in spans if span.kind == "client")


def session(spans: list[Span]) -> Span:
    return next(span for span in spans if span.kind == "internal")


def metric(door, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", door.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def trace_logs(door) -> list[dict]:
    return [r for r in door.records() if r.get("target") == "portcullis::traces"]


# What a collector is told ------------------------------------------------------------------------------------------------


def test_an_admitted_request_is_a_span_and_its_upstream_another_below_it(traced, collector, upstream):
    door = traced()
    assert get(door, "/a/b?token=in-the-query") == 200
    spans = collector.wait(2)
    arrival, below = server(spans), client(spans)
    assert arrival.name == "GET /*"
    assert arrival.parent == "" and arrival.links == []
    assert arrival.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/*",
        "url.path": "/a/b",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "portcullis.route": "chat",
        "portcullis.protocol": "http",
        "portcullis.outcome": "admitted",
        "portcullis.carrier": "header",
        "portcullis.verifier": "tokens",
    }
    assert below.name == "GET"
    assert below.place == (arrival.trace, below.id) and below.parent == arrival.id
    assert below.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.full": f"{upstream.url}/a/b",
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
    }
    assert arrival.began <= below.began <= below.ended <= arrival.ended
    assert not arrival.is_error and not below.is_error
    assert upstream.take().header("traceparent") == [below.traceparent]
    about = arrival.resource
    assert about["service.name"] == "portcullis" and about["telemetry.sdk.language"] == "rust"
    assert about["service.version"] and about["service.instance.id"].startswith("gate-")


def test_an_admitted_websocket_is_a_short_trace_and_its_session_one_of_its_own(traced, collector, upstream):
    door = traced()
    name = talk(door)
    spans = collector.wait(3)
    arrival, below, whole = server(spans), client(spans), session(spans)
    assert arrival.attributes["portcullis.protocol"] == "websocket"
    assert arrival.attributes["http.response.status_code"] == below.attributes["http.response.status_code"] == 101
    assert below.parent == arrival.id and below.trace == arrival.trace
    assert upstream.take().header("traceparent") == [below.traceparent]
    assert whole.name == "session /*"
    assert whole.trace != arrival.trace and whole.parent == ""
    assert whole.links == [arrival.place] and arrival.links == [whole.place]
    assert arrival.attributes["portcullis.session"] == name
    up, down = whole.attributes.pop("portcullis.bytes_up"), whole.attributes.pop("portcullis.bytes_down")
    assert (up, down) == (2 + 4 + 5 + 2 + 4 + 2, 2 + 5 + 2 + 2), "a text and a close each, those of the client masked"
    assert whole.attributes == {
        "portcullis.session": name,
        "portcullis.route": "chat",
        "portcullis.reason": "closed_by_client",
        "portcullis.code": 1000,
        "portcullis.messages_up": 1,
        "portcullis.messages_down": 1,
        "client.address": "127.0.0.1",
    }
    assert arrival.ended <= whole.ended and whole.began <= whole.ended


def test_a_session_is_told_when_it_ends_and_its_arrival_before(traced, collector):
    door = traced()
    with connect(door.ws("/"), additional_headers=dict(BEARER), proxy=None):
        assert {span.kind for span in collector.wait(2)} == {"server", "client"}
    assert session(collector.wait(3)).attributes["portcullis.reason"] == "closed_by_client"


def test_a_refused_handshake_says_by_which_rule_and_reaches_nobody(traced, collector, upstream):
    door = traced(signal="http")
    assert shake_hands(door, "/a/b", WRONG) == 401
    [arrival] = collector.wait(1)
    detail = arrival.attributes.pop("portcullis.detail")
    assert detail == door.wait_decision(message="refused")["detail"]
    assert arrival.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 401,
        "http.route": "/*",
        "url.path": "/a/b",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "portcullis.route": "chat",
        "portcullis.protocol": "websocket",
        "portcullis.outcome": "refused",
        "portcullis.refusal": "invalid_credential",
        "portcullis.rule": "verification",
        "portcullis.recovery": "login",
        "portcullis.carrier": "header",
    }
    assert not arrival.is_error, "it is the client's fault"
    assert upstream.untouched()


def test_a_refusal_by_a_close_code_has_the_code_and_the_101(traced, collector):
    door = traced(signal="close")
    assert shake_hands(door, headers=WRONG) == 101
    [arrival] = collector.wait(1)
    said = arrival.attributes
    assert (said["http.response.status_code"], said["portcullis.close_code"]) == (101, 1008)
    assert said["portcullis.refusal"] == "invalid_credential"


def test_no_stranger_makes_the_name_of_a_span(collector, files, gate, upstream):
    config = configs.base(files, upstream.url, top={"traces": {"url": collector.url}})
    config["route"][0]["path"] = "/only"
    door = gate(config)
    assert get(door, "/nowhere") == 404
    assert ask(door.port, request("BREW", "/only", BEARER, host=door.authority)).status == 200
    spans = {span.attributes["url.path"]: span for span in collector.wait(3) if span.kind == "server"}
    nowhere, brewed = spans["/nowhere"], spans["/only"]
    assert nowhere.name == "GET" and "http.route" not in nowhere.attributes
    assert nowhere.attributes["portcullis.refusal"] == "resource_unknown"
    assert brewed.name == "HTTP /only"
    assert (brewed.attributes["http.request.method"], brewed.attributes["http.request.method_original"]) == ("_OTHER", "BREW")


def test_an_upstream_that_is_away_is_an_error_of_both_spans(traced, collector):
    door = traced(to=f"http://127.0.0.1:{free_port()}")
    for ask_for, protocol in ((get, "http"), (shake_hands, "websocket")):
        assert ask_for(door) == 502
        spans = collector.wait(2, lambda span: span.trace == last_trace(collector, protocol))
        arrival, below = server(spans), client(spans)
        assert arrival.attributes["http.response.status_code"] == 502
        assert arrival.attributes["error.type"] == below.attributes["error.type"] == "upstream_unreachable"
        assert arrival.is_error and below.is_error and "refused" in below.told


def last_trace(collector: Collector, protocol: str) -> str | None:
    traces = [span.trace for span in collector.spans() if span.attributes.get("portcullis.protocol") == protocol]
    return traces[-1] if traces else None


def test_a_first_message_is_part_of_its_arrival(traced, collector):
    door = traced(carriers=["first-message"])
    with connect(door.ws("/"), proxy=None) as socket:
        socket.send('{"type":"auth","token":"%s"}' % tokens.ALICE)
        assert "auth_ok" in socket.recv(timeout=10)
    spans = collector.wait(3)
    arrival, whole = server(spans), session(spans)
    assert arrival.attributes["http.response.status_code"] == 101
    assert arrival.attributes["portcullis.carrier"] == "first-message"
    assert arrival.links == [whole.place] and client(spans).parent == arrival.id


def test_a_client_that_leaves_while_its_upstream_is_silent_was_admitted_and_not_answered(traced, collector, raw_upstream):
    silent = raw_upstream()
    door = traced(to=silent.url)
    with Raw(door.port) as raw:
        raw.send(upgrade("/", BEARER, host=door.authority))
        silent.take().read_request()
    spans = collector.wait(2)
    arrival, below = server(spans), client(spans)
    assert arrival.attributes["portcullis.outcome"] == "admitted"
    assert "http.response.status_code" not in arrival.attributes
    assert below.attributes["error.type"] == "client_gone"


def test_no_credential_and_no_subject_is_in_anything_that_is_exported(traced, collector):
    door = traced(carriers=["header", "subprotocol", "cookie:token", "query"], signal="http")
    token = tokens.make(sub="marlene")
    for value in (token, tokens.ALICE, tokens.WRONG, f"{token}x"):
        coded = tokens.b64(value.encode())
        for path, headers in (
            ("/", [("Authorization", f"Bearer {value}")]),
            (f"/?token={value}", []),
            ("/", [("Cookie", f"token={value}"), ("Origin", f"http://{door.authority}")]),
            ("/", [("Sec-WebSocket-Protocol", f"chat, portcullis.bearer.{coded}")]),
        ):
            get(door, path, headers)
            shake_hands(door, path, headers)
    collector.wait(4 * 4 * 2, lambda span: span.kind == "server")
    sent = collector.bytes() + repr(collector.spans()).encode()
    for secret in (token, tokens.MARK, "marlene", *(tokens.b64(value.encode()) for value in (token, tokens.ALICE, tokens.WRONG))):
        assert secret.encode() not in sent


def test_subjects_are_told_where_the_operator_says_so(traced, collector):
    door = traced({"subjects": True})
    talk(door)
    spans = collector.wait(3)
    assert server(spans).attributes["enduser.id"] == session(spans).attributes["enduser.id"] == "alice"


def test_an_errand_is_a_span_by_its_own_path(traced, collector):
    door = traced(carriers=["header", "ticket"], top={"ledger": {"url": "sqlite::memory:"}})
    errand = request("POST", "/.portcullis/ticket?route=/a/b", BEARER, host=door.authority)
    assert ask(door.port, errand).status == 201
    [arrival] = collector.wait(1)
    assert arrival.name == "POST /.portcullis/ticket"
    assert arrival.attributes["url.path"] == "/.portcullis/ticket"
    assert (arrival.attributes["portcullis.route"], arrival.attributes["http.response.status_code"]) == ("chat", 201)


# What an upstream is told ------------------------------------------------------------------------------------------------


STATE = ("tracestate", "vendor=1,other=2")


def test_a_trusted_clients_trace_is_continued(traced, collector, upstream):
    door = traced({"trust_incoming": True, "sample_ratio": 0.0})
    assert get(door, headers=[*BEARER, ("traceparent", CLAIM), STATE]) == 200
    spans = collector.wait(2)
    arrival, below = server(spans), client(spans)
    assert (arrival.trace, arrival.parent) == tuple(CLAIM.split("-")[1:3])
    request_ = upstream.take()
    assert request_.header("traceparent") == [below.traceparent]
    assert request_.header("tracestate") == [STATE[1]]
    assert below.trace == arrival.trace


def test_a_trusted_client_that_keeps_no_trace_is_believed_too(traced, collector, upstream):
    door = traced({"trust_incoming": True})
    assert get(door, headers=[*BEARER, ("traceparent", UNSAMPLED)]) == 200
    talk(door, {"traceparent": UNSAMPLED})
    for request_ in (upstream.take(), upstream.take()):
        [told] = request_.header("traceparent")
        assert told.split("-")[1] == UNSAMPLED.split("-")[1] and told.endswith("-00")
        assert told.split("-")[2] != UNSAMPLED.split("-")[2]
    assert door.stop() == 0
    assert collector.spans() == []


def test_a_strangers_trace_is_neither_continued_nor_passed_on(traced, collector, upstream):
    door = traced()
    claims = [("traceparent", UNSAMPLED), STATE]
    assert get(door, headers=[*BEARER, *claims]) == 200
    talk(door, dict(claims))
    spans = collector.wait(5)
    for request_ in (upstream.take(), upstream.take()):
        [told] = request_.header("traceparent")
        assert told in [span.traceparent for span in spans if span.kind == "client"]
        assert request_.header("tracestate") == []
    assert all(span.trace != UNSAMPLED.split("-")[1] for span in spans)
    assert all(span.parent != UNSAMPLED.split("-")[2] for span in spans)


def test_two_parents_are_none_even_of_a_trusted_client(traced, collector):
    door = traced({"trust_incoming": True})
    other = CLAIM.replace("b7ad", "c8be")
    assert get(door, headers=[*BEARER, ("traceparent", CLAIM), ("traceparent", other)]) == 200
    assert server(collector.wait(2)).parent == ""


def test_a_trace_that_is_not_kept_is_passed_on_and_not_exported(traced, collector, upstream):
    door = traced({"sample_ratio": 0.0})
    assert get(door) == 200
    talk(door)
    assert shake_hands(door, headers=WRONG) == 401
    for request_ in (upstream.take(), upstream.take()):
        [told] = request_.header("traceparent")
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00", told), told
    assert door.stop() == 0
    assert collector.exports() == []


def test_without_traces_a_clients_own_goes_through(gate, files, upstream):
    door = gate(configs.base(files, upstream.url))
    assert get(door, headers=[*BEARER, ("traceparent", CLAIM), STATE]) == 200
    request_ = upstream.take()
    assert request_.header("traceparent") == [CLAIM] and request_.header("tracestate") == [STATE[1]]
    assert get(door) == 200
    assert upstream.take().header("traceparent") == []


# The collector -----------------------------------------------------------------------------------------------------------


def test_a_collector_that_is_away_keeps_nobody_waiting_and_is_told_later(traced, collector):
    door = traced()
    collector.service.stop()
    began = time.monotonic()
    for _ in range(20):
        assert get(door) == 200
    assert time.monotonic() - began < 10, "an export takes as long"
    door.wait_record(lambda r: r.get("target") == "portcullis::traces", what="a warning")
    eventually(lambda: metric(door, "portcullis_collector_reachable") == 0.0, what="the metric")
    talk(door)
    collector.service.start_again()
    collector.wait(20 * 2 + 3, timeout=20)
    eventually(lambda: metric(door, "portcullis_collector_reachable") == 1.0, what="the metric")
    assert metric(door, "portcullis_spans_exported_total") == 43
    assert "portcullis_spans_dropped_total{" not in door.metrics()
    levels = [(r["level"], r["fields"]["message"]) for r in trace_logs(door)]
    assert levels == [("WARN", "spans cannot be exported"), ("INFO", "spans are exported again")]


def test_a_full_queue_keeps_the_latest_and_counts_the_rest(traced, collector):
    door = traced({"queue": 10})
    collector.service.stop()
    for number in range(30):
        assert shake_hands(door, f"/{number}", WRONG) == 401
    collector.service.start_again()
    eventually(lambda: collector.spans(), 20, what="spans")
    paths = [span.attributes["url.path"] for span in collector.wait(10)]
    assert paths == [f"/{number}" for number in range(20, 30)]
    assert metric(door, 'portcullis_spans_dropped_total{reason="queue_full"}') == 20


@pytest.mark.parametrize("status, again", [(400, False), (401, False), (503, True)])
def test_what_a_collector_refuses_is_dropped_and_what_it_puts_off_is_sent_again(traced, collector, status, again):
    door = traced()
    collector.answers(status)
    assert get(door) == 200
    [warning] = eventually(lambda: trace_logs(door), what="a warning")
    assert str(status) in warning["fields"]["error"]
    collector.takes()
    if again:
        eventually(lambda: metric(door, "portcullis_spans_exported_total") == 2, 15, what="the export")
    else:
        assert metric(door, 'portcullis_spans_dropped_total{reason="refused"}') == 2
        assert get(door) == 200
        eventually(lambda: metric(door, "portcullis_spans_exported_total") == 2, what="the next export")


def test_what_a_collector_rejects_of_an_export_is_counted(traced, collector):
    collector.takes(rejected=1)
    door = traced()
    assert get(door) == 200
    eventually(lambda: metric(door, "portcullis_spans_exported_total") == 1, what="the export")
    assert metric(door, 'portcullis_spans_dropped_total{reason="rejected"}') == 1


def test_the_last_spans_are_sent_before_the_program_ends(traced, collector):
    door = traced()
    with connect(door.ws("/"), additional_headers=dict(BEARER), proxy=None) as socket:
        door.drain()
        with contextlib.suppress(Exception):
            socket.recv(timeout=10)
    assert door.process.wait() == 0
    whole = session(collector.wait(3))
    assert (whole.attributes["portcullis.reason"], whole.attributes["portcullis.code"]) == ("draining", 1012)


def test_a_collector_that_does_not_answer_holds_up_the_end_for_some_seconds_at_most(traced, collector):
    door = traced()
    collector.service.reply(PATH, hangs=True)
    assert get(door) == 200
    collector.service.wait_asked(0, PATH)
    began = time.monotonic()
    door.process.signal(signal.SIGTERM)
    assert door.process.wait(20) == 0
    assert time.monotonic() - began < 10, "the export itself may take as long"
    [left] = [r["fields"] for r in trace_logs(door) if r["fields"]["message"].startswith("spans are left")]
    assert left["spans"] == 2


def test_the_headers_of_a_file_are_read_for_each_export(traced, collector, tmp_path):
    headers = tmp_path / "headers.txt"
    headers.write_text(f"# for the collector\nauthorization: Basic {tokens.MARK}\nx-tenant: ours\n")
    headers.chmod(0o600)
    door = traced({"headers_file": headers})
    assert get(door) == 200
    collector.wait(2)
    first = collector.exports()[-1].headers
    assert (first["authorization"], first["x-tenant"]) == (f"Basic {tokens.MARK}", "ours")
    assert first["content-type"] == "application/x-protobuf"
    headers.write_text(f"x-tenant: theirs-{tokens.MARK}\n")
    assert get(door) == 200
    collector.wait(4)
    second = collector.exports()[-1].headers
    assert second["x-tenant"] == f"theirs-{tokens.MARK}" and "authorization" not in second


def test_a_collector_over_tls_must_be_one_that_the_system_trusts(traced, certs):
    with Collector(certs) as collector:
        door = traced({"url": collector.url})
        assert get(door) == 200
        [warning] = eventually(lambda: trace_logs(door), what="a warning")
        assert "certificate" in warning["fields"]["error"] and collector.exports() == []
        trusting = traced({"url": collector.url}, env={"SSL_CERT_FILE": str(certs.ca)})
        assert get(trusting) == 200
        collector.wait(2)


# The environment ---------------------------------------------------------------------------------------------------------


def test_the_usual_variables_are_enough(gate, files, collector, upstream):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=of%20all",
        "OTEL_SERVICE_NAME": "front-door",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test,service.name=other",
    }
    door = gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", upstream.url], env=env)
    assert get(door, headers=[]) == 200
    spans = collector.wait(2)
    assert spans[0].resource["service.name"] == "front-door"
    assert spans[0].resource["deployment.environment"] == "test"
    assert collector.exports()[0].headers["x-tenant"] == "of all"


def test_the_file_goes_before_the_environment(traced, collector):
    with Collector() as elsewhere:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": elsewhere.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={tokens.MARK}",
            "OTEL_SERVICE_NAME": "other",
            "OTEL_TRACES_SAMPLER": "always_off",
        }
        door = traced({"service_name": "own", "sample_ratio": 1.0}, env=env)
        assert get(door) == 200
        assert {span.resource["service.name"] for span in collector.wait(2)} == {"own"}
        assert "authorization" not in collector.exports()[0].headers, "it is for another collector"
        assert elsewhere.exports() == []


def test_a_variable_that_cannot_be_used_is_warned_of_and_keeps_no_gate_from_starting(gate, files, upstream):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    door = gate(configs.base(files, upstream.url), env=env)
    warning = door.wait_record(lambda r: "OTEL_EXPORTER_OTLP_PROTOCOL" in r["fields"]["message"], what="a warning")
    assert warning["level"] == "WARN"
    assert get(door) == 200
    assert upstream.take().header("traceparent") == []


def test_another_collector_counts_after_a_restart_and_the_log_says_so(traced, collector, files, upstream):
    door = traced()
    top = {"traces": {"url": "http://127.0.0.1:1"}, "admin": ADMIN}
    door.reload(configs.base(files, upstream.url, top=top))
    door.wait_record(lambda r: r.get("target") == "portcullis::reload" and "`traces`" in r["fields"]["message"])
    assert get(door) == 200
    collector.wait(2)


def test_a_file_that_is_wrong_is_told_with_its_place(files, tmp_path, upstream):
    path = tmp_path / "wrong.toml"
    path.write_text(toml(configs.base(files, upstream.url, top={"traces": {"url": "127.0.0.1:4318", "sample_ratio": 2.0}})))
    line = path.read_text().splitlines().index("[traces]") + 2
    for command in ("check", "serve"):
        told = run(command, "--config", path)
        assert told.returncode == 1
        for problem, place in (("this is not a collector's URL", f"wrong.toml:{line}:7"), ("2 is not a share", f"wrong.toml:{line + 1}:16")):
            assert problem in told.stderr and place in told.stderr, told.stderr
