import { passing, problemOf, Refused } from '../api/problem';
import { good, type Transport } from '../api/transport';
import { nobody, refreshBegun, refreshed, refreshFailed, signedIn, signedOut, type SessionState } from './slice';
import type { TabMessage, Tabs } from './tabs';
import { refreshAt, tokensFrom, type LoginAnswer, type Tokens } from './tokens';

export interface Clock {
  now(): number;
  /** Calls `run` once after so many milliseconds; the function that is returned forgets it. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, run) => {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
};

export interface KeeperDeps {
  session(): SessionState;
  dispatch(action: { type: string; payload?: unknown }): void;
  transport: Transport;
  tabs: Tabs;
  clock: Clock;
}

/** How long other tabs may take to answer. They are asked before each refresh, since one may have done it already. */
const ASK_MS = 120;
/** A token that ends sooner is not sent any more. */
const MARGIN_MS = 2_000;
const RETRY_FIRST_MS = 2_000;
const RETRY_MAX_MS = 60_000;

const ended = () => new Refused({ reason: 'session_ended', status: 401 });

/**
 * Keeps the session of this tab: refreshes before expiry, once for however many callers, in one tab of however many, and ends it
 * everywhere. The tokens themselves lie in the store and nowhere else.
 */
export class Keeper {
  private flight: Promise<string> | null = null;
  private forget = () => {};
  private failures = 0;
  private heard: (() => void) | null = null;

  constructor(private readonly deps: KeeperDeps) {
    deps.tabs.listen((message) => this.hear(message));
  }

  /** A new tab: another one may be signed in. */
  async start(): Promise<void> {
    await this.ask();
    this.deps.dispatch(nobody());
  }

  /** After a login: for this tab and all others. */
  signIn(answer: LoginAnswer): void {
    const tokens = tokensFrom(answer, this.deps.clock.now());
    this.deps.dispatch(signedIn(tokens));
    this.deps.tabs.say({ kind: 'login', tokens });
    this.schedule();
  }

  /** An access token that is still good; refreshed first where it is not. */
  async token(): Promise<string> {
    const tokens = this.tokens;
    if (!tokens) throw ended();
    return this.deps.clock.now() < tokens.expiresAt - Math.min(MARGIN_MS, tokens.life / 10) ? tokens.access : this.renew(tokens.access);
  }

  /** Another access token than `stale`. */
  async renew(stale: string): Promise<string> {
    const tokens = this.tokens;
    if (!tokens) throw ended();
    if (tokens.access !== stale) return tokens.access;
    this.flight ??= this.refresh(tokens).finally(() => (this.flight = null));
    return this.flight;
  }

  /** The device woke up, the network is back, the tab is looked at: timers may have slept. */
  wake(): void {
    const { tokens } = this.deps.session();
    if (tokens && (this.failures > 0 || this.deps.clock.now() >= refreshAt(tokens))) void this.renew(tokens.access).catch(() => {});
  }

  /** Ends the session here, at the server and in the other tabs. Here in any case. */
  async signOut(): Promise<void> {
    const tokens = this.tokens;
    if (!tokens) return;
    this.forget();
    let unheard = false;
    try {
      await good(await this.deps.transport({ method: 'POST', path: '/auth/v1/logout', json: { refresh_token: tokens.refresh } }));
    } catch (error) {
      unheard = passing(problemOf(error));
    }
    this.leave(tokens, 'signed-out', unheard ? 'logout-unheard' : 'signed-out');
  }

  /** The server says that the session is over. */
  sessionEnded(): void {
    if (this.tokens) this.leave(this.tokens, 'ended', 'ended');
  }

  private get tokens(): Tokens | null {
    return this.deps.session().tokens;
  }

  private leave(tokens: Tokens, why: 'signed-out' | 'ended', notice: 'signed-out' | 'ended' | 'logout-unheard'): void {
    this.forget();
    if (this.tokens?.sessionId === tokens.sessionId) this.deps.dispatch(signedOut(notice));
    this.deps.tabs.say({ kind: 'logout', sessionId: tokens.sessionId, why });
  }

  private async refresh(stale: Tokens): Promise<string> {
    this.forget();
    this.deps.dispatch(refreshBegun());
    try {
      const tokens = await this.deps.tabs.alone(async () => {
        await this.ask();
        const present = this.living(stale);
        if (present.access !== stale.access) return present; // another tab was first
        const reply = await good(await this.deps.transport({ method: 'POST', path: '/auth/v1/refresh', json: { refresh_token: present.refresh } }));
        const answer = (await reply.json()) as LoginAnswer;
        this.living(stale);
        const fresh = tokensFrom(answer, this.deps.clock.now(), present.generation + 1);
        this.deps.tabs.say({ kind: 'tokens', tokens: fresh });
        return fresh;
      });
      this.failures = 0;
      this.deps.dispatch(refreshed(tokens));
      this.schedule();
      return tokens.access;
    } catch (error) {
      const problem = problemOf(error);
      if (this.tokens?.sessionId !== stale.sessionId) throw ended();
      if (passing(problem)) {
        this.deps.dispatch(refreshFailed(problem));
        this.retry(problem.retryAfter);
        throw error;
      }
      this.leave(stale, 'ended', 'ended');
      throw ended();
    }
  }

  /** The tokens of the same session as they are now; the user may have left while we waited. */
  private living(of: Tokens): Tokens {
    const tokens = this.tokens;
    if (tokens?.sessionId !== of.sessionId) throw ended();
    return tokens;
  }

  private schedule(): void {
    this.forget();
    const tokens = this.tokens;
    if (tokens) this.forget = this.deps.clock.after(Math.max(refreshAt(tokens) - this.deps.clock.now(), 0), () => this.wake());
  }

  /** Again, later and later; sooner when the network is back (wake). */
  private retry(seconds = 0): void {
    const pause = Math.max(seconds * 1000, Math.min(RETRY_FIRST_MS * 2 ** this.failures, RETRY_MAX_MS));
    this.failures += 1;
    this.forget = this.deps.clock.after(pause, () => this.wake());
  }

  /** Asks the other tabs, and waits for the first answer or a moment. */
  private ask(): Promise<void> {
    return new Promise((resolve) => {
      const forget = this.deps.clock.after(ASK_MS, () => {
        this.heard = null;
        resolve();
      });
      this.heard = () => {
        this.heard = null;
        forget();
        resolve();
      };
      this.deps.tabs.say({ kind: 'ask' });
    });
  }

  private hear(message: TabMessage): void {
    const mine = this.tokens;
    switch (message.kind) {
      case 'ask':
        if (mine) this.deps.tabs.say({ kind: 'tokens', tokens: mine });
        return;
      case 'login':
        this.adopt(message.tokens);
        return;
      case 'tokens':
        if (!mine && this.deps.session().phase === 'starting') this.adopt(message.tokens);
        else if (mine?.sessionId === message.tokens.sessionId && message.tokens.generation > mine.generation) {
          this.failures = 0;
          this.deps.dispatch(refreshed(message.tokens));
          this.schedule();
        }
        this.heard?.();
        return;
      case 'logout':
        if (mine?.sessionId !== message.sessionId) return;
        this.forget();
        this.deps.dispatch(signedOut(message.why === 'ended' ? 'ended' : 'signed-out-elsewhere'));
    }
  }

  private adopt(tokens: Tokens): void {
    this.failures = 0;
    this.deps.dispatch(signedIn(tokens));
    this.schedule();
  }
}
