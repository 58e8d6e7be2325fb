// npm's oauth2-mock-server as an identity provider whose next answers are told to it.
// usage: mock.mjs DEPS PORT CONTROL_PORT AUDIENCE; POST CONTROL_PORT {"status", "body", "headers"}: the token endpoint's next answer
import http from "node:http";
import {createRequire} from "node:module";

const [deps, port, controlPort, audience] = process.argv.slice(2);
const {OAuth2Server} = createRequire(`${deps}/package.json`)("oauth2-mock-server");

const server = new OAuth2Server(undefined, undefined, {endpoints: {token: "/oauth/token", jwks: "/.well-known/jwks.json", revoke: "/oauth/revoke"}});
await server.issuer.keys.generate("RS256");
const next = [];

// It signs the access token first; an ID token has the client as its audience.
server.service.on("beforeTokenSigning", (token) => {
  token.payload.sub = "mock|bob";
  token.payload.aud ??= audience;
});
server.service.on("beforeResponse", (answer, request) => {
  const told = next.shift();
  if (told) {
    Object.assign(answer, {statusCode: told.status, body: told.body});
    request.res.set(told.headers ?? {});
  }
});

http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk)).on("end", () => {
    next.push(JSON.parse(text));
    response.end();
  });
}).listen(Number(controlPort), "127.0.0.1", () => server.start(Number(port), "127.0.0.1"));

process.on("SIGTERM", () => process.exit(0));
