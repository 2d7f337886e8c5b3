// The official TypeScript SDK 1.x: `node typescript_sdk_1.mjs URL`.

import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { run } from "./typescript_sdk.mjs";

await run({
  name: "TypeScript SDK 1.x",
  newClient: () => new Client({ name: "tests", version: "1" }),
  newTransport: (url, options) => new StreamableHTTPClientTransport(url, options),
  Unauthorized: UnauthorizedError,
  finish: (transport, response) => transport.finishAuth(response.get("code")),
});
