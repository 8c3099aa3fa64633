"""`[connector]`: a host that dials a relay, beside the listeners of a gate."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from support import configs, tokens
from support.backend import Backend
from support.gate import binary, run, toml
from support.host import AT_ONCE, put
from support.process import clean_env, eventually
from support.raw import TEXT, Raw, ask, request
from support.upstreams import echo_frames

OPERATOR = f"operator-{tokens.MARK}-token"
BEARER = [("Authorization", f"Bearer {tokens.ALICE}")]


@pytest.fixture
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture
def config(files, raw_upstream, tmp_path, backend):
    """A gate before an echo, an admin API, and a host of `backend` whose token is not there yet."""
    operators = tmp_path / "operators.txt"
    put(operators, f"olga:{OPERATOR}\n")
    made = configs.base(files, raw_upstream(echo_frames).url)
    made["verifier"]["operators"] = {"kind": "capability-token", "tokens_file": operators, "scopes": ["portcullis:admin"]}
    made["admin"] = {"listen": "127.0.0.1:0", "verifiers": ["operators"]}
    made["ledger"] = {"url": "sqlite:ledger.db"}
    made["connector"] = {"relay": backend.url, "upstream": "ws://127.0.0.1:9", "token_file": tmp_path / "relay-token", "name": "vm"}
    return made


@pytest.fixture
def started(gate, tmp_path):
    """Starts gates that keep this machine's name for relays in the test's folder."""
    return lambda made: gate(made, flags=("--state-dir", tmp_path / "state"))


def hosts(door, command: str, code: int = 0, token: str = OPERATOR) -> str:
    env = {"PORTCULLIS_ADMIN": door.admin_url, "PORTCULLIS_ADMIN_TOKEN": token}
    ran = subprocess.run([binary(), "hosts", command, *(["--json"] if command == "status" else [])], env=clean_env(env), capture_output=True, text=True, timeout=30)
    assert ran.returncode == code, ran
    return ran.stdout if code == 0 else ran.stderr


def wait(door, **want) -> dict:
    def fits() -> dict | None:
        status = json.loads(hosts(door, "status"))
        seen = {**status, "kind": (status["problem"] or {}).get("kind")}
        return status if all(seen[key] == value for key, value in want.items()) else None

    return eventually(fits, 15, what=f"{want}")


def test_a_gate_serves_whatever_is_wrong_with_its_connector_which_goes_on_when_it_is_mended(started, config, backend, tmp_path):
    door = started(config)
    with Raw(door.port) as session:
        assert session.open("/chat", BEARER).status == 101
        wait(door, phase="connecting", kind="credential_missing")
        metrics = door.metrics()
        assert "portcullis_sessions 1" in metrics and 'portcullis_connector_problem{kind="credential_missing"' in metrics
        put(tmp_path / "relay-token", tokens.ALICE)
        backend.road()
        wait(door, phase="connected", problem=None)
        metrics = door.metrics()
        assert 'portcullis_connector_phase{phase="connected"} 1' in metrics and 'portcullis_connector_phase{phase="connecting"} 0' in metrics
        problem = next(line for line in metrics.splitlines() if line.startswith("portcullis_connector_problem{"))
        assert problem.endswith(" 0")
        session.send_frame(TEXT, b"still here")
        assert session.frame().payload == b"still here"


def test_a_gate_that_must_have_a_host_does_not_start_without_a_credential(config, tmp_path):
    config["connector"]["startup"] = "require-ready"
    file = tmp_path / "gate.toml"
    file.write_text(toml(config))
    ended = run("serve", "--config", file, "--state-dir", tmp_path / "state", cwd=tmp_path)
    assert ended.returncode == 9, ended
    assert "Error: permission denied: the relay asks for a credential, and there is none (log in" in ended.stderr
    assert "listening on" not in ended.stderr, "it let people in, to cut them off"


def test_a_gate_that_must_have_a_host_asks_once_and_then_waits_for_its_credential_as_others_do(started, config, backend, tmp_path):
    script = tmp_path / "token.sh"
    script.write_text(f"[ -e {tmp_path}/ran ] && exit 1\ntouch {tmp_path}/ran\necho {tokens.BOB}\n")
    del config["connector"]["token_file"]
    config["connector"].update(startup="require-ready", token_command=f"sh {script}")
    door = started(config)
    assert backend.wait_asked("enroll").bearer == tokens.BOB
    wait(door, kind="credential_unreadable")
    with Raw(door.port) as session:
        assert session.open("/chat", BEARER).status == 101


def test_the_enrolment_is_in_the_ledger_that_gates_share(started, config, backend, memory, tmp_path):
    put(tmp_path / "relay-token", tokens.ALICE)
    config.update(memory)
    for _ in range(2):
        door = started(config)
        backend.road()
        wait(door, phase="connected", server_id=backend.server_id)
        door.stop()
    assert (backend.count("enroll"), backend.count("refresh")) == (1, 1)


def test_a_reload_has_it_hang_up_and_dial_as_the_file_says_and_names_what_needs_a_restart(started, config, backend, tmp_path):
    put(tmp_path / "relay-token", tokens.ALICE)
    door = started(config)
    road = backend.road()
    wait(door, phase="connected")
    config["connector"]["startup"] = "disabled"
    door.reload(config)
    assert road.is_gone()
    wait(door, phase="disabled")
    config["connector"]["startup"] = "allow-recoverable"
    door.reload(config)
    backend.road()
    wait(door, phase="connected")
    config["connector"]["name"] = "other"
    door.reload(config)
    door.wait_record(lambda record: "`connector` has changed" in record["fields"]["message"])
    assert wait(door, phase="connected")["roads"] == 2
    del config["connector"]
    door.reload(config)
    door.wait_record(lambda record: "the connector begins or ends with a restart" in record["fields"]["message"])
    assert wait(door, phase="connected")["roads"] == 2


def test_an_operators_order_is_carried_out_and_on_record(started, config, backend, tmp_path):
    put(tmp_path / "relay-token", tokens.ALICE)
    door = started(config)
    road = backend.road()
    hosts(door, "disable")
    assert road.is_gone()
    wait(door, phase="disabled")
    hosts(door, "enable")
    backend.road()
    assert "gate refuses" in hosts(door, "disable", code=1, token="somebody-else")
    eventually(lambda: {"connector_disabled", "connector_enabled"} <= {record["outcome"] for record in audit(door)}, what="both records")


def test_a_gate_without_a_connector_says_so(started, config):
    del config["connector"]
    door = started(config)
    assert "no host dials from this gate" in hosts(door, "status", code=1)


def test_a_gate_that_drains_hangs_up_at_once_and_ends_well(started, config, backend, tmp_path):
    put(tmp_path / "relay-token", tokens.ALICE)
    door = started(config)
    road = backend.road()
    wait(door, phase="connected")
    begun = time.monotonic()
    door.process.signal(signal.SIGTERM)
    assert road.is_gone()
    assert time.monotonic() - begun < AT_ONCE
    assert door.process.wait() == 0


def audit(door) -> list[dict]:
    answer = ask(urlsplit(door.admin_url).port, request("GET", "/api/v1/audit?limit=50", [("Authorization", f"Bearer {OPERATOR}")]))
    return json.loads(answer.body)["items"]
