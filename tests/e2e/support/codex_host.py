"""The agent's own binary as a host: a fake home with a login that nobody issued, which it does not notice."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

from .appserver import CODEX
from .process import Process


def write_home(home: Path, base_url: str) -> Path:
    home.mkdir(parents=True)
    (home / "config.toml").write_text(
        f'chatgpt_base_url = "{base_url}"\n'
        'cli_auth_credentials_store = "file"\n'
        "check_for_update_on_startup = false\n"
        "[analytics]\nenabled = false\n"
        "[feedback]\nenabled = false\n"
        "[features]\napps = false\nplugins = false\nremote_plugin = false\n"
    )
    claims = {"email": "ada@example.org", "exp": int(time.time()) + 86400,
              "https://api.openai.com/auth": {"chatgpt_account_id": "own", "chatgpt_user_id": "ada", "user_id": "ada", "chatgpt_plan_type": "plus"}}
    login = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
             "tokens": {"id_token": f"{part({'alg': 'none'})}.{part(claims)}.c2ln", "access_token": "a-token-that-the-relay-must-not-see",
                        "refresh_token": "refresh", "account_id": "own"}}
    (home / "auth.json").write_text(json.dumps(login))
    return home


def start(home: Path) -> Process:
    env = {"CODEX_HOME": str(home), "HOME": str(home), "CODEX_REFRESH_TOKEN_URL_OVERRIDE": "http://127.0.0.1:9/oauth/token"}
    return Process([str(CODEX), "app-server", "--listen", "off", "--remote-control"], env=env, cwd=home)


def part(claims: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
