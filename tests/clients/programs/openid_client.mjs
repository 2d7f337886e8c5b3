// openid-client: `node openid_client.mjs URL`. Confidential, with client_secret_post, its default.

import * as client from "openid-client";
import { run } from "./oauth_application.mjs";

const url = process.argv[2];
let config;

async function register(redirectUri) {
  // It knows no protected-resource metadata: an application tells it the issuer.
  const document = await globalThis.fetch(new URL("/.well-known/oauth-protected-resource", url));
  const { authorization_servers } = await document.json();
  const metadata = {
    client_name: "openid-client",
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "refresh_token"],
    // Said aloud: a registration that names no method means client_secret_basic (RFC 7591 §2).
    token_endpoint_auth_method: "client_secret_post",
  };
  config = await client.dynamicClientRegistration(
    new URL(authorization_servers[0]),
    metadata,
    undefined,
    { algorithm: "oauth2", execute: [client.allowInsecureRequests] },
  );
}

async function authorize(scope, callback) {
  if (!config) await register(callback.redirectUri);
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const request = client.buildAuthorizationUrl(config, {
    redirect_uri: callback.redirectUri,
    scope,
    state: expectedState,
    resource: url,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
  });
  callback.openBrowser(request);
  const checks = { pkceCodeVerifier, expectedState };
  return client.authorizationCodeGrant(config, await callback.response(), checks, {
    resource: url,
  });
}

await run(url, {
  authorize,
  refresh: (token) => client.refreshTokenGrant(config, token),
  introspect: (token) => client.tokenIntrospection(config, token),
  revoke: async (token) => (await client.tokenRevocation(config, token)) ?? null,
  fetch: (token, target, headers, body) =>
    client.fetchProtectedResource(config, token, target, "POST", body, headers),
});
