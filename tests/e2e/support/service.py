"""Services that a gate asks: each answers by path as it is told, and remembers who asked. And an issuer that signs."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from . import tokens
from .certs import Certs
from .process import eventually


@dataclass
class Reply:
    """What is answered at a path; `hangs` for never."""

    status: int = 200
    body: object = ""  # or a function from what was asked
    headers: dict = field(default_factory=dict)
    hangs: bool = False

    def text(self, asked: Asked) -> bytes:
        body = self.body(asked) if callable(self.body) else self.body
        if isinstance(body, bytes):
            return body
        return (body if isinstance(body, str) else json.dumps(body)).encode()


@dataclass
class Asked:
    method: str
    path: str
    headers: dict
    body: bytes
    at: float = field(default_factory=time.monotonic)


class Service:
    """On port 0, until it is stopped; it can be started again on the same port."""

    def __init__(self, tls: Certs | None = None) -> None:
        self.tls = tls
        self.replies: dict[str, Reply] = {}
        self.asked: list[Asked] = []
        self.connections: list[socket.socket] = []
        self.open = threading.Event()
        self.open.set()
        self.stopped = threading.Event()
        self._serve(0)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self, port: int) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections.append(self.connection)

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                outer.asked.append(asked)
                outer.open.wait()
                reply = outer.replies.get(self.path.split("?")[0], Reply(404))
                if reply.hangs:
                    outer.stopped.wait()
                    self.close_connection = True
                    return
                text = reply.text(asked)
                self.send_response(reply.status)
                for name, value in {"content-length": str(len(text)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_args) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, *_args) -> None:
                """The gate may leave before it was answered."""

        self.stopped.clear()
        self.server = Server(("127.0.0.1", port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.cert, self.tls.key)
            # The handshake is on the connection's own thread.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reply(self, path: str, body: object = "", status: int = 200, **more) -> None:
        self.replies[path] = Reply(status, body, **more)

    def count(self, path: str | None = None) -> int:
        return len([asked for asked in list(self.asked) if path in (None, asked.path)])

    def wait_asked(self, more_than: int, path: str | None = None) -> None:
        eventually(lambda: self.count(path) > more_than, what=f"a request to {path or 'the service'}")

    def stop(self) -> None:
        self.open.set()
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def start_again(self) -> None:
        self._serve(self.port)


class Issuer:
    """Signs tokens with its private keys, and publishes the public ones with a service."""

    def __init__(self, service: Service, name: str | None = None, path: str = "/keys") -> None:
        self.service, self.name, self.path = service, name or service.url, path
        self.keys: dict[str, tuple[str, object]] = {}
        service.reply("/.well-known/openid-configuration", {"issuer": self.name, "jwks_uri": service.url + path})

    def add(self, kid: str, algorithm: str = "ES256") -> None:
        made = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "PS256": lambda: rsa.generate_private_key(65537, 2048),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()
        self.keys[kid] = (algorithm, made)

    def jwk(self, kid: str) -> dict:
        algorithm, private = self.keys[kid]
        kind = jwt.get_algorithm_by_name(algorithm)
        return {**kind.to_jwk(private.public_key(), as_dict=True), "kid": kid, "alg": algorithm, "use": "sig", "key_ops": ["verify"]}

    def publish(self, *kids: str, **headers: str) -> None:
        self.service.reply(self.path, {"keys": [self.jwk(kid) for kid in kids]}, headers=headers)

    def token(self, kid: str, headers: dict | None = None, *, sign_with: str | None = None, exp: float = 600, **claims) -> str:
        """Good but for what is said: `exp`, `nbf`, `iat` and `auth_time` count from now, a claim that is None is left out."""
        now = int(time.time())
        for name in ("nbf", "iat", "auth_time"):
            if claims.get(name) is not None:
                claims[name] = now + int(claims[name])
        base = {"sub": "ada", "iss": self.name, "aud": tokens.AUDIENCE, "exp": now + int(exp), **claims}
        algorithm, private = self.keys[sign_with or kid]
        payload = {name: value for name, value in base.items() if value is not None}
        token = jwt.encode(payload, private, algorithm=algorithm, headers={"kid": kid, **(headers or {})})
        tokens.issued.add(token)
        return token
