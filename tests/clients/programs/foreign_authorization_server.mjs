// An authorization server that is not ours, oidc-provider:
// `node foreign_authorization_server.mjs PORT RESOURCE opaque|jwt SECRET`. Says when it is ready.

import Provider, { errors } from "oidc-provider";

const [port, resource, accessTokenFormat, secret] = process.argv.slice(2);
const OTHER_RESOURCE = "https://elsewhere.example/mcp";

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "resource-server",
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  clientDefaults: { grant_types: ["authorization_code", "refresh_token"] },
  findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  scopes: ["openid", "offline_access", "user", "user:write"],
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: {
      enabled: true,
      allowedPolicy: (_context, client) => client.clientId === "resource-server",
    },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, audience) => {
        if (audience !== resource && audience !== OTHER_RESOURCE) throw new errors.InvalidTarget();
        return { audience, accessTokenFormat, scope: "user user:write" };
      },
    },
  },
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
