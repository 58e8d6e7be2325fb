import { useEndSessionMutation, useSessionsQuery } from '../api/gate';
import type { Problem } from '../api/problem';
import { ago, device, when } from './format';
import { useKeeper, useNow } from './hooks';
import { Alert, Icon, Waiting } from './parts';

export function SessionsPage() {
  const { data: sessions, error, isLoading } = useSessionsQuery(undefined, { pollingInterval: 30_000, skipPollingIfUnfocused: true, refetchOnMountOrArgChange: true });
  const [end, ending] = useEndSessionMutation();
  const keeper = useKeeper();
  const now = useNow(15_000);
  return (
    <>
      <div className="heading">
        <div>
          <h1>Sessions</h1>
          <p className="soft">Where you are signed in. A session that you do not know? End it, and change your password.</p>
        </div>
      </div>
      {error ? <Alert problem={error as Problem} /> : null}
      {ending.error ? <Alert problem={ending.error as Problem} /> : null}
      {isLoading ? <Waiting what="Loading your sessions…" /> : null}
      <ul className="cards" id="sessions">
        {(sessions ?? []).map((s) => (
          <li key={s.session_id} className="card row" data-session={s.session_id}>
            <span className="drop-icon">
              <Icon name="sessions" />
            </span>
            <div className="grow">
              <h2>
                {device(s.device)} {s.current ? <span className="badge good">This session</span> : null}
              </h2>
              <p className="soft">
                {s.address || 'unknown address'} · started {when(s.started_at * 1000)} · used {ago(s.used_at * 1000, now)}
              </p>
            </div>
            {s.current ? (
              <button className="button" onClick={() => void keeper.signOut()}>
                Sign out
              </button>
            ) : (
              <button className="button danger" onClick={() => void end(s.session_id)}>
                End session
              </button>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
