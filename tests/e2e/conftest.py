"""Fixtures: a gate a test, upstreams that live for the whole run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from support import appserver, browser as browser_, certs as certs_, configs, responses, tokens, upstreams
from support.cable import Cable
from support.gate import Gate, toml
from support.process import Process
from support.responses_clients import Codex
from support.responses_upstream import Upstream
from support.servers import Nats, Postgres
from support.service import Service


@pytest.fixture(scope="session")
def fastapi():
    app = upstreams.fastapi()
    yield app
    app.stop()


@pytest.fixture(scope="session")
def node_ws():
    app = upstreams.node_ws()
    yield app
    app.stop()


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return certs_.make(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def mock_model():
    model = appserver.MockModel()
    yield model
    model.close()


@pytest.fixture(scope="session")
def app_server(tmp_path_factory, mock_model):
    """A real app-server without auth on loopback TCP: the gate's upstream for most tests of that kind."""
    home = appserver.write_home(tmp_path_factory.mktemp("server-home"), mock_model.url)
    server = appserver.AppServer(home)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def client_home(tmp_path_factory):
    return appserver.write_home(tmp_path_factory.mktemp("client-home"), None)


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def nats():
    server = Nats()
    yield server
    server.close()


@pytest.fixture
def cable(postgres):
    """A way to the PostgreSQL that can be cut."""
    line = Cable(postgres.socket)
    yield line
    line.close()


@pytest.fixture(params=["sqlite", "postgres and nats"])
def memory(request, tmp_path) -> dict:
    """What gates of one test share, as it stands in a config: a file and no bus, or servers."""
    if request.param == "sqlite":
        return {"ledger": {"url": f"sqlite:{tmp_path / 'ledger.db'}"}}
    postgres, nats = request.getfixturevalue("postgres"), request.getfixturevalue("nats")
    url = postgres.new_database()
    return {"ledger": {"url": url}, "bus": {"url": nats.url, "prefix": f"test{postgres.databases}"}}


@pytest.fixture(scope="module")
def browser():
    browser = browser_.Browser()
    yield browser
    browser.stop()


@pytest.fixture
def files(tmp_path):
    return configs.write_files(tmp_path)


@pytest.fixture
def gate(tmp_path, request):
    """Starts gates: `gate(config)` with a dict or TOML text, or `gate(argv=[…])`. Each is ended, and looked at, after the test."""
    with contextlib.ExitStack() as stack:
        count = 0
        request.node._gates = []

        def keep(gate: Gate) -> Gate:
            request.node._gates.append(gate)
            return stack.enter_context(ended(gate))

        def start(config: dict | str | None = None, *, argv: list | None = None, env: dict | None = None, cwd: Path | None = None,
                  flags: tuple = (), listeners: int | None = None, admin: bool | None = None) -> Gate:
            nonlocal count
            count += 1
            if config is None:
                return keep(Gate([str(a) for a in argv], env=env, cwd=cwd or tmp_path, listeners=listeners or 1, admin=bool(admin)))
            text = config if isinstance(config, str) else toml(config)
            path = tmp_path / f"gate-{count}.toml"
            path.write_text(text)
            wanted = listeners or max(1, text.count("[[listener]]"))
            admin_wanted = ("[admin]" in text) if admin is None else admin
            return keep(Gate(
                ["serve", "--config", str(path), *map(str, flags)],
                env=env, cwd=cwd or tmp_path, config_file=path, listeners=wanted, admin=admin_wanted,
            ))

        yield start


@contextlib.contextmanager
def ended(gate: Gate):
    """Ends the gate whatever happens; looks at what it left only when the test itself was content."""
    try:
        yield gate
    except BaseException:
        gate.process.stop()
        raise
    if gate.process.popen.returncode is None:
        gate.stop()
    else:
        gate.look()


@pytest.fixture
def raw_upstream():
    """Makes raw TCP upstreams; all are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda handler=None, **kwargs: stack.enter_context(upstreams.TcpUpstream(handler, **kwargs))


@pytest.fixture
def service():
    """Makes services that the gate asks; all are stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(**kwargs) -> Service:
            made = Service(**kwargs)
            stack.callback(made.stop)
            return made

        yield start


@pytest.fixture
def model():
    """A scripted upstream of the Responses API."""
    upstream = Upstream(responses.UPSTREAM_KEY)
    yield upstream
    upstream.close()


@pytest.fixture
def bridge(gate, files, model, tmp_path):
    """Starts a gate with a Responses bridge: `bridge(*stories, by=…, **settings)`, told by the upstream over HTTP, by its socket, or by the mock."""

    def start(*told, by: str = "http", top=None, session=None, limits=None, more=None, operators=None,
              **settings) -> responses.Bridge:
        if by == "mock" and not responses.REFERENCE:
            path = tmp_path / "scenes.toml"
            path.write_text(responses.scenes(told))
            settings = {"mock": "inject", "scenes": path, **settings}
        else:
            model.tell(*told)
        built = responses.config(model.ws_url if by == "socket" else model.url, files, top=top, session=session, limits=limits, more=more, **settings)
        if operators:
            built["verifier"]["operators"] = {"kind": "capability-token", "tokens_file": operators, "scopes": ["portcullis:admin"]}
        if responses.REFERENCE:
            return responses.Bridge(None, model, responses.UPSTREAM_KEY, built, by)
        return responses.Bridge(gate(built), model, tokens.ALICE, built, by)

    return start


@pytest.fixture
def codex(tmp_path):
    return Codex(tmp_path / "codex-home")


@pytest.fixture
def child():
    """Starts any other child process and ends it after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda argv, **kwargs: stack.enter_context(Process(argv, **kwargs))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the last lines of the logs of the gates that it started."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for live in getattr(item, "_gates", []):
            report.sections.append(("gate", live.process.err.text()[-4000:]))
