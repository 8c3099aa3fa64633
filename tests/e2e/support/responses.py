"""The gate's side of the Responses bridge: its config, said in one place, and a door with everything that a test needs to pass it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from . import configs, responses_story as stories, tokens
from .gate import Gate
from .raw import ask, request
from .responses_socket import Talk
from .responses_story import Story
from .responses_upstream import Upstream

UPSTREAM_KEY = f"upstream-{tokens.MARK}"

# The tests of the protocol may be run against the scripted upstream's own socket, as a check of the tests.
REFERENCE = os.environ.get("RESPONSES_REFERENCE")


def route(upstream: str, files: dict[str, Path], **settings) -> dict:
    """What a route must say to be a bridge; the rest is `[route.responses]`."""
    return {
        "name": "responses", "path": "/v1/*", "upstream": f"responses:{upstream}", "verifiers": ["tokens", "jwt"],
        "upstream_token_file": files["upstream"], "responses": settings,
    }


def config(upstream: str, files: dict[str, Path], *, top: dict | None = None, session: dict | None = None, limits: dict | None = None,
           more: dict | None = None, **settings) -> dict:
    built = configs.base(files, upstream, top=top)
    built["route"] = [{**route(upstream, files, **settings), **(more or {})}]
    for name, table in (("session", session), ("limits", limits)):
        if table:
            built["route"][0][name] = table
    built.setdefault("admin", {"listen": "127.0.0.1:0"})
    return built


def scenes(told: tuple[Story, ...]) -> str:
    """The same stories as the mock reads them: a scene for each request, in order, and then what the upstream says by itself."""
    plays = [{"times": 1, **scene(story)} for story in told] + [scene(stories.text())]
    return "\n".join("[[scene]]\n" + "".join(f"{name} = {inline(value)}\n" for name, value in play.items()) for play in plays)


def inline(value) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {inline(part)}" for name, part in value.items() if part is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def scene(story: Story) -> dict:
    told = story.told
    usage = {"input": 42, "output": 7, "cached": 10, "reasoning": 3}
    after = [{"text": told["after"]}] if told.get("after") else []
    match story.kind:
        case "text":
            wait = [{"wait_ms": int(told["think"] * 1000)}] if told["think"] else []
            return {"pace_ms": int(told["pace"] * 1000), "usage": usage, "steps": [*wait, {"text": told["text"]}]}
        case "call":
            return {"usage": usage, "steps": [{"call": {"name": told["name"], "arguments": told["arguments"]}}]}
        case "refused":
            body = {"error": told["error"]} if "error" in told else told["body"]
            return {"answer": {"status": {"code": told["status"], "headers": told["headers"], "body": body}}}
        case "failed":
            return {"steps": [*after, {"failed": {"code": told["code"], "message": told["message"]}}]}
        case "incomplete":
            return {"usage": usage, "steps": [*after, {"incomplete": told["reason"]}]}
        case "flat error":
            return {"steps": [*after, {"error": {"code": told["code"], "message": told["message"]}}]}
        case "without end":
            return {"steps": [*after, "end"]}
        case "reset":
            return {"steps": [*after, "reset"]}
        case "reset before head":
            return {"answer": "unreachable"}
        case "silent":
            return {"answer": "head_timeout"} if told["before_head"] else {"steps": [*after, "silence"]}
        case "plain json":
            return {"answer": {"json": told["body"]}}
    raise AssertionError(f"no scene says {story.kind!r}")


@dataclass
class Bridge:
    """A gate with one bridge, and what stands behind it."""

    gate: Gate | None
    upstream: Upstream
    token: str
    config: dict
    by: str = "http"

    @property
    def merges(self) -> bool:
        """Whether what the upstream is asked is the bridge's own making."""
        return self.by == "http" and self.gate is not None

    @property
    def base(self) -> str:
        """The base URL that an SDK is given."""
        return self.upstream.url if self.gate is None else self.gate.http("/v1")

    @property
    def url(self) -> str:
        return (self.upstream.ws_url if self.gate is None else self.gate.ws("/v1")) + "/responses"

    def talk(self, token: str | None = None, **kwargs) -> Talk:
        return Talk(self.url, token or self.token, **kwargs)

    def post(self, body: bytes, headers: tuple = (), token: str | None = None, **kwargs):
        fields = [("Authorization", f"Bearer {token or self.token}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]
        return ask(self.gate.port, request("POST", "/v1/responses", fields, host=self.gate.authority, body=body), **kwargs)

    def tell(self, *told: Story) -> "Bridge":
        self.upstream.tell(*told)
        return self
