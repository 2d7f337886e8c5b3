// The official TypeScript SDK 2.x: `node typescript_sdk_2.mjs URL auto|legacy`.

import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from "@modelcontextprotocol/client";
import { run } from "./typescript_sdk.mjs";

const versionNegotiation = { mode: process.argv[3] };

await run({
  name: "TypeScript SDK 2.x",
  newClient: () => new Client({ name: "tests", version: "1" }, { versionNegotiation }),
  newTransport: (url, options) => new StreamableHTTPClientTransport(url, options),
  Unauthorized: UnauthorizedError,
  finish: (transport, response) => transport.finishAuth(response),
});
