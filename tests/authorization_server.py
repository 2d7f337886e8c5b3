"""An authorization server that is not ours: it says what tests want it to say."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ELSEWHERE = "https://as.example"
KEYS: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa2": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
_ALGORITHMS = {"rsa": "RS256", "rsa2": "RS256", "ec": "ES256", "ed": "EdDSA"}


@dataclass
class AuthorizationServer:
    """Answers discovery, introspection and keys; a test changes what, and sees what was asked."""

    issuer: str = ELSEWHERE
    metadata_path: str = "/.well-known/oauth-authorization-server"
    metadata: dict[str, Any] = field(default_factory=dict)
    credentials: tuple[str, str] = ("resource server", "s:e/c+r e%t of a server")
    tokens: dict[str, Any] = field(default_factory=dict)
    published: list[str] = field(default_factory=lambda: ["rsa", "ec", "ed"])
    key_changes: dict[str, Any] = field(default_factory=dict)
    answer: Response | None = None
    go_on: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        """The server."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    async def _serve(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        if self.go_on is not None:
            self.waiting.set()
            await self.go_on.wait()
        if self.answer is not None:
            return self.answer
        if path == self.metadata_path:
            endpoints = {
                "introspection_endpoint": f"{self.issuer.rstrip('/')}/introspect",
                "jwks_uri": f"{self.issuer.rstrip('/')}/jwks",
            }
            return JSONResponse({"issuer": self.issuer} | endpoints | self.metadata)
        if path.endswith("/jwks"):
            return JSONResponse({"keys": [self._jwk(name) for name in self.published]})
        if path.endswith("/introspect"):
            return await self._introspect(request)
        return Response(status_code=404)

    def _jwk(self, name: str) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(_ALGORITHMS[name])
        public: dict[str, Any] = json.loads(algorithm.to_jwk(KEYS[name].public_key()))
        public.pop("key_ops", None)
        changed = public | {"kid": name, "use": "sig"} | self.key_changes
        return {member: value for member, value in changed.items() if value is not None}

    async def _introspect(self, request: Request) -> Response:
        scheme, _, encoded = request.headers["authorization"].partition(" ")
        given = base64.b64decode(encoded).decode().split(":", 1)
        assert scheme == "Basic"
        if tuple(map(unquote_plus, given)) != self.credentials:
            return JSONResponse({"error": "invalid_client"}, 401)
        form = await request.form()
        assert form["token_type_hint"] == "access_token"
        return JSONResponse(self.tokens.get(str(form["token"]), {"active": False}))


def sign(claims: dict[str, Any], key: str = "rsa", **header: Any) -> str:
    """A JSON Web Token signed with one of the keys; headers that are None are left out."""
    algorithm = header.pop("alg", _ALGORITHMS[key])
    headers = {"kid": key, "typ": "at+jwt"} | header
    return jwt.encode(claims, KEYS[key], algorithm, headers=headers)
