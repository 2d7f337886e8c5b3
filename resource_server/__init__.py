"""The protected resource: an MCP server behind a bearer token.

Which file implements what:

protected_resource.py  the MCP endpoint, put together from the files below
metadata.py            RFC 9728             which authorization server, which scopes
bearer.py              OAuth 2.1 §5         take the token, verify it
challenges.py          RFC 6750 §3          WWW-Authenticate, and every answer that refuses
refusals.py            what was refused, in the audit log
verifiers.py           RFC 7662, RFC 9068   tokens of an authorization server elsewhere
discovery.py           RFC 8414             where that server's endpoints and keys are
scopes.py              MCP "Scope Challenge"  which scopes a tool, resource or prompt needs
calls.py               MCP streamable HTTP  which of them a request asks for
responses.py           answered as JSON or as a stream, and when a stream ends
stream_limits.py       how many streams are open at once
sharing.py             what replicas share, so that any of them can answer
shared_subscriptions.py  SEP-2575           events that reach listeners on every replica
economies.py           what the SDK does for every call, left out where nothing comes of it
browser_origins.py     MCP streamable HTTP  which web pages may call
session_limits.py      MCP streamable HTTP  how many sessions one person has open
registry.py            the functions behind an MCP server's names
loading.py             the MCP server that a setting names
server.py, people.py   the MCP server that comes along: edit it first
app.py                 all this as an application of its own (split deployment)
"""
