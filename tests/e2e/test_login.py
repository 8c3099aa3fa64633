"""People log in at a real OpenID Connect provider, in a real Chromium; and out again, here and there, while a socket is open."""

from __future__ import annotations

import json
import ssl
from urllib.parse import urlsplit

import pytest

from support import browser as browser_
from support import configs, tokens
from support.certs import Certs
from support.process import eventually
from support.provider import Provider
from support.raw import Raw, ask, request

SECRET = "the-client's/secret+of%the gate"


# What these tests look at is the same in each: one will do.
ANY_LEDGER = pytest.mark.parametrize("memory", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def browser():
    browser = browser_.Browser()
    yield browser
    browser.stop()


@pytest.fixture
def people(gate, files, browser, node_ws, memory):
    """A gate with a page and a socket for people, and their provider. The login comes with a reload: only then the gate's port is known."""
    providers = []

    def start(tls: Certs | None = None, **more):
        (files["one"].parent / "client.txt").write_text(SECRET + "\n")
        (files["one"].parent / "client.txt").chmod(0o600)
        config = configs.base(files, node_ws.url, top=memory)
        config["admin"] = {"listen": "127.0.0.1:0", "verifiers": ["tokens"], "scope": "chat"}
        if tls:
            config["listener"] = [{"url": "wss://127.0.0.1:0", "tls_cert": tls.cert, "tls_key": tls.key}]
        door = gate(config)
        base = f"{'https' if tls else 'http'}://{door.authority}"
        provider = Provider(base, SECRET, tls and tls.ca)
        providers.append(provider)
        config["login"] = {"people": {
            "issuer": provider.issuer, "client_id": "gate", "client_secret_file": files["one"].parent / "client.txt", "public_url": base,
            "scopes": ["chat"], **more,
        }}
        config["verifier"]["people"] = {"kind": "login"}
        both = {"verifiers": ["people", "tokens"], "login": "people"}
        config["route"] = [
            {"name": "page", "path": "/page/*", "upstream": browser.pages, **both},
            {"name": "chat", "path": "/chat/*", "upstream": node_ws.url, "strip_prefix": True, "scopes": ["chat"], **both},
        ]
        door.reload(config)
        door.base, door.provider = base, provider
        return door

    yield start
    for provider in providers:
        provider.stop()


def log_in(door, path: str = "/page/one?tab=2") -> list[dict]:
    """From the provider's page, where the gate has sent the browser, back to where it wanted to go."""
    return [{"arrive": f"{door.provider.issuer}/interaction/*"}, {"click": "#in"}, {"arrive": door.base + path}]


def open_socket(door) -> list[dict]:
    url = door.base.replace("http", "ws", 1) + "/chat/echo"
    script = f"""new Promise((resolve) => {{
        const socket = new WebSocket({url!r});
        socket.onopen = () => socket.send("hello");
        socket.onmessage = ({{ data }}) => resolve(data);
        socket.onclose = ({{ code, reason, wasClean }}) => {{ window.end = [code, reason, wasClean]; resolve("closed"); }};
    }})"""
    return [{"evaluate": script}]


def logins_in_audit(door, count: int) -> list[dict]:
    """The audit log's records of logins, the latest first."""
    port = urlsplit(door.admin_url).port
    operator = [("Authorization", f"Bearer {tokens.ALICE}")]

    def records() -> list[dict]:
        answer = ask(port, request("GET", "/api/v1/audit?kind=login", operator, host=f"127.0.0.1:{port}"))
        return json.loads(answer.body)["items"]

    return eventually(lambda: len(found := records()) == count and found)


ENDED = [{"wait": "window.end !== undefined"}, {"evaluate": "window.end"}]
AGAIN = {"evaluate": "fetch('/page/one', {redirect: 'manual'}).then((response) => response.status)"}


def test_a_person_is_sent_to_the_provider_comes_back_and_has_a_socket(people, browser):
    door = people()
    steps = [*log_in(door), *open_socket(door), {"evaluate": "document.cookie"}, AGAIN]
    *_, arrived, said, script_sees, again = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert arrived == door.base + "/page/one?tab=2"
    assert said == "hello"
    assert "portcullis" not in script_sees
    assert again == 200
    def is_admitted(record: dict) -> bool:
        fields = record["fields"]
        return (fields.get("message"), fields.get("route"), fields.get("subject"), fields.get("carrier")) == ("admitted", "chat", "ada", "cookie")

    door.wait_record(is_admitted, what="the socket")
    (login,) = logins_in_audit(door, 1)
    assert (login["outcome"], login["subject"], login["issuer"], login["address"]) == ("logged_in", "ada", door.provider.issuer, "127.0.0.1")


def test_logging_out_closes_the_open_socket_with_4004_and_ends_the_login(people, browser):
    door = people()
    out = {"evaluate": "fetch('/.portcullis/logout', {method: 'POST', redirect: 'manual'}).then((response) => response.type)"}
    steps = [*log_in(door), *open_socket(door), out, *ENDED, AGAIN]
    *_, said, left, _, end, again = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert (said, left) == ("hello", "opaqueredirect")
    assert end == [4004, "revoked", True]
    assert again == 401
    ended, begun = logins_in_audit(door, 2)
    assert (begun["outcome"], ended["outcome"], ended["subject"]) == ("logged_in", "logged_out", "ada")
    assert begun["credential_id"] == ended["credential_id"]


def test_the_button_logs_out_at_the_provider_too(people, browser):
    door = people()
    button = {"open": door.base + "/.portcullis/logout", "steps": [
        {"click": "button"}, {"arrive": f"{door.provider.issuer}/session/end*"}, {"click": "button[name=logout]"},
        {"arrive": door.base + "/.portcullis/logout/done"}, {"evaluate": "document.body.innerText"},
    ]}
    steps = [*log_in(door), *open_socket(door), {"aside": button}, *ENDED]
    *_, aside, _, end = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert "You are logged out." in aside[-1]
    assert end == [4004, "revoked", True]


def test_logging_out_at_the_provider_closes_the_open_socket_with_4004(people, browser):
    door = people()
    there = {"open": f"{door.provider.issuer}/session/end", "steps": [{"click": "button[name=logout]"}, {"arrive": f"{door.provider.issuer}/session/end/success*"}]}
    steps = [*log_in(door), *open_socket(door), {"aside": there}, *ENDED, AGAIN]
    *_, said, _, _, end, again = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert said == "hello"
    assert end == [4004, "revoked", True]
    assert again == 401
    assert door.provider.wait_told(1) == [{"told": "gate", "subject": "ada"}]


@ANY_LEDGER
def test_a_login_outlives_a_restart_of_the_page_but_not_its_lifetime(people, browser):
    door = people(lifetime="3s")
    steps = [*log_in(door), *open_socket(door), *ENDED, AGAIN]
    *_, said, _, end, again = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert said == "hello"
    assert end[0] == 4001
    assert again == 401


@ANY_LEDGER
def test_only_people_are_sent_to_the_login(people):
    door = people()
    page = [("Accept", "text/html"), ("Sec-Fetch-Dest", "document")]
    for headers, status in ((page, 303), ([("Accept", "application/json")], 401), ([], 401)):
        answer = ask(door.port, request("GET", "/page/one?a=b", headers))
        assert answer.status == status, headers
        if status == 303:
            assert answer.header("location") == "/.portcullis/login/people?return=/page/one%3Fa%3Db"


@ANY_LEDGER
def test_a_foreign_page_neither_opens_a_socket_with_the_cookie_nor_logs_out(people, browser):
    door = people()
    foreign = browser.pages.replace("127.0.0.1", "localhost")
    url = door.base.replace("http", "ws", 1) + "/chat/echo"
    script = f"new Promise((resolve) => {{ const socket = new WebSocket({url!r}); socket.onopen = () => resolve('open'); socket.onclose = ({{ code }}) => resolve(code); }})"
    out = f"fetch({door.base + '/.portcullis/logout'!r}, {{method: 'POST', mode: 'no-cors', credentials: 'include'}}).then(() => 'sent')"
    steps = [*log_in(door), {"aside": {"open": foreign, "steps": [{"evaluate": script}, {"evaluate": out}]}}, AGAIN]
    *_, aside, again = browser.visit(door.base + "/page/one?tab=2", *steps)
    assert aside[0] != "open"
    assert again == 200


@ANY_LEDGER
def test_over_tls_the_cookie_is_this_hosts_alone_and_opens_and_ends_a_socket_as_without(people, browser, certs):
    door = people(certs)
    there = {"open": f"{door.provider.issuer}/session/end", "steps": [{"click": "button[name=logout]"}, {"arrive": f"{door.provider.issuer}/session/end/success*"}]}
    jar = {"jar": door.base}
    steps = [*log_in(door), jar, *open_socket(door), {"evaluate": "document.cookie"}, {"aside": there}, *ENDED, AGAIN]
    *_, arrived, cookies, said, script_sees, _, _, end, again = browser.visit(door.base + "/page/one?tab=2", *steps, trusts=True)
    assert arrived == door.base + "/page/one?tab=2"
    ours = {cookie["name"]: cookie for cookie in cookies if "portcullis" in cookie["name"]}
    assert sorted(ours) == ["__Host-portcullis", "__Host-portcullis-login"]
    for cookie in ours.values():
        assert (cookie["domain"], cookie["path"], cookie["secure"]) == ("127.0.0.1", "/", True)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert said == "hello"
    assert "portcullis" not in script_sees
    assert end == [4004, "revoked", True]
    assert again == 401
    assert door.wait_decision(message="admitted", route="chat")["carrier"] == "cookie"


@ANY_LEDGER
def test_over_tls_the_cookies_name_without_its_prefix_is_no_login(people, browser, certs):
    door = people(certs)
    *_, cookies = browser.visit(door.base + "/page/one?tab=2", *log_in(door), {"jar": door.base}, trusts=True)
    (value,) = [cookie["value"] for cookie in cookies if cookie["name"] == "__Host-portcullis"]
    trusting = ssl.create_default_context(cafile=certs.ca)
    for name, status in (("__Host-portcullis", 200), ("portcullis", 401), ("__host-portcullis", 401)):
        head = request("GET", "/page/one", [("Cookie", f"{name}={value}"), ("Sec-Fetch-Site", "same-origin")], host=door.authority)
        with Raw(door.port, tls=trusting, server_name="127.0.0.1") as raw:
            assert raw.send(head).response().status == status, name
