import { useMeQuery } from '../api/gate';
import type { Problem } from '../api/problem';
import { initials, span, when } from './format';
import { useApp, useIdentity, useKeeper, useNow } from './hooks';
import { Alert, Icon } from './parts';
import { SecurityCards } from './SecurityCards';

function Chips({ values, none }: { values: string[]; none: string }) {
  if (!values.length) return <span className="soft">{none}</span>;
  return (
    <>
      {values.map((v) => (
        <span className="badge" key={v}>
          {v}
        </span>
      ))}
    </>
  );
}

export function AccountPage() {
  const identity = useIdentity();
  const { data: me, error } = useMeQuery(undefined, { refetchOnMountOrArgChange: true });
  return (
    <>
      <div className="heading">
        <div>
          <h1>Account</h1>
          <p className="soft">Who you are here, as your organisation says.</p>
        </div>
      </div>
      <div className="columns">
        <section className="card" aria-labelledby="me-title">
          <div className="line">
            <span className="avatar large" aria-hidden="true">
              {initials(identity.name)}
            </span>
            <div className="grow">
              <h2 id="me-title">{identity.name}</h2>
              <p className="soft">{identity.email || identity.username}</p>
            </div>
          </div>
          <dl>
            <dt>Organisation</dt>
            <dd>{identity.tenant || location.hostname}</dd>
            <dt>Roles</dt>
            <dd id="roles">
              <Chips values={identity.roles} none="no roles" />
            </dd>
            <dt>Permissions</dt>
            <dd>
              <Chips values={identity.permissions} none="none beyond those of the roles" />
            </dd>
            {identity.authenticatedAt ? (
              <>
                <dt>Signed in</dt>
                <dd>
                  {when(identity.authenticatedAt)}
                  {identity.methods.length ? <span className="soft"> by {identity.methods.join(', ')}</span> : null}
                </dd>
              </>
            ) : null}
            <dt>Confirmed by the server</dt>
            <dd id="userinfo">{error ? 'no' : me ? `yes, subject ${String(me.sub)}` : '…'}</dd>
          </dl>
          {error ? <Alert problem={error as Problem} /> : null}
        </section>
        <TokenCard />
        <SecurityCards />
      </div>
    </>
  );
}

function TokenCard() {
  const { tokens, refreshing } = useApp((s) => s.session);
  const keeper = useKeeper();
  const now = useNow();
  if (!tokens) return <></>;
  const left = Math.max(tokens.expiresAt - now, 0);
  return (
    <section className="card" aria-labelledby="token-title">
      <h2 id="token-title">This session</h2>
      <p className="soft">Tokens live in this page's memory only. A new access token is fetched before the present one ends.</p>
      <dl>
        <dt>Access token</dt>
        <dd>
          ends in <span id="token-left">{span(left)}</span>
          <progress aria-label="Life of the access token that is left" value={Math.min(left, tokens.life)} max={tokens.life} />
        </dd>
        <dt>Refreshed</dt>
        <dd>
          <span id="refreshes">{tokens.generation}</span> {tokens.generation === 1 ? 'time' : 'times'}
        </dd>
        <dt>Scopes</dt>
        <dd>
          <Chips values={tokens.scope.split(' ').filter(Boolean)} none="none" />
        </dd>
        <dt>Session</dt>
        <dd>
          <code>{tokens.sessionId}</code>
        </dd>
      </dl>
      <button id="renew" className="button" disabled={refreshing} onClick={() => void keeper.renew(tokens.access).catch(() => {})}>
        <Icon name="refresh" />
        Refresh now
      </button>
    </section>
  );
}
