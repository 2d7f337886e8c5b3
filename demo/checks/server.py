"""The authorization server: its metadata, and what its endpoints say to a stranger."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlencode, urlsplit

import httpx2

from demo.checks.deployment import (
    Deployment,
    Document,
    empty_members,
    is_json,
    media_type_of,
    remedy_for,
    seen,
)
from demo.checks.finding import Finding, Question
from demo.checks.resource import HTML
from demo.conversation import json_object
from demo.discovery import (
    AUTHORIZATION_SERVER,
    OPENID_CONFIGURATION,
    authorization_server_metadata_urls,
    origin_of,
    split_url,
)
from origins import is_loopback_host

NOBODY = "latchgate-doctor-is-nobody"


async def check_metadata(deployment: Deployment) -> AsyncIterator[Finding]:
    """There is a document, in the place that is asked first, and it is the issuer's own."""
    place, *others = authorization_server_metadata_urls(deployment.issuer)
    response = await deployment.ask("GET", place)
    document = deployment.server
    question = Question(f"GET {urlsplit(place).path}", "every client, first of all")
    is_found = response.status_code == httpx2.codes.OK and is_json(response)
    yield question.judge(
        holds=is_found,
        seen=seen(response),
        remedy=HTML
        if response.is_success
        else remedy_for(
            response,
            "serve the authorization server metadata here, as application/json (RFC 8414 §3)"
            + (f"; clients of 2025 do not ask {urlsplit(others[0]).path}" if document else ""),
        ),
        mild=document is not None,
    )
    if document is None:
        return
    issuer = document.get("issuer")
    yield Question("issuer is the one that the resource names").judge(
        holds=issuer == deployment.issuer,
        seen=str(issuer) if issuer == deployment.issuer else f"{issuer} ≠ {deployment.issuer}",
        remedy="write both alike to the last slash, and iss in the redirects too (RFC 8414 §3.3, "
        "RFC 9207): clients stop here",
    )
    for finding in (*_judge_endpoints(deployment, document), *_judge_abilities(document)):
        yield finding
    empty = empty_members(document)
    yield Question("nothing empty in the server's metadata", "strict parsers").judge(
        holds=not empty,
        seen=", ".join(empty) or "nothing",
        remedy="leave out what has no value (RFC 8414 §3.2)",
    )


async def check_other_places(deployment: Deployment) -> AsyncIterator[Finding]:
    """Where there is no document there is a 404 in JSON, never a page and never a stranger's."""
    path = deployment.path.rstrip("/")
    issuer_origin, issuer_path = split_url(deployment.issuer)
    places = {
        issuer_origin + OPENID_CONFIGURATION + issuer_path.rstrip("/"): "every SDK, second",
        deployment.origin + AUTHORIZATION_SERVER + path: "mcp-remote, VS Code",
        deployment.origin + OPENID_CONFIGURATION + path: "clients that take the URL for the issuer",
        deployment.origin + path + OPENID_CONFIGURATION: "the same, third",
        deployment.origin + "/.well-known/latchgate-doctor": "nobody",
    }
    for place, asked_by in places.items():
        if place in authorization_server_metadata_urls(deployment.issuer)[:1]:
            continue
        response = await deployment.ask("GET", place)
        question = Question(f"GET {urlsplit(place).path} is a document or 404", asked_by)
        if response.status_code == httpx2.codes.NOT_FOUND:
            yield question.judge(
                holds=media_type_of(response) != "text/html",
                seen=seen(response),
                remedy="answer 404 in JSON to machines: some clients parse before they look at "
                "the status",
                mild=True,
            )
        elif response.status_code == httpx2.codes.OK and is_json(response):
            issuer = (json_object(response) or {}).get("issuer")
            yield question.judge(
                holds=issuer == deployment.issuer,
                seen=f"200, issuer {issuer}",
                remedy="a document under this path must be about the issuer that leads here, or "
                "not be served at all (RFC 8414 §3.3)",
                mild=True,
            )
        else:
            yield question.failure(
                seen(response),
                HTML
                if response.is_success
                else remedy_for(response, "answer 404: any other status stops the search"),
            )


async def check_unknown_client(deployment: Deployment) -> AsyncIterator[Finding]:
    """A client that was forgotten learns it in the one way that makes it register again."""
    if url := deployment.endpoint("token_endpoint"):
        form = {"grant_type": "refresh_token", "refresh_token": NOBODY, "client_id": NOBODY}
        response = await deployment.ask("POST", url, data=form)
        error = (json_object(response) or {}).get("error")
        yield Question(
            "an unknown client gets invalid_client at the token endpoint",
            "TypeScript SDKs, Claude, Inspector, to register again",
        ).judge(
            holds=response.status_code == httpx2.codes.UNAUTHORIZED and error == "invalid_client",
            seen=f"{seen(response)}, error {error}",
            remedy=remedy_for(
                response,
                "answer 401 with the JSON error invalid_client (RFC 6749 §5.2): clients "
                "register anew on nothing else",
            ),
        )


async def check_unknown_client_on_pages(deployment: Deployment) -> AsyncIterator[Finding]:
    """A client that was forgotten does not have people sent to wherever it says."""
    if url := deployment.endpoint("authorization_endpoint"):
        query = {
            "response_type": "code",
            "client_id": NOBODY,
            "redirect_uri": "http://127.0.0.1:8765/callback",
            "code_challenge": "0" * 43,
            "code_challenge_method": "S256",
        }
        separator = "&" if urlsplit(url).query else "?"
        response = await deployment.ask("GET", f"{url}{separator}{urlencode(query)}")
        leaves = origin_of(response.headers.get("location", url)) != origin_of(url)
        question = Question(
            "an unknown client gets 400 at the authorization endpoint", "FastMCP's client"
        )
        if response.has_redirect_location and leaves:
            yield question.failure(
                seen(response),
                "never redirect for a client you do not know: that is an open redirector "
                "(OAuth 2.1 §4.1.2.1)",
            )
        else:
            yield question.judge(
                holds=response.status_code == httpx2.codes.BAD_REQUEST,
                seen=seen(response),
                remedy=remedy_for(
                    response, "answer 400 with a page that says which client is unknown"
                ),
                mild=True,
            )


async def check_registering_badly(deployment: Deployment) -> AsyncIterator[Finding]:
    """A client whose registration is refused is told why, in a way that it can read."""
    if url := deployment.endpoint("registration_endpoint"):
        response = await deployment.ask("POST", url, json={"redirect_uris": []})
        error = (json_object(response) or {}).get("error")
        yield Question("a bad registration gets an error in JSON", "clients that report it").judge(
            holds=response.status_code == httpx2.codes.BAD_REQUEST and isinstance(error, str),
            seen=f"{seen(response)}, error {error}",
            remedy=remedy_for(
                response,
                "answer 400 with invalid_redirect_uri or invalid_client_metadata in JSON "
                "(RFC 7591 §3.2.2)",
            ),
            mild=True,
        )


def _judge_endpoints(deployment: Deployment, document: Document) -> Iterator[Finding]:
    yield from (
        _judge_endpoint(deployment, name, document.get(name))
        for name in ("authorization_endpoint", "token_endpoint")
    )
    url = document.get("registration_endpoint")
    can_do_without = document.get("client_id_metadata_document_supported") is True
    yield Question("clients can introduce themselves").judge(
        holds=isinstance(url, str) or can_do_without,
        seen=" and ".join(
            ["dynamic registration"] * isinstance(url, str)
            + ["metadata documents"] * can_do_without
        )
        or "neither registration_endpoint nor client ID metadata documents",
        remedy="offer registration_endpoint (RFC 7591) or client_id_metadata_document_supported: "
        "otherwise every client has to be entered by hand",
    )
    if url is not None:
        yield _judge_endpoint(deployment, "registration_endpoint", url)


def _judge_endpoint(deployment: Deployment, name: str, url: object) -> Finding:
    parts = urlsplit(str(url))
    is_local = deployment.is_loopback and is_loopback_host(parts.netloc)
    return Question(f"{name} is safe to use").judge(
        holds=isinstance(url, str) and (parts.scheme == "https" or is_local),
        seen=str(url),
        remedy="give it as a whole https URL, built from the public URL and not from what the "
        "proxy passes on",
    )


def _judge_abilities(document: Document) -> list[Finding]:
    def lists(name: str, default: list[str]) -> list[str]:
        value = document.get(name, default)
        return [str(item) for item in value] if isinstance(value, list) else []

    pkce = lists("code_challenge_methods_supported", [])
    responses = lists("response_types_supported", [])
    grants = lists("grant_types_supported", ["authorization_code", "implicit"])
    methods = lists("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    has_iss = document.get("authorization_response_iss_parameter_supported") is True
    algorithms = lists("token_endpoint_auth_signing_alg_values_supported", [])
    return [
        Question("PKCE with S256 is announced").judge(
            holds="S256" in pkce,
            seen=", ".join(pkce) or "not announced",
            remedy='add "code_challenge_methods_supported": ["S256"] (RFC 8414 §2): MCP clients '
            "must refuse to go on without it",
        ),
        Question("public clients are welcome", "Claude, Inspector, mcp-remote, FastMCP").judge(
            holds="none" in methods,
            seen=", ".join(methods),
            remedy="add none to token_endpoint_auth_methods_supported: programs on people's "
            "machines have no secret to keep",
        ),
        Question("response type code").judge(
            holds="code" in responses,
            seen=", ".join(responses) or "not announced",
            remedy='response_types_supported is required and needs "code" (RFC 8414 §2)',
        ),
        Question("tokens can be refreshed", "every client that stays connected").judge(
            holds={"authorization_code", "refresh_token"} <= set(grants),
            seen=", ".join(grants),
            remedy="announce authorization_code and refresh_token in grant_types_supported: "
            "otherwise people sign in again at every expiry",
            mild="authorization_code" in grants,
        ),
        Question("iss in authorization responses", "clients of several servers").judge(
            holds=has_iss,
            seen="announced" if has_iss else "not announced",
            remedy="send iss in every authorization response and announce "
            "authorization_response_iss_parameter_supported (RFC 9207)",
            mild=True,
        ),
        Question("signing algorithms for private_key_jwt", "confidential clients").judge(
            holds="private_key_jwt" not in methods or bool(algorithms),
            seen=", ".join(algorithms) or "none named",
            remedy="name token_endpoint_auth_signing_alg_values_supported (RFC 8414 §2)",
            mild=True,
        ),
    ]
