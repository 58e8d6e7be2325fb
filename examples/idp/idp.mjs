// The identity provider of the demo's tenant abott: npm's oidc-provider, set up the way an Auth0 tenant behaves
// (password grant at /oauth/token, keys at /.well-known/jwks.json, JWT access tokens for one audience, namespaced roles).
// usage: node idp.mjs CONFIG.json
//   {"port": 8444, "host": "127.0.0.1", "issuer": "https://127.0.0.1:8444/", "cert": "FILE", "key": "FILE",
//    "audience": "https://api.abott.com", "client": {"id": "…", "secret": "…"}, "users": [{"username", "password", "roles"}]}
import { createHash, generateKeyPairSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider, { errors } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const users = new Map(config.users.map((user) => [user.username, user]));
const scope = 'files:read files:write';
const expired = `${config.client.id}-expired`; // a client for demonstrations: its tokens ended an hour ago

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signingKey = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };

const resource = { scope, audience: config.audience, accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };

const life = (ctx, token) => token.resourceServer?.accessTokenTTL ?? 600;

const provider = new Provider(config.issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { AccessToken: life, ClientCredentials: life, Grant: 600 },
  clients: [config.client.id, expired].map((id) => ({
    client_id: id,
    client_secret: config.client.secret,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials', 'password'],
    response_types: [],
    redirect_uris: [],
  })),
  routes: { token: '/oauth/token', jwks: '/.well-known/jwks.json' },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: { enabled: true, defaultResource: () => config.audience, useGrantedResource: () => true, getResourceServerInfo: (ctx, indicator, client) => (client.clientId === expired ? { ...resource, accessTokenTTL: -3600 } : resource) },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (ctx, token) => ({ 'https://abott.com/roles': users.get(token.accountId)?.roles ?? [] }),
});

const same = (a, b) => timingSafeEqual(...[a, b].map((s) => createHash('sha256').update(String(s)).digest()));

provider.registerGrantType('password', async (ctx) => {
  const { params, client } = ctx.oidc;
  const user = users.get(params.username);
  if (!user || !same(user.password, params.password)) {
    throw new errors.InvalidGrant('Wrong email or password.');
  }
  const grant = new provider.Grant({ accountId: user.username, clientId: client.clientId });
  grant.addResourceScope(config.audience, scope);
  const token = new provider.AccessToken({ accountId: user.username, client, grantId: await grant.save(), gty: 'password', scope });
  token.resourceServer = new provider.ResourceServer(config.audience, resource);
  ctx.oidc.entity('AccessToken', token);
  ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: token.expiration, scope };
}, ['username', 'password', 'audience', 'scope']);

const server = createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) }, provider.callback());
server.listen(config.port, config.host, () => console.error(`idp: ready at ${config.issuer}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)).closeAllConnections());
