"""The steps of the journey that are not the authorization server's alone; client.py orders them."""

import httpx2

from demo.conversation import Conversation, json_object, what_it_said
from demo.discovery import (
    PROTECTED_RESOURCE,
    AuthorizationServerMetadata,
    ProtectedResourceMetadata,
    authorization_server_metadata_urls,
    bearer_challenge,
    protected_resource_metadata_urls,
    read_authorization_server_metadata,
    read_protected_resource_metadata,
    require_endpoint,
    split_url,
)
from demo.first_request import HANDSHAKE
from demo.narration import StepFailed, shorten
from demo.oauth import AuthorizationServer, Registration, Tokens
from origins import is_loopback_host


async def ask_without_token(conversation: Conversation, url: str) -> dict[str, str]:
    """The parameters of the challenge that a request without a token gets (RFC 6750 §3)."""
    if "://" not in url:
        scheme = "http" if is_loopback_host(url.partition("/")[0]) else "https"
        guess = f"{scheme}://{url}" if url.partition("/")[2] else f"{scheme}://{url}/mcp"
        raise StepFailed(f"the MCP URL {url!r} has no scheme", remedy=f"try {guess}")
    require_endpoint("MCP URL", url, told_by="")
    response = await conversation.send(
        "POST", url, json=HANDSHAKE.message, headers=HANDSHAKE.headers
    )
    if response.is_success:
        raise StepFailed(
            "the server answers without a token: nothing here needs authorization",
            remedy="is the guard in front of this path?",
        )
    if response.is_redirect:
        raise StepFailed(
            f"the server redirects to {response.headers.get('location')}",
            remedy="use that URL; an MCP endpoint should answer at both spellings",
        )
    if response.status_code != httpx2.codes.UNAUTHORIZED:
        raise StepFailed(
            "401 was expected",
            said=what_it_said(response),
            remedy=await _another_path(conversation, url),
        )
    header = response.headers.get_list("www-authenticate")
    challenge = bearer_challenge(header)
    if challenge is None:
        conversation.narrator.note("no Bearer challenge; the well-known places may do")
        return {}
    return challenge


async def _another_path(conversation: Conversation, url: str) -> str:
    """Where the MCP endpoint is instead: at a bare origin its metadata may say so."""
    origin, path = split_url(url)
    if path.strip("/"):
        return "check the path of the URL; most servers have /mcp"
    metadata = await _get_json(conversation, origin + PROTECTED_RESOURCE) or {}
    return f"a path is missing: try {metadata.get('resource') or f'{origin}/mcp'}"


async def find_resource(
    conversation: Conversation, url: str, challenge: dict[str, str]
) -> ProtectedResourceMetadata:
    """The metadata of the resource: where the challenge says, else at the well-known places."""
    named = challenge.get("resource_metadata")
    for place in protected_resource_metadata_urls(url, named):
        require_endpoint("resource metadata", place, told_by=url)
        content = await _get_json(conversation, place)
        if content is not None:
            metadata = read_protected_resource_metadata(content, url)
            if metadata.resource != url:
                conversation.narrator.note(
                    f"the resource is {metadata.resource}, not quite the URL that was typed; "
                    "strict clients compare exactly"
                )
            return metadata
        if place == named:
            conversation.narrator.note("the challenge names a place where there is nothing")
    raise StepFailed(
        "no protected resource metadata was found",
        remedy="serve it where the challenge says or at /.well-known/oauth-protected-resource, "
        "with and without the path (RFC 9728 §3)",
    )


async def find_authorization_server(
    conversation: Conversation, resource: ProtectedResourceMetadata
) -> AuthorizationServerMetadata:
    """The metadata of the first authorization server that the resource names."""
    issuer = resource.authorization_servers[0]
    require_endpoint("issuer", issuer, told_by=resource.resource)
    for place in authorization_server_metadata_urls(issuer):
        content = await _get_json(conversation, place)
        if content is not None:
            return read_authorization_server_metadata(content, issuer)
    raise StepFailed(
        f"no metadata of the authorization server {issuer} was found",
        remedy="serve it at /.well-known/oauth-authorization-server (RFC 8414 §3)",
    )


def known_client(
    client_id: str, client_secret: str | None, metadata: AuthorizationServerMetadata
) -> Registration:
    """A client that was registered before, or is its metadata document's URL."""
    if client_secret is None:
        return Registration(client_id)
    offered = metadata.token_endpoint_auth_methods_supported
    has_basic = "client_secret_basic" in offered
    method = "client_secret_basic" if has_basic else "client_secret_post"
    return Registration(client_id, client_secret, method)


async def refresh(server: AuthorizationServer, client: Registration, tokens: Tokens) -> Tokens:
    """New tokens for the refresh token, if one was given; an unrotated one stays in use."""
    if tokens.refresh_token is None:
        server.conversation.narrator.note("no refresh token was given: the same token again")
        return tokens
    fresh = await server.refresh(client, tokens.refresh_token)
    return Tokens(
        fresh.access_token,
        fresh.refresh_token or tokens.refresh_token,
        fresh.scope or tokens.scope,
        fresh.expires_in,
    )


async def revoke(
    server: AuthorizationServer, client: Registration, tokens: Tokens, url: str
) -> None:
    """End both tokens and show that neither works. Raises StepFailed if one still does."""
    narrator = server.conversation.narrator
    if server.endpoint("revocation_endpoint") is None:
        narrator.note("the server offers no revocation; the token ends by itself")
        return
    if tokens.refresh_token is not None:
        await server.revoke(client, tokens.refresh_token, "refresh_token")
    await server.revoke(client, tokens.access_token, "access_token")

    authorization = {"Authorization": f"Bearer {tokens.access_token}"}
    response = await server.conversation.send(
        "POST",
        url,
        json=HANDSHAKE.message,
        headers=HANDSHAKE.headers | authorization,
        shown={"Authorization": f"Bearer {shorten(tokens.access_token)}"},
    )
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        narrator.note("refused, as it has to be")
    elif is_self_contained(tokens.access_token):
        narrator.note("the token is self-contained and works until it expires (RFC 7009 §3)")
    else:
        raise StepFailed(
            "the revoked token was not refused with 401",
            said=what_it_said(response),
            remedy="the resource server has to ask about every token, or forget it sooner",
        )
    if tokens.refresh_token is not None and not await server.refuses_refresh(
        client, tokens.refresh_token
    ):
        raise StepFailed("the revoked refresh token still works")


def is_self_contained(token: str) -> bool:
    """Whether it looks like a JWT, which a resource server can judge by itself."""
    return token.count(".") == 2  # noqa: PLR2004 - header, payload, signature


async def _get_json(conversation: Conversation, url: str) -> dict[str, object] | None:
    response = await conversation.send("GET", url, headers={"Accept": "application/json"})
    return json_object(response) if response.status_code == httpx2.codes.OK else None
