"""Schemathesis against a real server, by the description that the server gives of itself.

    python -m tests.fuzz.api SEED EXAMPLES

The description is valid OpenAPI, and no request – as described, or wrong in every way that one can
be – is answered by a 5xx or by anything that the description does not allow. Once with any values,
and once with clients, codes and tokens that exist, since only those get past the first check.
"""

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import create_subprocess_exec
from pathlib import Path
from typing import Any

import httpx2

from auth.endpoints.openapi import OPENAPI_PATH
from tests.kit import (
    REDIRECT_URI,
    VERIFIER,
    Browser,
    authorization_request,
    redirected,
    registration,
    token_request,
)
from tests.process.latchgate import running

PROGRAMS = Path(sys.prefix) / "fuzz" / "bin"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


async def main(seed: str, examples: str) -> int:
    """The exit code: 0 if nothing was found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder, CLIENT_AUTHENTICATION_LIMIT="1000000/second") as server:
            async with httpx2.AsyncClient(base_url=server.origin, trust_env=False) as http:
                description = (await http.get(OPENAPI_PATH)).json()
                known = await what_exists(http)
            (folder / "any.json").write_text(json.dumps(description))
            (folder / "known.json").write_text(json.dumps(with_known(description, known)))
            validator = PROGRAMS / "openapi-spec-validator"
            checked = await create_subprocess_exec(validator, "any.json", cwd=folder)
            codes = [await checked.wait()]
            for file in ("any.json", "known.json"):
                search = await create_subprocess_exec(
                    *(PROGRAMS / "schemathesis", "run", file, "--url", server.origin),
                    *("--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing"),
                    *("--seed", seed, "--max-examples", examples, "--warnings", "off"),
                    *("--generation-database", "none", "--no-color"),
                    cwd=folder,
                )
                codes.append(await search.wait())
        if "Traceback" in server.log:
            sys.stdout.write(server.log)
            codes.append(1)
    return max(codes)


async def what_exists(http: httpx2.AsyncClient) -> dict[str, list[Any]]:
    """Values that mean something to this server, by the names of parameters and members."""
    public = (await http.post("/oauth/register", json=registration())).json()
    metadata = registration(token_endpoint_auth_method="client_secret_post")
    confidential = (await http.post("/oauth/register", json=metadata)).json()
    resource = f"{str(http.base_url).rstrip('/')}/mcp"
    request = authorization_request(public, resource=resource)
    browser = Browser(http)
    await browser.sign_in()
    codes = [redirected(await browser.allow(request))["code"] for _ in range(2)]
    form = token_request(public, codes[0], resource=resource)
    tokens = (await http.post("/oauth/token", data=form)).json()
    return {
        **{name: [value] for name, value in request.items()},
        "scope": ["user", "user user:write"],
        "redirect_uri": [REDIRECT_URI],
        "client_id": [public["client_id"], confidential["client_id"]],
        "client_secret": [confidential["client_secret"]],
        "code": codes,
        "code_verifier": [VERIFIER],
        "refresh_token": [tokens["refresh_token"]],
        "token": [tokens["access_token"], tokens["refresh_token"]],
        "redirect_uris": [[REDIRECT_URI]],
        "grant_types": [["authorization_code"]],
        "response_types": [["code"]],
    }


def with_known(description: dict[str, Any], known: dict[str, list[Any]]) -> dict[str, Any]:
    """The description with what exists in the place of what could be sent, and nothing else."""
    changed: dict[str, Any] = json.loads(json.dumps(description))
    operations = [operation for path in changed["paths"].values() for operation in path.values()]
    for operation in operations:
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = {"enum": known.get(parameter["name"], [""])}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for schema in content["schema"].get("anyOf", [content["schema"]]):
                schema["additionalProperties"] = False
                schema["properties"] = {
                    name: {"enum": known[name]} if name in known else value
                    for name, value in schema["properties"].items()
                    if name in known or name in schema["required"]
                }
    return changed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
