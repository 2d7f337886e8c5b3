// npm's oidc-provider: registration open, its development pages for sign-in and consent, opaque
// tokens, records in memory. Introspection asks who is calling, as ours does.
import Provider from "oidc-provider";

const url = process.env.BENCH_URL;
const provider = new Provider(url, {
  clients: [
    {
      client_id: "resource-server",
      client_secret: "a-secret-of-the-benchmark-and-long-enough",
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    },
  ],
  scopes: ["openid", "offline_access", "user"],
  features: {
    registration: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (_context, client) => client.grantTypeAllowed("refresh_token"),
});
provider.listen(Number(new URL(url).port), "127.0.0.1");
