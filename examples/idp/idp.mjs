// The identity provider of the demo's tenant abott: npm's oidc-provider, dressed as an Auth0 tenant (password and
// password-realm grant at /oauth/token, rotating refresh tokens, /oauth/revoke, /userinfo, keys at /.well-known/jwks.json,
// access tokens in Auth0's default profile or, by "profile": "rfc9068", in RFC 9068's, namespaced roles, Auth0's errors).
// usage: node idp.mjs CONFIG.json
//   {"port": 8444, "host": "127.0.0.1", "issuer": "https://127.0.0.1:8444/", "cert": "FILE", "key": "FILE",
//    "profile": "auth0", "connection": "Users", "audience": "https://api.abott.com", "client": {"id": "…", "secret": "…"},
//    "users": [{"username", "password", "roles", "blocked"}]}
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const auth0 = (config.profile ?? 'auth0') === 'auth0';
const connection = config.connection ?? 'Users';
const REALM = 'http://auth0.com/oauth/grant-type/password-realm';
const ROLES = 'https://abott.com/roles';
const apiScopes = ['files:read', 'files:write'];
const tokenLife = auth0 ? 86400 : 600;
const refreshLife = 30 * 86400;

const digest = (s) => createHash('sha256').update(String(s)).digest();
const same = (a, b) => timingSafeEqual(digest(a), digest(b));
const subjectOf = (username) => `auth0|${digest(username).toString('hex').slice(0, 24)}`; // as Auth0's database users are called
const byName = new Map(config.users.map((user) => [user.username.toLowerCase(), { ...user, subject: subjectOf(user.username) }]));
const bySubject = new Map([...byName.values()].map((user) => [user.subject, user]));
const expired = `${config.client.id}-expired`; // a client for demonstrations: its tokens ended an hour ago

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signingKey = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
const publicKey = createPublicKey(privateKey);

const resource = { scope: apiScopes.join(' '), audience: config.audience, accessTokenTTL: tokenLife, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
const life = (ctx, token) => token.resourceServer?.accessTokenTTL ?? tokenLife;

// Auth0's words and statuses, where they differ from oidc-provider's.
class Refused extends errors.OIDCProviderError {
  constructor(status, code, description) {
    super(status, code);
    this.error_description = description;
  }
}

const machine = (id) => ({
  client_id: id,
  client_secret: config.client.secret,
  token_endpoint_auth_method: 'client_secret_post',
  grant_types: ['authorization_code', 'client_credentials', 'password', REALM, 'refresh_token'],
  response_types: ['code'],
  redirect_uris: ['https://unused.invalid/callback'],
});

const provider = new Provider(config.issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { AccessToken: life, ClientCredentials: life, Grant: refreshLife, IdToken: 36000, RefreshToken: refreshLife },
  clients: [machine(config.client.id), machine(expired)],
  routes: { token: '/oauth/token', jwks: '/.well-known/jwks.json', revocation: '/oauth/revoke', userinfo: '/userinfo' },
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  claims: { openid: ['sub'], profile: ['name', 'nickname'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    userinfo: { enabled: false }, // served below: oidc-provider's own takes no JWTs
    resourceIndicators: {
      enabled: true,
      defaultResource: () => config.audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, indicator, client) => (client.clientId === expired ? { ...resource, accessTokenTTL: -3600 } : resource),
    },
  },
  findAccount: (ctx, id) => bySubject.has(id) && { accountId: id, claims: () => claimsOf(bySubject.get(id)) },
  extraTokenClaims: (ctx, token) => ({ [ROLES]: bySubject.get(token.accountId)?.roles ?? [] }),
  formats: {
    customizers: {
      jwt(ctx, token, jwt) {
        const user = token.kind === 'AccessToken';
        if (auth0) {
          const { client_id: azp, jti, ...rest } = jwt.payload; // no jti: this is how Auth0's default profile is
          jwt.header = { ...jwt.header, typ: 'JWT' };
          jwt.payload = { ...rest, azp, gty: user ? 'password' : 'client-credentials', aud: user ? [jwt.payload.aud, `${config.issuer}userinfo`] : jwt.payload.aud };
        } else if (user) {
          jwt.payload = { ...jwt.payload, aud: [jwt.payload.aud, `${config.issuer}userinfo`] };
        }
        return jwt;
      },
    },
  },
});

function claimsOf(user) {
  return { sub: user.subject, name: user.name ?? user.username.split('@')[0], nickname: user.username.split('@')[0], email: user.username, email_verified: true };
}

async function tokensFor(ctx, user) {
  const { params, client } = ctx.oidc;
  const asked = new Set((params.scope ?? 'openid').split(' ').filter(Boolean));
  const identity = [...asked].filter((s) => ['openid', 'profile', 'email', 'offline_access'].includes(s)).join(' ');
  const api = apiScopes.filter((s) => asked.has(s) || !params.scope).join(' ');
  if (params.audience && params.audience !== config.audience) {
    throw new Refused(403, 'access_denied', `Service not found: ${params.audience}`);
  }
  const grant = new provider.Grant({ accountId: user.subject, clientId: client.clientId });
  if (identity) grant.addOIDCScope(identity);
  if (api) grant.addResourceScope(config.audience, api);
  const grantId = await grant.save();
  const scope = [identity, api].filter(Boolean).join(' ');

  const access = new provider.AccessToken({ accountId: user.subject, client, grantId, gty: 'password', scope });
  access.resourceServer = new provider.ResourceServer(config.audience, resource);
  ctx.oidc.entity('AccessToken', access);
  const body = { access_token: await access.save(), token_type: 'Bearer', expires_in: access.expiration, scope };
  if (asked.has('offline_access')) {
    const refresh = new provider.RefreshToken({ accountId: user.subject, client, grantId, gty: 'password', scope, resource: config.audience, iiat: Math.floor(Date.now() / 1000), rotations: 0 });
    ctx.oidc.entity('RefreshToken', refresh);
    body.refresh_token = await refresh.save();
  }
  if (asked.has('openid')) {
    const id = new provider.IdToken(claimsOf(user), { ctx });
    id.scope = identity;
    id.set('at_hash', body.access_token);
    body.id_token = await id.issue({ use: 'idtoken' });
  }
  return body;
}

const failures = new Map(); // brute-force protection by user and address, as Auth0 counts them
async function byPassword(ctx) {
  const { params } = ctx.oidc;
  const counted = `${params.username}|${ctx.get('auth0-forwarded-for') || ctx.ip}`;
  const user = byName.get(String(params.username).toLowerCase());
  if (params.grant_type === REALM && params.realm !== connection) {
    throw new Refused(403, 'unauthorized_client', 'Grant type not allowed for the connection.');
  }
  if ((failures.get(counted) ?? 0) >= 10) {
    throw new Refused(429, 'too_many_attempts', 'Your account has been blocked after multiple consecutive login attempts.');
  }
  if (!user || !same(user.password, params.password)) {
    failures.set(counted, (failures.get(counted) ?? 0) + 1);
    throw new Refused(403, 'invalid_grant', 'Wrong email or password.');
  }
  failures.delete(counted);
  if (user.blocked) {
    throw new Refused(403, 'unauthorized', 'user is blocked');
  }
  ctx.body = await tokensFor(ctx, user);
}
for (const grant of ['password', REALM]) {
  provider.registerGrantType(grant, byPassword, ['username', 'password', 'audience', 'scope', 'realm']);
}

async function userinfo(ctx) {
  const [scheme, token] = ctx.get('authorization').split(' ');
  try {
    if (scheme !== 'Bearer') throw new Error('no bearer');
    const { payload } = await jwtVerify(token, publicKey, { issuer: config.issuer, audience: `${config.issuer}userinfo`, algorithms: ['RS256'] });
    ctx.body = claimsOf(bySubject.get(payload.sub));
  } catch {
    ctx.status = 401;
    ctx.body = { error: 'invalid_token' };
  }
}

provider.use(async (ctx, next) => {
  ctx.set({ 'x-ratelimit-limit': '300', 'x-ratelimit-remaining': '299', 'x-ratelimit-reset': String(Math.floor(Date.now() / 1000) + 60) });
  if (ctx.path === '/userinfo') return userinfo(ctx);
  await next();
  if (ctx.path === '/.well-known/openid-configuration' && ctx.body) {
    ctx.body = { ...ctx.body, userinfo_endpoint: `${config.issuer}userinfo` };
  }
  if (ctx.path === '/oauth/token' && ctx.status === 401 && ctx.body?.error === 'invalid_client') {
    ctx.body = { error: 'access_denied', error_description: 'Unauthorized' }; // a wrong client secret, in Auth0's words
    ctx.status = 401;
  }
  return undefined;
});
provider.on('server_error', (ctx, error) => console.error('idp:', error));

const server = createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) }, provider.callback());
server.listen(config.port, config.host, () => console.error(`idp: ready at ${config.issuer}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)).closeAllConnections());
