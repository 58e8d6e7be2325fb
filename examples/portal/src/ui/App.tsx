import { useEffect } from 'react';
import { useApp, usePath, PAGES } from './hooks';
import { Waiting } from './parts';
import { Shell } from './Shell';
import { SignIn } from './SignIn';

export function App() {
  const phase = useApp((s) => s.session.phase);
  const path = usePath();
  useEffect(() => {
    document.title = `${phase === 'in' ? PAGES[path] : 'Sign in'} · ClinicWave`;
  }, [phase, path]);
  if (phase === 'starting') {
    return (
      <main className="starting">
        <h1 className="hidden">ClinicWave</h1>
        <Waiting what="One moment…" />
      </main>
    );
  }
  return phase === 'in' ? <Shell /> : <SignIn />;
}
