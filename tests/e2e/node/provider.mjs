// An OpenID Connect provider: oidc-provider, with one client, and people who need no password.
// Its argument is {"client": {…}}; prints {"port": N} and then a line for each logout token that it sent or could not send.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const { client } = JSON.parse(process.argv[2]);
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const jwk = { ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };

function make(issuer) {
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [jwk] },
    cookies: { keys: ["not a secret here"] },
    scopes: ["openid", "chat"],
    claims: { openid: ["sub", "groups"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    // Everything here is on loopback, where the provider's own dispatcher connects to nothing.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, groups: ["staff"] }) }),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  });
  provider.on("backchannel.success", (_, to, accountId) => say({ told: to.clientId, subject: accountId }));
  provider.on("backchannel.error", (_, error, to, accountId) => say({ failed: error.message, to: to.clientId, subject: accountId }));
  provider.on("server_error", (_, error) => console.error(error));
  return provider;
}

// Who presses the button is who the field says, and agrees to all that is asked.
async function interact(provider, request, response) {
  const { params, prompt, session, grantId } = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "text/html", "cache-control": "no-store" });
    response.end(`<!doctype html><link rel="icon" href="data:,"><title>${prompt.name}</title>
      <form method="post"><input name="who" value="ada"><button id="in">Log in</button></form>`);
    return;
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const accountId = session?.accountId ?? new URLSearchParams(body).get("who");
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  // Another site than the gate at 127.0.0.1.
  const provider = make(`http://localhost:${port}`);
  const serve = provider.callback();
  server.on("request", (request, response) => {
    const own = request.url.startsWith("/interaction/");
    const done = own ? interact(provider, request, response) : serve(request, response);
    Promise.resolve(done).catch((error) => { console.error(error); response.destroy(); });
  });
  say({ port });
});
