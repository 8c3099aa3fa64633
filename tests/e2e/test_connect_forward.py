"""`portcullis connect --forward`: the agent's own binary reaches a relay through a door on loopback."""

from __future__ import annotations

import os
import re
import select
import socket
import stat
import subprocess

import pytest

from support import codex_host, tokens
from support.backend import Backend
from support.gate import binary
from support.host import Host, put
from support.process import clean_env


@pytest.fixture
def door(tmp_path):
    """A door before a relay that knows the machine by its name; and what is shown there."""
    token = tmp_path / "relay-token"
    put(token, tokens.ALICE)
    with Backend(name=socket.gethostname()) as backend:
        with Host(backend.url, "--forward", "0", "--token-file", token, state=tmp_path / "state") as host:
            yield backend, host


def test_the_real_agent_enrols_and_serves_a_guest_with_the_credential_of_the_door(door, tmp_path):
    backend, host = door
    with codex_host.start(codex_host.write_home(tmp_path / "home", host.base_url())) as agent:
        enrolled = backend.wait_asked("enroll", timeout=20)
        assert enrolled.bearer == tokens.ALICE and enrolled.account is None
        road = backend.road(20)
        road.say(type="client_message", client_id="c", stream_id="s1", seq_id=1,
                 message={"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "test", "title": "Test", "version": "1"}}})
        # It may tell the state of remote control first.
        answer = next(said for said in iter(road.hear, None) if said.get("message", {}).get("id") == 1)
        assert answer["message"]["result"]["platformFamily"] == "unix"
        host.ends_at_once()
        assert road.is_gone()
        assert agent.alive()
    assert "a-token-that-the-relay-must-not-see" not in str(backend.asked)


def test_the_url_of_the_door_is_a_secret_that_stays_the_same(door, tmp_path):
    backend, host = door
    url = host.base_url()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[A-Za-z0-9_-]{43}/", url)
    file = tmp_path / "state" / "forward_path"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_text().strip() in url
    assert host.ready() == 200 and host.call("GET").status == 404
    host.ends_at_once()
    with Host(backend.url, "--forward", "0", "--token-file", tmp_path / "relay-token", state=tmp_path / "state") as again:
        assert again.base_url().rsplit("/", 2)[1] == url.rsplit("/", 2)[1]
        again.ends_at_once()
        assert file.read_text().strip() not in again.process.err.text() + again.process.out.text()


def test_the_url_of_the_door_is_printed_whole_on_a_terminal_alone(door, tmp_path):
    backend, host = door
    host.ends_at_once()
    argv = [binary(), "connect", "--relay", backend.url, "--forward", "0", "--token-file", tmp_path / "relay-token", "--state-dir", tmp_path / "state"]
    ours, theirs = os.openpty()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=clean_env()) as person:
        os.close(theirs)
        try:
            seen = b""
            while b" (a secret)" not in seen:
                assert select.select([ours], [], [], 10)[0], seen
                seen += os.read(ours, 4096)
        finally:
            person.terminate()
            os.close(ours)
    assert f"/{(tmp_path / 'state' / 'forward_path').read_text().strip()}/ (a secret)" in seen.decode()
