// oauth4webapi: `node oauth4webapi.mjs URL`. Confidential, with client_secret_basic.

import * as oauth from "oauth4webapi";
import { run } from "./oauth_application.mjs";

const url = process.argv[2];
const insecure = { [oauth.allowInsecureRequests]: true };
const resource = new URL(url);
let as;
let client;
let authentication;

async function discover() {
  const found = await oauth.resourceDiscoveryRequest(resource, insecure);
  const { authorization_servers } = await oauth.processResourceDiscoveryResponse(resource, found);
  const issuer = new URL(authorization_servers[0]);
  const answer = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  as = await oauth.processDiscoveryResponse(issuer, answer);
}

async function register(redirectUri) {
  const metadata = {
    client_name: "oauth4webapi",
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: "client_secret_basic",
  };
  const answer = await oauth.dynamicClientRegistrationRequest(as, metadata, insecure);
  client = await oauth.processDynamicClientRegistrationResponse(answer);
  authentication = oauth.ClientSecretBasic(client.client_secret);
}

async function authorize(scope, callback) {
  if (!as) await discover();
  if (!client) await register(callback.redirectUri);
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const request = new URL(as.authorization_endpoint);
  request.search = new URLSearchParams({
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: callback.redirectUri,
    scope,
    state,
    resource: url,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  callback.openBrowser(request);
  const response = oauth.validateAuthResponse(as, client, await callback.response(), state);
  const answer = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    authentication,
    response,
    callback.redirectUri,
    verifier,
    { additionalParameters: { resource: url }, ...insecure },
  );
  return oauth.processAuthorizationCodeResponse(as, client, answer);
}

async function refresh(token) {
  const answer = await oauth.refreshTokenGrantRequest(as, client, authentication, token, insecure);
  return oauth.processRefreshTokenResponse(as, client, answer);
}

async function introspect(token) {
  const answer = await oauth.introspectionRequest(as, client, authentication, token, insecure);
  return oauth.processIntrospectionResponse(as, client, answer);
}

async function revoke(token) {
  const answer = await oauth.revocationRequest(as, client, authentication, token, insecure);
  return (await oauth.processRevocationResponse(answer)) ?? null;
}

function fetch(token, target, headers, body) {
  return oauth.protectedResourceRequest(token, "POST", target, headers, body, insecure);
}

await run(url, { authorize, refresh, introspect, revoke, fetch });
