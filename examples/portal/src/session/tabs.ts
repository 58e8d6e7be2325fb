import type { Tokens } from './tokens';

/** What the tabs of one origin tell each other. Tokens go from memory to memory; they are written nowhere. */
export type TabMessage =
  | { kind: 'ask' } // who has newer tokens, or any?
  | { kind: 'tokens'; tokens: Tokens } // the answer, and after each refresh
  | { kind: 'login'; tokens: Tokens }
  | { kind: 'logout'; sessionId: string; why: 'signed-out' | 'ended' };

export interface Tabs {
  say(message: TabMessage): void;
  listen(each: (message: TabMessage) => void): void;
  /** Runs `work` while no other tab runs its own. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

const NAME = 'clinicwave-portal';
/** A tab that holds the lock and was put to sleep must not stop the others: then they go on without it, and the server's grace
 * window makes two refreshes of the same token one. */
const LOCK_PATIENCE_MS = 10_000;

export function browserTabs(): Tabs {
  const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(NAME);
  const locks = globalThis.navigator?.locks;
  return {
    say: (message) => channel?.postMessage(message),
    listen: (each) => channel?.addEventListener('message', (e) => each(e.data as TabMessage)),
    alone: async <T,>(work: () => Promise<T>) => {
      if (!locks) return work();
      const patience = new AbortController();
      const timer = setTimeout(() => patience.abort(), LOCK_PATIENCE_MS);
      let begun = false;
      try {
        return (await locks.request(`${NAME}-refresh`, { signal: patience.signal }, () => {
          begun = true;
          clearTimeout(timer);
          return work();
        })) as T;
      } catch (error) {
        if (begun) throw error;
        return work();
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
