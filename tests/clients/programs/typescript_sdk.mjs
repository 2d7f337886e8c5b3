// What the TypeScript SDK asks of an application, the same in 1.x and 2.x: where tokens are kept,
// how the person gets to the authorization page, and when to try again.

import { randomUUID } from "node:crypto";
import { Callback, obey } from "./lines.mjs";

// The SDK's `OAuthClientProvider`, with a memory as long as the program's.
class Provider {
  #name;
  #callback;
  #newVerifier;
  #verifier;
  #client;
  #tokens;
  #state;

  constructor(name, callback) {
    this.#name = name;
    this.#callback = callback;
  }

  get redirectUrl() {
    return this.#callback.redirectUri;
  }

  get clientMetadataUrl() {
    return process.env.CLIENT_METADATA_URL || undefined;
  }

  get clientMetadata() {
    return {
      client_name: this.#name,
      redirect_uris: [this.redirectUrl],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    };
  }

  state() {
    return randomUUID();
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveCodeVerifier(verifier) {
    this.#newVerifier = verifier;
  }

  // Its stream and a call may both find that the token is no good any more, and the SDK asks for
  // each: one window is enough.
  redirectToAuthorization(url) {
    if (this.#state) return;
    this.#state = url.searchParams.get("state");
    this.#verifier = this.#newVerifier;
    this.#callback.openBrowser(url);
  }

  invalidateCredentials(scope) {
    if (scope === "all" || scope === "client") this.#client = undefined;
    if (scope === "all" || scope === "tokens") this.#tokens = undefined;
  }

  // What the browser came back with; the SDK leaves `state` to the application.
  async response() {
    const { searchParams } = await this.#callback.response();
    const state = this.#state;
    this.#state = undefined;
    if (searchParams.get("state") !== state) throw new Error("the state is not ours");
    return searchParams;
  }
}

// Obey with one of the SDKs; `finish` hands it what the browser came back with.
export async function run({ name, newClient, newTransport, Unauthorized, finish }) {
  const callback = new Callback();
  await callback.listen();
  const provider = new Provider(name, callback);

  async function withPermission(transport, act) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      await finish(transport, await provider.response());
    }
  }

  async function connect() {
    for (;;) {
      const client = newClient();
      const transport = newTransport(new URL(process.argv[2]), { authProvider: provider });
      const isConnected = await withPermission(transport, async () => {
        await client.connect(transport);
        return true;
      });
      if (isConnected) return session(client, transport);
    }
  }

  function session(client, transport) {
    async function call(name, args) {
      const act = () => client.callTool({ name, arguments: args });
      const result = (await withPermission(transport, act)) ?? (await act());
      if (result.isError) throw new Error(JSON.stringify(result.content));
      return result.structuredContent;
    }
    return { call, close: () => client.close() };
  }

  await obey(connect);
}
