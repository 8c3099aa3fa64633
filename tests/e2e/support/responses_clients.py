"""The real clients of the protocol, headless: the two SDKs, the agents framework, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .appserver import CODEX
from .process import clean_env
from .responses_socket import TERMINALS, Turn

NODE_CLIENT = Path(__file__).resolve().parent.parent / "node" / "responses.mjs"
WEATHER = {
    "type": "function", "name": "get_weather", "description": "The weather of a town.", "strict": True,
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"], "additionalProperties": False},
}
SUNNY = "sunny, 21 degrees"


def split(events: list[dict]) -> list[Turn]:
    """Events of one socket without lanes, turn by turn."""
    turns = [Turn()]
    for event in events:
        turns[-1].events.append(event)
        if event["type"] in TERMINALS:
            turns.append(Turn())
    assert not turns[-1].events, f"events after the last terminal: {turns[-1].events}"
    return turns[:-1]


# openai-python --------------------------------------------------------------------------------------------------------


def python_sync(base: str, key: str, orders: list[dict], tools: dict[str, str] | None = None) -> list[Turn]:
    from openai import OpenAI

    turns: list[Turn] = []
    with OpenAI(api_key=key, base_url=base, max_retries=0) as client, client.responses.connect() as socket:
        for order in conversation(orders, tools, turns):
            socket.response.create(**order)
            turns.append(Turn())
            for event in socket:
                turns[-1].events.append(dump(event))
                if event.type in TERMINALS:
                    break
    return turns


def python_async(base: str, key: str, orders: list[dict], tools: dict[str, str] | None = None) -> list[Turn]:
    from openai import AsyncOpenAI

    async def talk() -> list[Turn]:
        turns: list[Turn] = []
        async with AsyncOpenAI(api_key=key, base_url=base, max_retries=0) as client, client.responses.connect() as socket:
            for order in conversation(orders, tools, turns):
                await socket.response.create(**order)
                turns.append(Turn())
                async for event in socket:
                    turns[-1].events.append(dump(event))
                    if event.type in TERMINALS:
                        break
        return turns

    return asyncio.run(talk())


def dump(event) -> dict:
    """The event as it was on the wire: what the SDK adds of its own is left out."""
    return event.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)


def conversation(orders: list[dict], tools: dict[str, str] | None, turns: list[Turn]):
    """What is asked, turn by turn: `last` is the response before, and a function that was called gets its output."""
    for order in orders:
        yield chained(order, turns)
        while calls := [item for item in turns[-1].terminal.get("response", {}).get("output", []) if item["type"] == "function_call"]:
            outputs = [{"type": "function_call_output", "call_id": item["call_id"], "output": tools[item["name"]]} for item in calls]
            yield {**order, "input": outputs, "previous_response_id": turns[-1].id}


def chained(order: dict, turns: list[Turn]) -> dict:
    return {**order, "previous_response_id": turns[-1].id} if order.get("previous_response_id") == "last" else order


# openai-node ----------------------------------------------------------------------------------------------------------


def node(sdk: str) -> Callable:
    def run(base: str, key: str, orders: list[dict], tools: dict[str, str] | None = None) -> list[Turn]:
        return split(node_events(sdk, base, key, orders, tools))

    return run


def node_events(sdk: str, base: str, key: str, orders: list[dict], tools: dict[str, str] | None = None, wait: float = 15,
                together: bool = False) -> list[dict]:
    order = {"sdk": sdk, "base": base, "key": key, "turns": orders, "tools": tools or {}, "wait": int(wait * 1000), "together": together}
    result = subprocess.run(["node", "--no-warnings", str(NODE_CLIENT), json.dumps(order)], env=clean_env(), capture_output=True,
                            text=True, timeout=wait + 15, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["end"] == "done", said
    return said["events"]


SDKS: dict[str, Callable] = {
    "openai-python": python_sync,
    "openai-python async": python_async,
    "openai-node 7": node("openai"),
    "openai-node 6": node("openai-6"),
}


# openai-agents --------------------------------------------------------------------------------------------------------


def agents(base: str, key: str, prompts: list[str], model: str, tools: dict[str, Callable] | None = None, chain: bool = False) -> list[str]:
    """One agent's answers, on one socket, with its history given each time; a `chain` gives what is new and the id of the response before."""
    from agents import Agent, OpenAIResponsesWSModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    async def talk() -> list[str]:
        over = OpenAIResponsesWSModel(model=model, openai_client=AsyncOpenAI(api_key=key, base_url=base, max_retries=0))
        functions = [function_tool(function, name_override=name) for name, function in (tools or {}).items()]
        agent = Agent(name="tester", instructions="Be brief.", model=over, tools=functions)
        answers, history = [], []
        for prompt in prompts:
            result = await Runner.run(agent, [*history, {"role": "user", "content": prompt}], auto_previous_response_id=chain)
            history = result.to_input_list()
            answers.append(result.final_output)
        await over.close()
        return answers

    return asyncio.run(talk())


# codex ----------------------------------------------------------------------------------------------------------------


@dataclass
class CodexRun:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def fell_back(self) -> bool:
        return "Falling back from WebSockets" in self.err

    @property
    def reconnects(self) -> int:
        return len(re.findall(r"Reconnecting\.\.\. \d+/\d+", self.err))


class Codex:
    """`codex exec` in a home of its own, with one provider and no way to anywhere else."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.work = home / "work"
        self.work.mkdir(parents=True, exist_ok=True)

    def write(self, base: str, websockets: bool, **provider) -> None:
        lines = [f"{name} = {json.dumps(value)}" for name, value in provider.items()]
        (self.home / "config.toml").write_text(
            f"""model = "mock-model"
model_provider = "mock"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
[model_providers.mock]
name = "mock"
base_url = "{base}"
env_key = "MOCK_KEY"
wire_api = "responses"
supports_websockets = {json.dumps(websockets)}
""" + "\n".join(lines) + "\n")

    def run(self, base: str, key: str, prompt: str = "say hi", *, websockets: bool = True, timeout: float = 50, **provider) -> CodexRun:
        self.write(base, websockets, **provider)
        return self.execute(key, prompt, timeout)

    def run_built_in(self, base: str, key: str, prompt: str = "say hi", timeout: float = 50) -> CodexRun:
        """With the provider that it knows, at another address."""
        (self.home / "config.toml").write_text(
            f"""model = "gpt-5.4"
openai_base_url = "{base}"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
""")
        (self.home / "auth.json").write_text(json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": key}))
        return self.execute(key, prompt, timeout)

    def execute(self, key: str, prompt: str, timeout: float) -> CodexRun:
        env = {"HOME": str(self.home), "CODEX_HOME": str(self.home), "MOCK_KEY": key, "PATH": os.environ["PATH"]}
        argv = [str(CODEX), "exec", "--skip-git-repo-check", "--cd", str(self.work), "-s", "read-only", prompt]
        begun = time.monotonic()
        result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        return CodexRun(result.returncode, result.stdout, result.stderr, time.monotonic() - begun)
