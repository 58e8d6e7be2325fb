import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import { useDispatch, useSelector } from 'react-redux';
import type { Call } from '../api/client';
import { ofForm, problemOf, type Problem } from '../api/problem';
import type { Keeper } from '../session/keeper';
import { identityFrom, type Identity } from '../session/tokens';
import type { Dispatch, State } from '../store';

export const useApp = useSelector.withTypes<State>();
export const useSend = useDispatch.withTypes<Dispatch>();

export const Outside = createContext<{ keeper: Keeper; call: Call } | null>(null);
export const useKeeper = (): Keeper => useContext(Outside)!.keeper;

/** A call whose arguments are secrets: it passes the store by, where RTK Query would keep them. */
export function useAsk() {
  const { call } = useContext(Outside)!;
  const [state, setState] = useState<{ pending: boolean; problem: Problem | null }>({ pending: false, problem: null });
  const ask = async (path: string, json: unknown): Promise<Record<string, unknown> | null> => {
    setState({ pending: true, problem: null });
    try {
      const reply = await call({ method: 'POST', path, json });
      const body = reply.status === 204 ? {} : ((await reply.json()) as Record<string, unknown>);
      setState({ pending: false, problem: null });
      return body;
    } catch (error) {
      setState({ pending: false, problem: ofForm(problemOf(error)) });
      return null;
    }
  };
  return { ...state, ask };
}

/** The present moment, told again every so often. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const id = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(id);
  }, [everyMs]);
  return now;
}

let last: { token: string; identity: Identity } | null = null;
export function useIdentity(): Identity {
  const token = useApp((s) => s.session.tokens?.id ?? '');
  if (last?.token !== token) last = { token, identity: identityFrom(token) };
  return last.identity;
}

const PROBE_MS = 2_000;

/** False when the browser says that it is offline and the gateway cannot be reached either: a gateway on this very device, or behind
 * a tunnel that the browser does not count, still answers. */
export function useOnline(): boolean {
  const [online, setOnline] = useState(true);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    async function look() {
      clearTimeout(timer);
      const reached = navigator.onLine || (await fetch('/favicon.svg', { method: 'HEAD', cache: 'no-store' }).then(() => true, () => false));
      if (over) return;
      setOnline(reached);
      if (!navigator.onLine) timer = setTimeout(look, PROBE_MS);
    }
    const changed = () => void look();
    changed();
    for (const event of ['online', 'offline']) window.addEventListener(event, changed);
    return () => {
      over = true;
      clearTimeout(timer);
      for (const event of ['online', 'offline']) window.removeEventListener(event, changed);
    };
  }, []);
  return online;
}

/** The pages, by path; the gateway answers each of them with index.html (deploy/demo/nginx.conf). */
export const PAGES = { '/files': 'Files', '/sessions': 'Sessions', '/account': 'Account' } as const;
export type Path = keyof typeof PAGES;

const moved = new Set<() => void>();
export function go(path: Path): void {
  if (path !== location.pathname) history.pushState(null, '', path);
  moved.forEach((tell) => tell());
}
export function usePath(): Path {
  const path = useSyncExternalStore(
    (changed) => {
      moved.add(changed);
      window.addEventListener('popstate', changed);
      return () => {
        moved.delete(changed);
        window.removeEventListener('popstate', changed);
      };
    },
    () => location.pathname,
  );
  return path in PAGES ? (path as Path) : '/files';
}
