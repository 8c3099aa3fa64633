"""API keys that are none, as a page hears of them."""

from __future__ import annotations

import base64

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support import configs, tokens
from support.upstreams import echo_frames

APP = "https://app.example"


@pytest.mark.parametrize("key", [
    f"pk_{'a' * 12}_{base64.urlsafe_b64encode(b'k' * 32).decode().rstrip('=')}",
    "pk_",
    f"pk_{tokens.MARK}",
], ids=["unknown", "prefix alone", "malformed"])
def test_an_api_key_that_is_none_is_told_by_1008(gate, files, raw_upstream, memory, key):
    echo = raw_upstream(echo_frames)
    made = configs.base(files, echo.url, verifiers=["keys"], origin=[APP], top=memory)
    made["verifier"] = {"keys": {"kind": "api-key"}}
    door = gate(made)
    with connect(door.ws("/x"), additional_headers={"Authorization": f"Bearer {key}"}, origin=APP, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_credential")
    assert echo.untouched()
