import { useEffect, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { again, login, sendCode } from '../session/login';
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
      <main className="door">{step === 'code' ? <CodeForm /> : <PasswordForm />}</main>
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

function PasswordForm() {
  const { pending, username: known } = useApp((s) => s.login);
  const send = useSend();
  const wait = useWait();
  const [username, setUsername] = useState(known);
  const [password, setPassword] = useState('');
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

function CodeForm() {
  const { pending } = useApp((s) => s.login);
  const send = useSend();
  const wait = useWait();
  const [code, setCode] = useState('');
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  function submit(event: FormEvent) {
    event.preventDefault();
    const otp = code.replace(/\s/g, '');
    if (!otp) field.current?.focus();
    else if (!pending && !wait) void send(sendCode({ otp }));
  }
  return (
    <Frame title="One more step" id="login-form" onSubmit={submit}>
      <div className="field">
        <label htmlFor="otp">Code from your authenticator app, or a recovery code</label>
        <input id="otp" name="otp" autoComplete="one-time-code" autoCapitalize="none" spellCheck={false} maxLength={64} ref={field} value={code} onChange={(e) => setCode(e.target.value)} />
      </div>
      <button id="login" className="button main wide" type="submit" disabled={pending || wait > 0} aria-busy={pending}>
        {pending ? 'Checking…' : wait ? `Try again in ${wait} s` : 'Continue'}
      </button>
      <button type="button" className="quiet wide" onClick={() => send(again())}>
        Back to the password
      </button>
    </Frame>
  );
}
