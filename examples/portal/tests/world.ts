// A world for the store: a server that counts, a clock that is turned by hand, tabs in one process.
import type { Reply, Request } from '../src/api/transport';
import type { Clock } from '../src/session/keeper';
import type { TabMessage, Tabs } from '../src/session/tabs';
import type { LoginAnswer } from '../src/session/tokens';
import { makeStore } from '../src/store';

const base64url = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

export function jwt(claims: Record<string, unknown>): string {
  return ['{"alg":"RS256"}', JSON.stringify(claims), 'signature'].map(base64url).join('.');
}

/** nodejs 18 has Blob, and File only by another name. */
export const file = (text: string, name: string, type = '') => Object.assign(new Blob([text], { type }), { name }) as unknown as File;

export function reply(status: number, body?: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    header: (name) => headers[name] ?? null,
    json: async () => JSON.parse(JSON.stringify(body ?? null)),
    blob: async () => new Blob([typeof body === 'string' ? body : JSON.stringify(body)]),
  };
}

export const problem = (status: number, reason: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  reply(status, { status, reason, title: reason, ...more }, headers);

export class Hands implements Clock {
  time = 1_000_000;
  private timers: { at: number; run: () => void }[] = [];
  now = () => this.time;
  after = (ms: number, run: () => void) => {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((t) => t !== timer));
  };
  /** Turns the hands; what is due runs in its order, and what that sets in motion, too. */
  async turn(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const due = this.timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((t) => t !== due);
      this.time = Math.max(this.time, due.at);
      due.run();
    }
    this.time = end;
    await settle();
  }
}

export const settle = async () => {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
};

/** authsvc and the gateway, as far as the portal sees them. */
export class Server {
  life = 300;
  sessions = new Set<string>();
  refreshes = 0;
  requests: Request[] = [];
  answer: ((request: Request) => Reply | undefined | Promise<Reply | undefined>) | null = null;
  private n = 0;
  private valid = new Set<string>();
  private refresh = new Map<string, string>();

  tokens(sessionId = `s${(this.n += 1)}`): LoginAnswer {
    const k = (this.n += 1);
    this.sessions.add(sessionId);
    const answer: LoginAnswer = {
      access_token: `access-${k}`,
      id_token: jwt({ sub: 'u1', preferred_username: 'anna@clinicwave.com', tenant: 'clinicwave', roles: ['doctor'] }),
      refresh_token: `refresh-${k}`,
      token_type: 'Bearer',
      expires_in: this.life,
      expires_at: 4_000_000_000,
      refresh_expires_in: 28800,
      scope: 'openid',
      session_id: sessionId,
    };
    this.valid.add(answer.access_token);
    this.refresh.set(answer.refresh_token, sessionId);
    return answer;
  }
  /** As if they had expired, or their session were over. */
  refuseAll(): void {
    this.valid.clear();
  }
  transport = async (request: Request): Promise<Reply> => {
    this.requests.push(request);
    await Promise.resolve();
    const special = await this.answer?.(request);
    if (special) return special;
    const body = (request.json ?? {}) as Record<string, string>;
    switch (request.path) {
      case '/auth/v1/login':
        return body.password === 'right' ? reply(200, this.tokens()) : problem(401, 'credentials_invalid');
      case '/auth/v1/refresh': {
        this.refreshes += 1;
        const session = this.refresh.get(body.refresh_token ?? '');
        return session && this.sessions.has(session) ? reply(200, this.tokens(session)) : problem(401, 'refresh_invalid');
      }
      case '/auth/v1/logout':
        this.sessions.delete(this.refresh.get(body.refresh_token ?? '') ?? '');
        return reply(204);
      default:
        return this.valid.has(request.token ?? '') ? reply(200, []) : problem(401, 'token_expired');
    }
  };
}

/** BroadcastChannel and Web Locks of one browser. */
export class Browser {
  private ears: { of: object; each: (m: TabMessage) => void }[] = [];
  private queue: Promise<unknown> = Promise.resolve();
  heard: TabMessage[] = [];
  tab(locks = true): Tabs {
    const me = {};
    return {
      say: (message) => {
        this.heard.push(message);
        const copy = JSON.parse(JSON.stringify(message)) as TabMessage;
        for (const ear of this.ears) if (ear.of !== me) queueMicrotask(() => ear.each(copy));
      },
      listen: (each) => this.ears.push({ of: me, each }),
      alone: (work) => {
        if (!locks) return work();
        const turn = this.queue.then(work, work);
        this.queue = turn.catch(() => {});
        return turn;
      },
    };
  }
}

export function world({ server = new Server(), clock = new Hands(), browser = new Browser(), locks = true } = {}) {
  const saved: [string, Blob][] = [];
  const tab = () => makeStore({ transport: server.transport, tabs: browser.tab(locks), clock, save: (name, content) => saved.push([name, content]) });
  return { server, clock, browser, saved, tab, ...tab() };
}
