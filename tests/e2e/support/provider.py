"""An OpenID Connect provider: npm's oidc-provider, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

from .process import Process

SCRIPT = Path(__file__).resolve().parent.parent / "node" / "provider.mjs"


class Provider:
    """Knows one client, `gate`, whose pages are at `base`, and whose login is called `people`; `trusts` whom this authority vouches for."""

    def __init__(self, base: str, secret: str, trusts: Path | None = None) -> None:
        own = f"{base}/.portcullis"
        client = {
            "client_id": "gate",
            "client_secret": secret,
            "redirect_uris": [f"{own}/login/people/callback"],
            "post_logout_redirect_uris": [f"{own}/logout/done"],
            "backchannel_logout_uri": f"{own}/login/people/backchannel",
            "backchannel_logout_session_required": True,
            "scope": "openid chat",
        }
        self.process = Process(["node", "--no-warnings", SCRIPT, json.dumps({"client": client})], env={"NODE_EXTRA_CA_CERTS": trusts and str(trusts)})
        try:
            started = self.process.out.wait(lambda lines: next(iter(events(lines)), None), 20, "provider")
        except BaseException:
            self.process.stop()
            raise
        self.issuer = f"http://localhost:{started['port']}"

    def wait_told(self, count: int) -> list[dict]:
        """What became of its logout tokens, when there are so many."""

        def search(lines):
            told = events(lines)[1:]
            return told if len(told) >= count else None

        return self.process.out.wait(search, 10, f"{count} logout tokens")

    def stop(self) -> None:
        self.process.stop()


def events(lines: list[str]) -> list[dict]:
    """What the script says; the rest is what oidc-provider remarks on its settings."""
    return [json.loads(line) for line in lines if line.startswith("{")]
