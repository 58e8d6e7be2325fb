import { useEffect, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { again, login, renewPassword, sendCode } from '../session/login';
import type { Notice } from '../session/slice';
import { useApp, useNow, useOnline, useSend } from './hooks';
import { Alert, Icon, Note } from './parts';

const NOTICES: Record<Notice, string> = {
  'signed-out': 'You are signed out.',
  'signed-out-elsewhere': 'You were signed out in another tab.',
  ended: 'Your session has ended: it ran out, or it was ended on another device or by an administrator. Please sign in again.',
  'logout-unheard': 'You are signed out on this device, but the server could not be told. Sign in again and end the session under “Sessions” if others use this device.',
};

/** Seconds until another attempt makes sense. */
function useWait(): number {
  const until = useApp((s) => s.login.waitUntil);
  const now = useNow(500);
  return Math.max(Math.ceil((until - now) / 1000), 0);
}

export function SignIn() {
  const step = useApp((s) => s.login.step);
  const [password, setPassword] = useState(''); // an expired one is needed once more; it never gets into the store
  return (
    <div className="entrance">
      <section className="welcome" aria-hidden="true">
        <Brand />
        <div>
          <p className="claim">One door to the services of your organisation.</p>
          <p>Files, sessions and roles — decided by your organisation, checked on every request.</p>
        </div>
        <svg className="wave" viewBox="0 0 600 120" preserveAspectRatio="none">
          <path d="M0 70h150l30-50 45 95 35-65 25 20h315" />
        </svg>
        <p className="small">ClinicWave Gate · demo</p>
      </section>
      <main className="door">
        {step === 'password' ? <PasswordForm password={password} setPassword={setPassword} /> : step === 'renew' ? <RenewForm oldPassword={password} /> : <CodeForm />}
      </main>
    </div>
  );
}

export function Brand() {
  return (
    <span className="brand">
      <span className="mark">
        <Icon name="pulse" />
      </span>
      ClinicWave
    </span>
  );
}

function Frame({ title, id, children, onSubmit }: { title: string; id: string; children: ReactNode; onSubmit: (e: FormEvent) => void }) {
  const { problem } = useApp((s) => s.login);
  const notice = useApp((s) => s.session.notice);
  const online = useOnline();
  return (
    <form id={id} className="card" method="post" noValidate onSubmit={onSubmit} aria-labelledby="form-title">
      <div className="only-small">
        <Brand />
      </div>
      <h1 id="form-title">{title}</h1>
      <p className="soft">
        at <strong>{location.hostname}</strong>
      </p>
      {problem ? <Alert problem={problem} focus /> : notice ? <Note kind={notice === 'logout-unheard' ? 'warn' : 'plain'}>{NOTICES[notice]}</Note> : null}
      {!online && problem?.reason !== 'offline' ? <Note kind="warn">You are offline.</Note> : null}
      {children}
    </form>
  );
}

function PasswordForm({ password, setPassword }: { password: string; setPassword: (password: string) => void }) {
  const { pending, username: known } = useApp((s) => s.login);
  const send = useSend();
  const wait = useWait();
  const [username, setUsername] = useState(known);
  const [shown, setShown] = useState(false);
  const [missing, setMissing] = useState<'username' | 'password' | null>(null);
  const nameField = useRef<HTMLInputElement>(null);
  const passwordField = useRef<HTMLInputElement>(null);
  useEffect(() => (known ? passwordField : nameField).current?.focus(), [known]);

  function submit(event: FormEvent) {
    event.preventDefault();
    const lacks = !username.trim() ? 'username' : !password ? 'password' : null;
    setMissing(lacks);
    if (lacks) (lacks === 'username' ? nameField : passwordField).current?.focus();
    else if (!pending && !wait) void send(login({ username: username.trim(), password }));
  }
  return (
    <Frame title="Sign in" id="login-form" onSubmit={submit}>
      <div className="field">
        <label htmlFor="username">User name</label>
        <input
          id="username"
          name="username"
          type="text"
          inputMode="email"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={256}
          ref={nameField}
          value={username}
          onChange={(e) => setUsername(e.target.value)}
          aria-invalid={missing === 'username'}
          aria-describedby={missing === 'username' ? 'username-missing' : undefined}
        />
        {missing === 'username' ? (
          <p className="wrong" id="username-missing">
            Enter your user name.
          </p>
        ) : null}
      </div>
      <div className="field">
        <label htmlFor="password">Password</label>
        <div className="with-button">
          <input
            id="password"
            name="password"
            type={shown ? 'text' : 'password'}
            autoComplete="current-password"
            ref={passwordField}
            value={password}
            onChange={(e) => setPassword(e.target.value)}
            aria-invalid={missing === 'password'}
            aria-describedby={missing === 'password' ? 'password-missing' : undefined}
          />
          <button type="button" className="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? 'Hide' : 'Show'}
            <span className="hidden"> password</span>
          </button>
        </div>
        {missing === 'password' ? (
          <p className="wrong" id="password-missing">
            Enter your password.
          </p>
        ) : null}
      </div>
      <button id="login" className="button main wide" type="submit" disabled={pending || wait > 0} aria-busy={pending}>
        {pending ? 'Signing in…' : wait ? `Try again in ${wait} s` : 'Sign in'}
      </button>
    </Frame>
  );
}

const CODE_TITLES = { enrol: 'Set up a second factor', device: 'Confirm the login' } as Record<string, string>;

/** The second step, in all its kinds. */
function CodeForm() {
  const { pending, step, prompt, secret, secretUrl } = useApp((s) => s.login);
  const send = useSend();
  const wait = useWait();
  const [code, setCode] = useState('');
  const field = useRef<HTMLInputElement>(null);
  const asked = step !== 'device' || prompt;
  useEffect(() => field.current?.focus(), []);

  function submit(event: FormEvent) {
    event.preventDefault();
    const given = code.replace(/\s/g, '');
    if (asked && !given) field.current?.focus();
    else if (!pending && !wait) void send(sendCode({ code: given }));
  }
  return (
    <Frame title={CODE_TITLES[step] ?? 'One more step'} id="login-form" onSubmit={submit}>
      {step === 'enrol' ? <Secret secret={secret} url={secretUrl} /> : null}
      {step === 'device' ? <p>{prompt ? 'A code was sent to you.' : 'A request was sent to your other device. Confirm it there, then continue here.'}</p> : null}
      {asked ? (
        <div className="field">
          <label htmlFor="otp">{step === 'code' ? 'Code from your authenticator app, or a recovery code' : step === 'enrol' ? 'Code that the app shows' : 'Code'}</label>
          <input id="otp" name="otp" autoComplete="one-time-code" autoCapitalize="none" spellCheck={false} maxLength={64} ref={field} value={code} onChange={(e) => setCode(e.target.value)} />
        </div>
      ) : null}
      <button id="login" className="button main wide" type="submit" disabled={pending || wait > 0} aria-busy={pending}>
        {pending ? 'Checking…' : wait ? `Try again in ${wait} s` : 'Continue'}
      </button>
      <button type="button" className="quiet wide" onClick={() => send(again())}>
        Back to the password
      </button>
    </Frame>
  );
}

export function Secret({ secret, url }: { secret: string; url: string }) {
  return (
    <div className="secret">
      <p>
        Open your authenticator app and add this key, or <a href={url}>open it on this device</a>.
      </p>
      <code id="secret">{secret.match(/.{1,4}/g)?.join(' ')}</code>
    </div>
  );
}

function RenewForm({ oldPassword }: { oldPassword: string }) {
  const { pending, problem, username } = useApp((s) => s.login);
  const send = useSend();
  const wait = useWait();
  const [fresh, setFresh] = useState({ first: '', second: '' });
  const [code, setCode] = useState('');
  const [unlike, setUnlike] = useState(false);

  function submit(event: FormEvent) {
    event.preventDefault();
    setUnlike(fresh.first !== fresh.second);
    if (fresh.first && fresh.first === fresh.second && !pending && !wait) void send(renewPassword({ oldPassword, newPassword: fresh.first, code: code.trim() }));
  }
  return (
    <Frame title="Choose a new password" id="renew-form" onSubmit={submit}>
      <p>Your password has expired and must be changed.</p>
      <Whose username={username} />
      <NewPassword fresh={fresh} setFresh={setFresh} unlike={unlike} />
      {problem?.reason === 'mfa_required' || code ? (
        <div className="field">
          <label htmlFor="otp">Code from your authenticator app, or a recovery code</label>
          <input id="otp" autoComplete="one-time-code" value={code} onChange={(e) => setCode(e.target.value)} />
        </div>
      ) : null}
      <button id="login" className="button main wide" type="submit" disabled={pending || wait > 0} aria-busy={pending}>
        {wait ? `Try again in ${wait} s` : 'Change the password and sign in'}
      </button>
      <button type="button" className="quiet wide" onClick={() => send(again())}>
        Back
      </button>
    </Frame>
  );
}

interface Fresh {
  first: string;
  second: string;
}

/** Tells password managers whose password a form is about. */
export function Whose({ username }: { username: string }) {
  return <input type="text" autoComplete="username" value={username} readOnly hidden />;
}

/** A new password, twice. */
export function NewPassword({ fresh, setFresh, unlike }: { fresh: Fresh; setFresh: (fresh: Fresh) => void; unlike: boolean }) {
  return (
    <>
      <div className="field">
        <label htmlFor="new-password">New password</label>
        <input
          id="new-password"
          type="password"
          autoComplete="new-password"
          value={fresh.first}
          onChange={(e) => setFresh({ ...fresh, first: e.target.value })}
          aria-describedby="new-password-rule"
        />
        <p className="small" id="new-password-rule">
          A sentence of several words is long and easy to remember.
        </p>
      </div>
      <div className="field">
        <label htmlFor="new-password-again">New password, again</label>
        <input
          id="new-password-again"
          type="password"
          autoComplete="new-password"
          value={fresh.second}
          onChange={(e) => setFresh({ ...fresh, second: e.target.value })}
          aria-invalid={unlike}
          aria-describedby={unlike ? 'unlike' : undefined}
        />
        {unlike ? (
          <p className="wrong" id="unlike">
            The two are not the same.
          </p>
        ) : null}
      </div>
    </>
  );
}
