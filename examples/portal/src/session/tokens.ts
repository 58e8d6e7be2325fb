/** The answer of /auth/v1/login, /auth/v1/refresh and /auth/v1/mfa/verify; times in seconds. */
export interface LoginAnswer {
  access_token: string;
  id_token: string;
  refresh_token: string;
  token_type: 'Bearer';
  expires_in: number;
  expires_at: number;
  refresh_expires_in: number;
  scope: string;
  session_id: string;
}

/** What the store keeps of it. Times are milliseconds of this device's clock. */
export interface Tokens {
  access: string;
  id: string;
  refresh: string;
  sessionId: string;
  scope: string;
  /** When the access token ends: the moment of its arrival plus `expires_in`. The server's `expires_at` is not compared with a clock
   * that may be wrong by hours. */
  expiresAt: number;
  /** How long it lived when it came. */
  life: number;
  /** How often this session was refreshed: of two tabs' tokens of one session the higher one is the newer. */
  generation: number;
}

export function tokensFrom(answer: LoginAnswer, now: number, generation = 0): Tokens {
  const life = Math.max(answer.expires_in, 1) * 1000;
  return {
    access: answer.access_token,
    id: answer.id_token,
    refresh: answer.refresh_token,
    sessionId: answer.session_id,
    scope: answer.scope,
    expiresAt: now + life,
    life,
    generation,
  };
}

/** When to refresh: a fifth of its life before the access token ends, at most a minute. */
export function refreshAt(tokens: Tokens): number {
  return tokens.expiresAt - Math.min(60_000, tokens.life / 5);
}

/** Who is signed in, from the ID token. It came straight from the issuer over TLS, so its signature need not be checked here
 * (OpenID Connect Core §3.1.3.7, 6); nothing is decided by it but what is shown. */
export interface Identity {
  subject: string;
  name: string;
  username: string;
  email: string;
  tenant: string;
  issuer: string;
  roles: string[];
  permissions: string[];
  methods: string[];
  authenticatedAt: number;
}

function claimsOf(jwt: string): Record<string, unknown> {
  try {
    const payload = (jwt.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export function identityFrom(idToken: string): Identity {
  const claims = claimsOf(idToken);
  const text = (name: string) => (typeof claims[name] === 'string' ? (claims[name] as string) : '');
  // An identity provider's own claims carry a name space: "https://abott.com/roles" is roles.
  const list = (name: string) => {
    const key = name in claims ? name : Object.keys(claims).find((k) => k.startsWith('https://') && k.endsWith(`/${name}`));
    const value = key === undefined ? [] : claims[key];
    return Array.isArray(value) ? value.filter((v): v is string => typeof v === 'string') : [];
  };
  const username = text('preferred_username') || text('nickname') || text('email') || text('sub');
  return {
    subject: text('sub'),
    name: text('name') || username,
    username,
    email: text('email'),
    tenant: text('tenant'),
    issuer: text('iss'),
    roles: list('roles'),
    permissions: list('permissions'),
    methods: list('amr'),
    authenticatedAt: typeof claims.auth_time === 'number' ? claims.auth_time * 1000 : 0,
  };
}
