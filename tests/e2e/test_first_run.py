"""The first run: a fresh home, a token that is kept, three commands that work as they are printed, and a page to try it all."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from support import browser as browser_
from support import table, tokens
from support.gate import run
from support.process import Process, clean_env
from support.raw import TEXT, Raw, ask, request, upgrade

NODE = Path(__file__).resolve().parent / "node"
ON_ANY_PORT = ["serve", "--listen", "ws://127.0.0.1:0"]


@pytest.fixture(scope="module")
def browser():
    browser = browser_.Browser()
    yield browser
    browser.stop()


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def first_run(gate, home):
    """Starts the program as on a fresh machine."""

    def start(argv=ON_ANY_PORT, **env):
        door = gate(argv=list(argv), env={"HOME": str(home), "XDG_STATE_HOME": None, **env}, cwd=home)
        door.process.err.wait(lambda lines: any("#token=" in line for line in lines), what="welcome")
        door.token = said(door, r"^  token: (\S+)$")
        return door

    return start


def said(door, pattern: str) -> str:
    found = re.search(pattern, door.process.err.text(), re.MULTILINE)
    assert found, door.process.err.text()
    return found.group(1)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# State ----------------------------------------------------------------------------------------------------------------


def test_a_fresh_home_gets_a_token_that_is_its_owners_alone(first_run, home):
    door = first_run()
    file = home / ".local/state/portcullis/token"
    assert said(door, r"^  kept in: (.+)$") == str(file)
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert file.read_text().strip() == door.token
    # 32 random bytes, in some text of theirs.
    assert len(door.token) >= 43
    assert [line for line in door.process.err.snapshot() if line.startswith("{") and door.token in line] == []


def test_the_second_start_finds_the_token_of_the_first(first_run, home):
    first = first_run()
    file = home / ".local/state/portcullis/token"
    made = file.stat().st_mtime_ns
    assert first.stop() == 0
    second = first_run()
    assert (second.token, file.stat().st_mtime_ns) == (first.token, made)
    assert ask(second.port, upgrade("/echo", [("Authorization", f"Bearer {first.token}")], host=second.authority)).status == 101


def test_another_home_gets_another_token(first_run, tmp_path):
    assert first_run().token != first_run(HOME=str(tmp_path)).token


@pytest.mark.parametrize("how", ["XDG_STATE_HOME", "--state-dir"])
def test_the_state_goes_where_it_is_told(first_run, home, tmp_path, how):
    folder = tmp_path / "elsewhere"
    door = first_run(XDG_STATE_HOME=str(folder)) if how == "XDG_STATE_HOME" else first_run([*ON_ANY_PORT, "--state-dir", folder])
    file = (folder / "portcullis" if how == "XDG_STATE_HOME" else folder) / "token"
    assert file.read_text().strip() == door.token
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("no folder")
    result = run(*ON_ANY_PORT, env={"HOME": str(tmp_path / "file"), "XDG_STATE_HOME": None})
    assert result.returncode == 1
    assert "--state-dir" in result.stderr and "listening on" not in result.stderr


def test_without_arguments_it_listens_on_the_documented_port(first_run):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 7700))
        except OSError:
            pytest.skip("somebody else listens on port 7700")
    door = first_run([])
    assert door.urls == ["ws://127.0.0.1:7700"]
    assert ask(7700, request(path="/readyz", host=door.authority)).status == 200
    assert door.stop() == 0


# What is served -------------------------------------------------------------------------------------------------------


def test_the_echo_is_shut_without_the_token_and_open_with_it(first_run):
    door = first_run()
    table.assert_denied(ask(door.port, upgrade("/echo", host=door.authority)), "missing_credential")
    table.assert_denied(ask(door.port, upgrade("/echo", [("Authorization", f"Bearer {tokens.WRONG}")], host=door.authority)), "invalid_credential")
    for carried in (("Authorization", f"Bearer {door.token}"), ("Sec-WebSocket-Protocol", f"{tokens.own(door.token)}, echo")):
        with Raw(door.port) as raw:
            raw.open("/echo", [carried], host=door.authority)
            raw.send_frame(TEXT, b"hello")
            assert raw.frame().payload == b"hello"


def test_the_one_switch_opens_the_demo_too(first_run):
    door = first_run(PORTCULLIS_AUTH_REQUIRED="false")
    assert ask(door.port, upgrade("/echo", host=door.authority)).status == 101


# Three commands, as they are printed ----------------------------------------------------------------------------------


def printed(door, begins: str) -> str:
    return said(door, rf"^  ({begins}.+)$")


def test_the_curl_command_works_as_printed(first_run):
    door = first_run()
    result = subprocess.run(printed(door, "curl "), shell=True, env=clean_env(), capture_output=True, text=True, timeout=20)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["admitted"] is True


def test_the_command_line_client_works_as_printed(first_run):
    """`npx` takes the package that is installed where it is run, so that the test needs no network. The client wants a terminal: `script` is one."""
    door = first_run()
    command = printed(door, "npx ")
    assert shlex.split(command)[:3] == ["npx", "-y", "wscat"]
    with Process(["script", "--quiet", "--flush", "--return", "--command", command, "/dev/null"], stdin=subprocess.PIPE, cwd=NODE) as client:
        client.out.wait(lambda lines: any("Connected" in line for line in lines), 20, "the client's greeting")
        client.popen.stdin.write(b"hello from the terminal\n")
        client.popen.stdin.flush()
        client.out.wait(lambda lines: any("< hello from the terminal" in line for line in lines), 10, "the echo")
        client.popen.stdin.close()
        assert client.wait(10) == 0
    assert door.wait_session_end(reason="closed_by_client")["messages_up"] == 1


# The page -------------------------------------------------------------------------------------------------------------

READY = {"wait": "document.body.dataset.ready === 'true'"}


def text_of(selector: str) -> dict:
    return {"evaluate": f"document.querySelector({json.dumps(selector)}).textContent"}


def test_the_printed_page_echoes_with_the_token_of_its_address(first_run, browser):
    door = first_run()
    log = "[...document.querySelectorAll('#echo-log li')].map((line) => [line.dataset.kind, line.children[1].textContent])"
    results = browser.visit(
        printed(door, "http://"), READY,
        {"evaluate": "[document.querySelector('#echo-token').value, location.href]"},
        {"click": "#echo-connect"}, {"wait": "document.querySelector('#echo-status').dataset.state === 'open'"},
        {"fill": ["#echo-message", "hello from the page"]}, {"click": "#echo-send"},
        {"wait": "document.querySelector('#echo-log li[data-kind=received]')"},
        {"click": "#echo-close"}, {"wait": "document.querySelector('#echo-status').dataset.state === 'closed'"},
        {"evaluate": log},
    )
    # The token is in the field, and no longer in the address.
    assert results[1] == [door.token, door.http("/")]
    assert results[-1] == [["open", "subprotocol echo"], ["sent", "hello from the page"], ["received", "hello from the page"], ["closed", "1000"]]
    door.wait_session_end(reason="closed_by_client", route="echo")


@pytest.mark.parametrize("token, code", [("", "missing_credential"), (tokens.WRONG, "invalid_credential")])
def test_the_page_shows_why_the_echo_was_refused(first_run, browser, token, code):
    door = first_run()
    results = browser.visit(
        door.http("/"), READY, {"fill": ["#echo-token", token]}, {"click": "#echo-connect"},
        {"wait": "document.querySelector('#echo-status').dataset.state === 'refused'"}, text_of("#echo-status"))
    row = table.TABLE[code]
    assert results[-1] == f"{row.close} {code}: {row.recovery}"


# Each trial of the page: what script received, and what it is told to do. None: nothing is refused.
TRIALS = {
    "ok": None,
    "missing": "missing_credential",
    "wrong": "invalid_credential",
    "expired": "expired",
    "not-yet-valid": "not_yet_valid",
    "insufficient-scope": "insufficient_scope",
    "session-limit": "session_limit",
    "upstream-lost": "upstream_unreachable",
    "rate-limited": "rate_limited",
    "too-big": "message_too_big",
    "expires-soon": "expired",
    "idle": "idle",
}
IN_SESSION = {"rate-limited", "too-big", "expires-soon", "idle"}

ROWS = """Object.fromEntries([...document.querySelectorAll("tr[data-scenario]")].map((row) => {
  const cell = (name) => ({ ...row.querySelector(`[data-cell="${name}"]`).dataset });
  const result = row.querySelector('[data-cell="result"]').textContent;
  return [row.dataset.scenario, { state: row.dataset.state, plain: cell("plain"), ours: cell("portcullis"), recovery: cell("recovery").recovery, result }];
}))"""


@pytest.mark.timeout(120)
def test_the_page_runs_every_trial_and_shows_each_refusal_beside_a_1006(first_run, browser):
    door = first_run()
    rows, summary = browser.visit(
        door.http("/"), READY, {"click": "#run-all"}, {"wait": "document.body.dataset.all === 'done'", "ms": 60000}, {"evaluate": ROWS}, text_of("#summary"),
        timeout=90)[-2:]
    assert set(rows) == set(TRIALS)
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(TRIALS, "done"), rows
    for name, code in TRIALS.items():
        row = rows[name]
        ours = (row["ours"]["code"], row["ours"]["reason"], row["recovery"])
        if code is None:
            assert ours[0] == "1000", row
            continue
        want = table.TABLE[code]
        assert ours == (str(want.close), code, want.recovery), (name, row)
        # The same refusal before accept; one in mid-session has none.
        assert row["plain"]["code"] == ("none" if name in IN_SESSION else "1006"), (name, row)
        assert row["plain"].get("reason", "") == ""
    assert summary == f"{len(TRIALS)} of {len(TRIALS)} as expected"


def test_the_page_asks_the_check_route(first_run, browser):
    door = first_run()
    pick = "(() => { const list = document.querySelector('#check-with'); list.value = [...list.options].find((o) => o.textContent === 'no token').value; list.dispatchEvent(new Event('change')); })()"
    results = browser.visit(
        door.http("/"), READY, {"evaluate": pick + ", true"}, {"click": "#check-run"},
        {"wait": "document.querySelector('#check-output').dataset.state === 'done'"}, text_of("#check-output"))
    answer = json.loads(results[-1])
    assert (answer["admitted"], answer["code"], answer["recovery"]) == (False, "missing_credential", "login")


def test_the_page_shows_the_refusal_table_as_the_program_prints_it(first_run, browser):
    door = first_run()
    cells = "[...document.querySelectorAll('#code-rows tr')].map((row) => [row.dataset.refusal, ...[...row.cells].slice(1, 4).map((cell) => cell.textContent)])"
    shown = browser.visit(door.http("/"), READY, {"evaluate": cells})[-1]
    printed_table = json.loads(run("codes", "--format", "json").stdout)
    rows = printed_table if isinstance(printed_table, list) else printed_table["refusals"]
    want = [[row["refusal"], text(row.get("status"), "–"), text(row.get("close"), "never accepted"), row["recovery"] or ""] for row in rows]
    assert shown == want


def text(value, otherwise: str) -> str:
    return otherwise if value is None else str(value)


def test_the_page_loads_nothing_from_elsewhere(first_run, browser):
    door = first_run()
    origins = "[...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]"
    assert browser.visit(door.http("/"), READY, {"evaluate": origins})[-1] == [f"http://{door.authority}"]
    answer = ask(door.port, request(path="/", host=door.authority))
    assert "default-src 'self'" in answer.header("content-security-policy")
