"""`portcullis connect`: the real program, against the public backend as it was seen to answer."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import stat
import sys
import threading
import time

import pytest
from websockets.sync.server import serve

from support import tokens
from support.backend import UNKNOWN_HOST, Backend, Reply
from support.gate import run
from support.host import API_KEY, AT_ONCE, Host, login, put
from support.process import eventually

NOBODY = "ws://127.0.0.1:9"  # an upstream that no guest of the test comes to

# A credential that is there or not, the kind of its problem, and what is said about it.
LACKING = [
    pytest.param("--token-file", None, "credential_missing", "there is none", id="no credential"),
    pytest.param("--token-file", "two words", "credential_unreadable", "one line of visible ASCII", id="a file that is no token"),
    pytest.param("--codex-auth", None, "credential_missing", "there is none", id="no login"),
    pytest.param("--codex-auth", API_KEY, "credential_unsupported", "an API key is not supported by the relay", id="an API key"),
    pytest.param("--codex-auth", '{"tokens": ', "credential_unreadable", "not the JSON of a login", id="a broken login"),
    pytest.param("--codex-auth", {"auth_mode": "chatgpt", "tokens": None}, "credential_unreadable", "the login has no tokens", id="no tokens"),
    pytest.param("--codex-auth", login(account=None), "account_missing", "a credential that names an account", id="no account"),
]


@pytest.fixture
def host(tmp_path):
    """Starts hosts; each is ended and looked at after the test."""
    with contextlib.ExitStack() as stack:

        def start(backend: Backend | str, *flags, upstream: str = NOBODY, startup: str = "allow-recoverable", **kwargs) -> Host:
            relay = backend if isinstance(backend, str) else backend.url
            more = ["--upstream", upstream] if upstream else []
            return stack.enter_context(Host(relay, *more, "--startup", startup, *flags, state=tmp_path / "state", **kwargs))

        yield start


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "relay-token"
    put(path, tokens.ALICE)
    return path


# Credentials ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "content", "kind", "text"), LACKING)
def test_a_host_waits_for_a_credential_and_enrols_as_soon_as_there_is_one(host, tmp_path, flag, content, kind, text):
    path = tmp_path / "credential"
    if content is not None:
        put(path, content)
    account = "acme" if flag == "--codex-auth" else None
    with Backend(account=account) as backend:
        waiting = host(backend, flag, path)
        status = waiting.wait(kind=kind, phase="connecting")
        assert text in status["problem"]["text"] and status["problem"]["mend"]
        assert waiting.ready() == 503
        assert backend.asked == []
        begun = time.monotonic()
        put(path, login() if account else tokens.ALICE)
        enrolled = backend.wait_asked("enroll")
        assert enrolled.at - begun < 1.5
        assert enrolled.bearer == tokens.ALICE and enrolled.account == account
        backend.road()
        waiting.wait(phase="connected", problem=None)
        assert waiting.ready() == 200
        waiting.ends_at_once()


@pytest.mark.parametrize(("flag", "content", "kind", "text"), LACKING)
def test_where_nobody_else_serves_a_host_without_a_credential_does_not_start(tmp_path, flag, content, kind, text):
    path = tmp_path / "credential"
    if content is not None:
        put(path, content)
    with Backend() as backend:
        ended = run("connect", "--relay", backend.url, "--upstream", NOBODY, flag, path, "--state-dir", tmp_path / "state")
        assert ended.returncode == 9, ended
        assert "Error: permission denied: " in ended.stderr and text in ended.stderr
        assert ended.stderr.rstrip().endswith(")"), "it does not say what to do"
        assert tokens.MARK not in ended.stderr
        assert backend.asked == []


def test_a_token_comes_from_the_environment_or_from_a_program(host):
    for flags, env in (
        (["--token-env", "RELAY_TOKEN"], {"RELAY_TOKEN": tokens.ALICE}),
        (["--token-command", "printenv RELAY_TOKEN"], {"RELAY_TOKEN": tokens.ALICE}),
    ):
        with Backend(account="acme") as backend:
            started = host(backend, *flags, "--account", "acme", startup="require-ready", env=env)
            assert backend.wait_asked("enroll").bearer == tokens.ALICE
            backend.road()
            started.ends_at_once()


# Enrolment ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        pytest.param(Reply(401, {"detail": "no"}), "refused", "HTTP 401", id="401"),
        pytest.param(Reply(403, {"detail": "no"}), "refused", "HTTP 403", id="403"),
        pytest.param(Reply(401, {"code": "expired"}), "expired", "the relay says that the credential has expired", id="expired"),
        pytest.param(Reply(403, {"code": "revoked"}), "revoked", "the relay says that the credential was revoked", id="revoked"),
        pytest.param(Reply(403, {"detail": "Remote app server was revoked"}), "revoked", "the relay says that this host was revoked", id="host revoked"),
    ],
)
def test_a_refused_credential_is_waited_with_until_it_changes(host, token, reply, kind, text):
    with Backend() as backend:
        backend.always["enroll"] = reply
        refused = host(backend, "--token-file", token)
        status = refused.wait(kind=kind, state="waiting_for_credential")
        assert text in status["problem"]["text"]
        before = backend.count("enroll")
        backend.always.clear()
        backend.accepted = {tokens.BOB}
        begun = time.monotonic()
        put(token, tokens.BOB)
        enrolled = backend.wait_asked("enroll", before + 1)
        assert enrolled.bearer == tokens.BOB and enrolled.at - begun < 1.5
        backend.road()
        refused.wait(phase="connected", problem=None)
        refused.ends_at_once()


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        pytest.param(Reply(404, {"detail": "Not Found"}), "not_found", "HTTP 404", id="404"),
        pytest.param(Reply(429, "slow down"), "relay_down", "HTTP 429", id="429"),
        pytest.param(Reply(500), "relay_down", "body: <empty>", id="500"),
        pytest.param(Reply(503, "", {"x-request-id": "req-7"}), "relay_down", "request-id: req-7", id="503"),
        pytest.param(Reply(200, "<html>"), "bad_answer", "not the expected JSON", id="no JSON"),
        pytest.param(Reply(200, {"server_id": "s", "remote_control_token": tokens.ALICE}), "bad_answer", "not the expected JSON", id="half"),
        pytest.param(Reply(hangs=True), "relay_down", "no answer within", id="silence"),
    ],
)
def test_a_relay_that_fails_is_asked_again_after_a_while(host, token, reply, kind, text):
    with Backend() as backend:
        backend.replies["enroll"].append(reply)
        failing = host(backend, "--token-file", token, "--timeout", "1s")
        status = failing.wait(kind=kind, phase="errored")
        assert text in status["problem"]["text"]
        assert status["next_attempt"] and status["failures"] == 1
        backend.road()
        connected = failing.wait(phase="connected", problem=None)
        assert connected["attempts"] == 3, "enrolment, again, and the road"
        failing.ends_at_once()


def test_retry_after_is_kept(host, token):
    with Backend() as backend:
        backend.replies["enroll"].append(Reply(429, "", {"Retry-After": "3"}))
        busy = host(backend, "--token-file", token)
        first = backend.wait_asked("enroll")
        second = backend.wait_asked("enroll", 2, timeout=15)
        assert 3 <= second.at - first.at < 10
        busy.ends_at_once()


def test_a_relay_that_is_down_is_found_when_it_is_back(host, token):
    with Backend() as gone:
        url = gone.url
    down = host(url, "--token-file", token)
    status = down.wait(kind="relay_down", phase="errored")
    assert "Connection refused" in status["problem"]["text"]
    assert "comes back by itself" in status["problem"]["mend"]
    down.ends_at_once()


# The road -------------------------------------------------------------------------------------------------------------


def test_a_road_that_is_refused_costs_a_token_and_then_waits_for_a_credential(host, token):
    with Backend() as backend:
        backend.always["road"] = Reply(401, {"detail": "Unauthorized"})
        refused = host(backend, "--token-file", token)
        refused.wait(kind="refused", state="waiting_for_credential", timeout=20)
        assert backend.count("enroll") == 1 and backend.count("refresh") >= 1
        backend.always.clear()
        backend.accepted = {tokens.BOB}
        begun = time.monotonic()
        put(token, tokens.BOB)
        backend.road()
        assert time.monotonic() - begun < 5
        refused.wait(phase="connected", problem=None)
        refused.ends_at_once()


def test_the_enrolment_outlives_the_process_and_nobody_else_reads_it(host, token, tmp_path):
    with Backend() as backend:
        first = host(backend, "--token-file", token)
        backend.road()
        server = first.wait(phase="connected")["server_id"]
        first.ends_at_once()
        for file in ("ledger.db", "installation_id", "token"):
            mode = stat.S_IMODE((tmp_path / "state" / file).stat().st_mode)
            assert mode == 0o600, f"{file} has {mode:o}"
        second = host(backend, "--token-file", token)
        backend.road()
        assert second.wait(phase="connected")["server_id"] == server
        assert (backend.count("enroll"), backend.count("refresh")) == (1, 1)
        second.ends_at_once()


def test_at_the_road_only_the_404_that_names_the_host_enrols_it_anew(host, token):
    with Backend() as backend:
        backend.replies["road"] += [Reply(404, {"detail": "Not Found"}), Reply(404, UNKNOWN_HOST)]
        forgotten = host(backend, "--token-file", token)
        forgotten.wait(kind="not_found")
        backend.road()
        assert backend.doors() == ["enroll", "road", "road", "enroll", "road"], "the other 404 enrolled it anew"
        assert forgotten.wait(phase="connected")["server_id"] == backend.server_id
        forgotten.ends_at_once()


@pytest.mark.parametrize("reply", [Reply(404, {"detail": "Not Found"}), Reply(404, UNKNOWN_HOST)], ids=["any", "that names the host"])
def test_to_a_refresh_each_404_enrols_it_anew(host, token, reply):
    with Backend() as backend:
        backend.replies["road"].append(Reply(401))
        backend.replies["refresh"].append(reply)
        forgotten = host(backend, "--token-file", token)
        first = backend.wait_asked("road").bearer
        backend.road()
        assert backend.doors() == ["enroll", "road", "refresh", "enroll", "road"]
        assert forgotten.wait(phase="connected")["server_id"] == backend.server_id
        assert backend.wait_asked("road", 2).bearer != first
        forgotten.ends_at_once()


def test_a_dropped_road_is_dialled_again_and_keeps_its_guests(host, token):
    with Backend() as backend, echo() as url:
        dropped = host(backend, "--token-file", token, upstream=url)
        road = backend.road()
        initialize(road, "s1")
        road.connection.socket.shutdown(2)
        again = backend.road()
        again.say(type="client_message", client_id="c", stream_id="s1", seq_id=2, message={"id": 2, "method": "still/there"})
        assert again.hear_message(type="server_message", seq_id=2)["message"]["result"]["method"] == "still/there"
        assert dropped.status()["roads"] == 2 and dropped.status()["guests"] == 1
        dropped.ends_at_once()


# Guests ---------------------------------------------------------------------------------------------------------------


def test_a_guest_reaches_a_websocket_that_is_shown_its_own_token(host, token, tmp_path):
    bearer = tmp_path / "upstream-token"
    put(bearer, f"upstream-{tokens.MARK}")
    with Backend() as backend, echo(f"Bearer upstream-{tokens.MARK}") as url:
        serving = host(backend, "--token-file", token, "--upstream-token-file", bearer, upstream=url)
        road = backend.road()
        assert initialize(road, "s1")["result"] == {"method": "initialize"}
        big = "x" * 400_000
        road.say(type="client_message", client_id="c", stream_id="s1", seq_id=2, message={"id": 2, "method": big})
        assert message_in_chunks(road, "s1")["result"]["method"] == big
        assert serving.status()["guests"] == 1
        road.say(type="client_closed", client_id="c", stream_id="s1")
        serving.wait(guests=0)
        assert "portcullis_connector_guests 0" in serving.metrics()
        serving.ends_at_once()


def test_a_guest_reaches_a_process_of_its_own_which_ends_with_the_host(host, token, tmp_path):
    script = tmp_path / "agent.py"
    script.write_text(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    print(json.dumps({'id': asked['id'], 'result': {'method': asked['method'], 'pid': os.getpid()}}), flush=True)\n"
    )
    with Backend() as backend:
        serving = host(backend, "--token-file", token, upstream=f"stdio:exec {sys.executable} {script}")
        road = backend.road()
        pids = [initialize(road, stream)["result"]["pid"] for stream in ("s1", "s2")]
        assert len(set(pids)) == 2 and all(is_alive(pid) for pid in pids)
        serving.ends_at_once()
        eventually(lambda: not any(is_alive(pid) for pid in pids), what="the end of both processes")


def test_a_process_of_a_guest_does_not_get_the_credential_of_the_host(host, tmp_path):
    script = tmp_path / "agent.py"
    script.write_text(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    print(json.dumps({'id': asked['id'], 'result': {name: os.environ.get(name) for name in ('RELAY_TOKEN', 'OTHER')}}), flush=True)\n"
    )
    with Backend() as backend:
        env = {"RELAY_TOKEN": tokens.ALICE, "OTHER": "passed on"}
        serving = host(backend, "--token-env", "RELAY_TOKEN", upstream=f"stdio:exec {sys.executable} {script}", env=env)
        assert initialize(backend.road(), "s1")["result"] == {"RELAY_TOKEN": None, "OTHER": "passed on"}
        serving.ends_at_once()


# Orders ---------------------------------------------------------------------------------------------------------------


def waits(backend: Backend, token) -> dict:
    token.unlink()
    return {"state": "waiting_for_credential"}


def enrols(backend: Backend, _token) -> dict:
    backend.always["enroll"] = Reply(hangs=True)
    return {"state": "enrolling"}


def backs_off(backend: Backend, _token) -> dict:
    backend.always["enroll"] = Reply(503, "", {"Retry-After": "600"})
    return {"state": "backing_off"}


def refreshes(backend: Backend, _token) -> dict:
    backend.replies["road"].append(Reply(401))
    backend.always["refresh"] = Reply(hangs=True)
    return {"state": "refreshing"}


def dials(backend: Backend, _token) -> dict:
    backend.always["road"] = Reply(hangs=True)
    return {"state": "connecting"}


def connects(backend: Backend, _token) -> dict:
    return {"phase": "connected"}


STATES = [pytest.param(state, id=state.__name__) for state in (waits, enrols, backs_off, refreshes, dials, connects)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_at_once_whatever_it_is_about(host, token, state, number):
    with Backend() as backend:
        want = state(backend, token)
        busy = host(backend, "--token-file", token)
        busy.wait(**want)
        busy.ends_at_once(number)


def test_a_signal_ends_it_at_once_while_it_is_disabled_or_runs_a_program(host, tmp_path):
    with Backend() as backend:
        resting = host("no URL at all", "--token-env", "X", startup="disabled")
        resting.wait(phase="disabled")
        resting.ends_at_once()
        reading = host(backend, "--token-command", "sleep 600")
        reading.wait(state="reading_credential")
        reading.ends_at_once()
        backend.always["enroll"] = Reply(401)
        once = tmp_path / "once.sh"
        once.write_text(f"[ -e {tmp_path}/ran ] && exec sleep 600\ntouch {tmp_path}/ran\necho {tokens.ALICE}\n")
        renewing = host(backend, "--token-command", f"sh {once}")
        renewing.wait(state="renewing_credential")
        renewing.ends_at_once()
        door = host(backend, "--token-command", "sleep 600", "--forward", "0", upstream="", startup="require-ready")
        door.ends_at_once()


@pytest.mark.parametrize("state", STATES)
def test_an_operator_disables_it_at_once_whatever_it_is_about_and_enables_it_without_a_wait(host, token, state):
    with Backend() as backend:
        want = state(backend, token)
        busy = host(backend, "--token-file", token)
        busy.wait(**want)
        road = backend.road() if state is connects else None
        begun = time.monotonic()
        assert busy.order(False).status == 204
        busy.wait(phase="disabled", problem=None, server_id=None)
        assert time.monotonic() - begun < AT_ONCE
        assert road is None or road.is_gone()
        asked = len(backend.asked)
        backend.always.clear()
        backend.replies["road"].clear()
        put(token, tokens.ALICE)
        assert len(backend.asked) == asked, "it asked while it was disabled"
        begun = time.monotonic()
        assert busy.order(True).status == 204
        backend.road()
        assert time.monotonic() - begun < 2
        busy.wait(phase="connected")
        busy.ends_at_once()


def test_operators_commands_show_and_change_it(host, token):
    with Backend() as backend:
        asked = host(backend, "--token-file", token)
        backend.road()
        asked.wait(phase="connected")
        shown = asked.cli("status")
        assert shown.returncode == 0 and "PHASE         connected\n" in shown.stdout, shown
        assert f"SERVER        {backend.server_id}\n" in shown.stdout
        assert json.loads(asked.cli("status", "--json").stdout)["phase"] == "connected"
        assert asked.cli("disable").returncode == 0
        asked.wait(phase="disabled")
        assert asked.cli("enable").returncode == 0
        backend.road()
        asked.wait(phase="connected")
        assert 'portcullis_connector_phase{phase="connected"} 1' in asked.metrics()
        assert "portcullis_connector_roads_total 2" in asked.metrics()
        asked.ends_at_once()


def test_only_whoever_has_the_token_of_the_state_folder_is_an_operator(host, token):
    with Backend() as backend:
        asked = host(backend, "--token-file", token)
        for method, body in (("GET", b""), ("POST", b'{"enabled": false}')):
            assert asked.call(method, body, token="somebody-else").status == 401
        assert asked.call("POST", b'{"enabled": false, "more": 1}').status == 400
        assert asked.call("DELETE").status == 405
        backend.road()
        assert asked.wait(phase="connected")["roads"] == 1
        asked.ends_at_once()


def test_a_bad_url_does_not_matter_before_it_is_enabled(host, token):
    bad = host(f"http://ada:{tokens.MARK}@relay.example", "--token-file", token, startup="disabled")
    bad.wait(phase="disabled", problem=None)
    refused = bad.order(True)
    assert refused.status == 409 and "it has a user or a password" in json.loads(refused.body)["detail"]
    bad.wait(phase="errored", kind="relay_url")
    assert 'portcullis_connector_problem{kind="relay_url"' in bad.metrics()
    bad.order(False)
    bad.wait(phase="disabled", problem=None)
    assert problem_of_url(bad.metrics()) == "0"
    bad.ends_at_once()


def test_a_bad_url_is_the_end_of_one_that_is_to_dial(tmp_path, token):
    ended = run("connect", "--relay", "http://relay.example", "--upstream", NOBODY, "--token-file", token, "--state-dir", tmp_path / "state")
    assert ended.returncode == 1 and "`http` is for loopback only" in ended.stderr


# TLS ------------------------------------------------------------------------------------------------------------------


def test_a_relay_is_reached_over_tls_when_its_authority_is_named_and_its_certificate_told_when_not(host, token, certs):
    with Backend(tls=certs) as backend:
        unknown = host(backend, "--token-file", token)
        status = unknown.wait(kind="relay_down")
        assert "its certificate is of no authority that is trusted here (UnknownIssuer)" in status["problem"]["text"]
        unknown.ends_at_once()
        known = host(backend, "--token-file", token, "--tls-ca", certs.ca)
        backend.road()
        known.wait(phase="connected")
        known.ends_at_once()


# Helpers --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def echo(authorization: str | None = None):
    """A WebSocket that answers each request with its method; it may ask for a credential."""

    def answer(connection) -> None:
        assert connection.request.headers.get("Authorization") == authorization
        for text in connection:
            asked = json.loads(text)
            connection.send(json.dumps({"id": asked["id"], "result": {"method": asked["method"]}}))

    with serve(answer, "127.0.0.1", 0, max_size=16 * 1024 * 1024) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join(10)


def initialize(road, stream: str) -> dict:
    """A new guest; gives the answer of its upstream, which is acknowledged."""
    road.say(type="client_message", client_id="c", stream_id=stream, seq_id=1, message={"id": 1, "method": "initialize"})
    said = road.hear_message(type="server_message", stream_id=stream)
    assert said["seq_id"] == 1
    road.say(type="ack", client_id="c", stream_id=stream, seq_id=1)
    return said["message"]


def message_in_chunks(road, stream: str) -> dict:
    """A message that came in pieces."""
    data, count = b"", None
    while count is None or count > 0:
        said = road.hear_message(type="server_message_chunk", stream_id=stream)
        count = (said["segment_count"] if count is None else count) - 1
        data += base64.b64decode(said["message_chunk_base64"])
    return json.loads(data)


def problem_of_url(metrics: str) -> str:
    line = next(line for line in metrics.splitlines() if line.startswith('portcullis_connector_problem{kind="relay_url"'))
    return line.rsplit(" ", 1)[1]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return ") Z " not in file.read()
    except FileNotFoundError:
        return False
