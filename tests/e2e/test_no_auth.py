"""No-auth mode: one switch for both protocols, loopback only, and never in silence."""

from __future__ import annotations

import pytest

from support import configs, table, tokens
from support.gate import run
from support.raw import TEXT, Raw, ask, request, upgrade
from support.upstreams import echo_frames

WRONG = [("Authorization", f"Bearer {tokens.WRONG}")]


@pytest.fixture
def echo(raw_upstream):
    return raw_upstream(echo_frames)


def assert_open(door, headers=()) -> None:
    """HTTP and WebSocket both enter."""
    answer = ask(door.port, request(headers=headers, host=door.authority))
    assert (answer.status, answer.body) == (200, b"ok")
    with Raw(door.port) as raw:
        raw.open("/", headers, host=door.authority)
        raw.send_frame(TEXT, b"hello")
        assert raw.frame().payload == b"hello"


def assert_shut(door) -> None:
    for data in (request(host=door.authority), upgrade(host=door.authority)):
        table.assert_denied(ask(door.port, data), "missing_credential")


def test_the_config_switch_opens_both_protocols(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"auth": {"required": False}}))
    assert_open(door)
    assert_open(door, WRONG)
    assert {f["subject"] for f in door.decisions("admitted")} == {"local"}


def test_the_environment_switch_opens_both_protocols(gate, files, echo):
    config = configs.base(files, echo.url)
    assert_shut(gate(config))
    assert_open(gate(config, env={"PORTCULLIS_AUTH_REQUIRED": "false"}))


def test_the_environment_switch_closes_both_protocols(gate, files, echo):
    config = configs.base(files, echo.url, top={"auth": {"required": False}})
    assert_shut(gate(config, env={"PORTCULLIS_AUTH_REQUIRED": "true"}))


@pytest.mark.parametrize("value", ["no", "0", "FALSE", "", "off", "false "])
def test_an_unknown_value_of_the_switch_is_refused_at_startup(files, tmp_path, value):
    result = run("serve", "--listen", "ws://127.0.0.1:0", "--upstream", "builtin:echo", env={"PORTCULLIS_AUTH_REQUIRED": value}, cwd=tmp_path)
    assert result.returncode == 1
    assert "PORTCULLIS_AUTH_REQUIRED" in result.stderr
    assert "`true`" in result.stderr and "`false`" in result.stderr


def test_one_line_mode_without_auth_is_open_on_loopback(gate, echo):
    assert_open(gate(argv=["serve", "--listen", "ws://127.0.0.1:0", "--upstream", echo.url]))


def test_origin_and_host_rules_hold_without_auth(gate, files, echo):
    door = gate(configs.base(files, echo.url, top={"auth": {"required": False}}))
    foreign = [("Origin", "https://evil.example")]
    for make in (request, upgrade):
        table.assert_denied(ask(door.port, make(headers=foreign, host=door.authority)), "origin_forbidden")
        table.assert_denied(ask(door.port, make(host="rebound.example")), "host_forbidden")
    assert echo.untouched()


def test_all_local_sessions_share_one_bucket(gate, files, echo):
    door = gate(configs.base(files, echo.url, limits={"sessions_per_subject": 2}, top={"auth": {"required": False}}))
    held = [Raw(door.port), Raw(door.port)]
    for raw, headers in zip(held, ([], [("Authorization", f"Bearer {tokens.ALICE}")])):
        raw.open("/", headers, host=door.authority)
    table.assert_denied(ask(door.port, upgrade(host=door.authority)), "session_limit")


REMOTE = ["serve", "--listen", "ws://0.0.0.0:0", "--upstream", "builtin:echo"]


def test_off_loopback_it_refuses_to_start_and_says_how_to_mend_it():
    result = run(*REMOTE)
    assert result.returncode == 1
    assert result.stderr.splitlines()[0].startswith("Error: refusing to start non-loopback websocket listener 0.0.0.0:0 without auth; ")
    assert "--ws-auth capability-token" in result.stderr
    assert "listening on" not in result.stderr


def test_a_config_file_without_auth_is_refused_off_loopback_too(files, tmp_path):
    from support.gate import toml

    config = configs.base(files, "builtin:echo", top={"auth": {"required": False}})
    config["listener"][0]["url"] = "ws://0.0.0.0:0"
    (tmp_path / "gate.toml").write_text(toml(config))
    result = run("serve", "--config", tmp_path / "gate.toml")
    assert result.returncode == 1
    assert "refusing to start non-loopback websocket listener 0.0.0.0:0 without auth" in result.stderr
    assert "`auth.required = true`" in result.stderr
    assert "--dangerously-allow-unauthenticated-remote" in result.stderr


def test_a_reload_without_auth_is_refused_while_strangers_can_reach_a_listener(gate, files, echo):
    """A reload moves no listener: what the file says of them now is not where the gate listens."""
    config = configs.base(files, echo.url)
    config["listener"][0]["url"] = "ws://0.0.0.0:0"
    door = gate(config)
    assert_shut(door)
    config["listener"][0]["url"] = "ws://127.0.0.1:0"
    config["auth"] = {"required": False}
    door.reload(config)
    failed = door.wait_record(lambda r: r["level"] == "ERROR" and r["target"] == "portcullis::reload", what="the refused reload")
    for named in ("0.0.0.0:0", "`auth.required = true`", "--dangerously-allow-unauthenticated-remote"):
        assert named in failed["fields"]["error"]
    assert_shut(door)
    assert echo.untouched()


def test_a_remote_listener_that_a_reload_opens_by_the_flag_is_warned_of(gate, files, echo):
    config = configs.base(files, echo.url)
    config["listener"][0]["url"] = "ws://0.0.0.0:0"
    door = gate(config, flags=["--dangerously-allow-unauthenticated-remote"])
    config["listener"][0]["url"] = "ws://127.0.0.1:0"
    config["auth"] = {"required": False}
    door.reload(config)
    door.wait_record(lambda r: r["fields"]["message"] == "reloaded", what="the reload")
    ready = ask(door.port, request(path="/readyz", host=door.authority))
    assert (ready.status, "unauthenticated" in ready.text) == (200, True)
    assert_open(door)


def test_a_reload_says_which_changes_of_a_listener_need_a_restart(gate, files, echo):
    config = configs.base(files, echo.url)
    door = gate(config)
    config["listener"][0] |= {"hosts": ["gate.example"], "health_routes": False}
    door.reload(config)
    door.wait_record(lambda r: r["fields"]["message"] == "reloaded", what="the reload")
    warned = [r["fields"]["message"] for r in door.records() if r["level"] == "WARN"]
    for key in ("`hosts`", "`health_routes`"):
        assert [line for line in warned if key in line and "restart" in line], warned
    assert ask(door.port, request(path="/healthz", host=door.authority)).status == 200


def test_the_dangerous_flag_is_obeyed_and_warned_of_in_log_banner_and_readyz(gate):
    door = gate(argv=[*REMOTE, "--dangerously-allow-unauthenticated-remote"])
    lines = door.process.err.snapshot()
    banner = [line for line in lines if not line.startswith("{")]
    assert any("without auth" in line or "unauthenticated" in line for line in banner), banner
    assert [r for r in door.records() if r["level"] == "WARN" and "unauthenticated" in str(r)]
    ready = ask(door.port, request(path="/readyz", host=door.authority))
    assert (ready.status, "unauthenticated" in ready.text) == (200, True)
    assert ask(door.port, upgrade(host=door.authority)).status == 101


def test_with_auth_readyz_has_nothing_to_warn_of(gate, files, echo):
    door = gate(configs.base(files, echo.url))
    ready = ask(door.port, request(path="/readyz", host=door.authority))
    assert (ready.status, ready.text) == (200, "")


def test_an_authenticated_remote_listener_needs_no_flag(gate, files, echo):
    config = configs.base(files, echo.url)
    config["listener"][0]["url"] = "ws://0.0.0.0:0"
    door = gate(config)
    assert ask(door.port, upgrade(host=door.authority)).status == 401
