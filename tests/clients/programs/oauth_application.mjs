// A small application around an OAuth library that knows nothing of MCP: when to authorize, when to
// refresh, when to ask for more. What goes over the wire is the library's.
//
// The library: { authorize(scope, callback), refresh(token), fetch(token, url, headers, body),
// introspect(token), revoke(token) }; tokens are as RFC 6749 §5.1 has them.

import { Callback, obey } from "./lines.mjs";

const CHALLENGED = "OAUTH_WWW_AUTHENTICATE_CHALLENGE";
const PROTOCOL = "2026-07-28";
const SCOPE = "user";

export async function run(url, library) {
  const callback = new Callback();
  await callback.listen();
  let tokens;
  let expiresAt = 0;

  async function authorize(scope) {
    keep(await library.authorize(scope, callback));
  }

  function keep(answer) {
    tokens = { ...tokens, ...answer };
    expiresAt = Date.now() + tokens.expires_in * 1000;
  }

  async function beReady() {
    if (!tokens) return authorize(SCOPE);
    if (Date.now() < expiresAt) return undefined;
    try {
      keep(await library.refresh(tokens.refresh_token));
    } catch (error) {
      if (error.error !== "invalid_grant") throw error;
      await authorize(SCOPE);
    }
  }

  async function post(tool, args) {
    const { headers, body } = toolCall(tool, args);
    return library.fetch(tokens.access_token, new URL(url), headers, body);
  }

  async function call(tool, args) {
    await beReady();
    let response;
    try {
      response = await post(tool, args);
    } catch (error) {
      if (error.code !== CHALLENGED) throw error;
      // 401 or 403: either way the challenge says what to ask for (RFC 6750 §3).
      await authorize(error.cause[0].parameters.scope);
      response = await post(tool, args);
    }
    const message = await response.json();
    if (!response.ok || message.result.isError) throw new Error(JSON.stringify(message));
    return message.result.structuredContent;
  }

  const introspect = () => library.introspect(tokens.access_token);
  const revoke = () => library.revoke(tokens.refresh_token);
  await obey(async () => ({ call, introspect, revoke, close: async () => {} }));
}

function toolCall(name, args) {
  const headers = new Headers({
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": PROTOCOL,
    "mcp-method": "tools/call",
    "mcp-name": name,
  });
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL,
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const params = { name, arguments: args, _meta };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
  return { headers, body };
}
