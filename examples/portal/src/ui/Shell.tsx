import { useEffect, useRef, type MouseEvent } from 'react';
import { sentence } from '../api/problem';
import { AccountPage } from './AccountPage';
import { FilesPage } from './FilesPage';
import { initials } from './format';
import { go, PAGES, useApp, useIdentity, useKeeper, useOnline, usePath, type Path } from './hooks';
import { Icon, Note } from './parts';
import { SessionsPage } from './SessionsPage';
import { Brand } from './SignIn';

const ICONS = { '/files': 'files', '/sessions': 'sessions', '/account': 'account' } as const;
const VIEWS: Record<Path, () => React.JSX.Element> = { '/files': FilesPage, '/sessions': SessionsPage, '/account': AccountPage };

export function Shell() {
  const path = usePath();
  const keeper = useKeeper();
  const identity = useIdentity();
  const main = useRef<HTMLElement>(null);
  const View = VIEWS[path];
  useEffect(() => main.current?.focus(), [path]);

  function follow(event: MouseEvent, to: Path) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  }
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="top">
        <Brand />
        <nav aria-label="Pages">
          {(Object.keys(PAGES) as Path[]).map((to) => (
            <a key={to} href={to} aria-current={to === path ? 'page' : undefined} onClick={(e) => follow(e, to)}>
              <Icon name={ICONS[to]} />
              {PAGES[to]}
            </a>
          ))}
        </nav>
        <div className="who">
          <span className="avatar" aria-hidden="true">
            {initials(identity.name)}
          </span>
          <span className="who-name">
            <span id="whoami">{identity.username}</span>
            <span className="small">{location.hostname}</span>
          </span>
          <button id="logout" className="button" onClick={() => void keeper.signOut()}>
            <Icon name="leave" />
            Sign out
          </button>
        </div>
      </header>
      <main id="main" className="page" tabIndex={-1} ref={main}>
        <Trouble />
        <View />
      </main>
    </>
  );
}

function Trouble() {
  const trouble = useApp((s) => s.session.trouble);
  const online = useOnline();
  if (!online) return <Note kind="warn">You are offline. What you see may be out of date; it goes on by itself when the network is back.</Note>;
  return trouble ? <Note kind="warn">{sentence(trouble)} You stay signed in; it is tried again by itself.</Note> : null;
}
