// Password and second factor, where the tenant keeps them here and not at an identity provider.
import { useState, type FormEvent } from 'react';
import { useDispatch } from 'react-redux';
import { gate, useSecondFactorQuery } from '../api/gate';
import { proof } from '../session/login';
import { useAsk, useIdentity } from './hooks';
import { Alert, Note } from './parts';
import { NewPassword, Secret, Whose } from './SignIn';

export function SecurityCards() {
  const { data, error } = useSecondFactorQuery();
  if (error && 'reason' in error && error.reason === 'idp_managed') {
    return (
      <section className="card" aria-labelledby="security-title">
        <h2 id="security-title">Password and second factor</h2>
        <p>Both are managed by the login service of your organisation. Please change them there.</p>
      </section>
    );
  }
  if (!data) return null;
  return (
    <>
      <PasswordCard />
      {data.policy === 'off' ? null : <SecondFactorCard on={data.totp} left={data.recovery_codes} removable={data.policy !== 'required'} />}
    </>
  );
}

function Field({ id, label, value, onChange, secret = false, code = false }: { id: string; label: string; value: string; onChange: (value: string) => void; secret?: boolean; code?: boolean }) {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type={secret ? 'password' : 'text'}
        autoComplete={secret ? 'current-password' : code ? 'one-time-code' : 'off'}
        autoCapitalize="none"
        spellCheck={false}
        value={value}
        onChange={(e) => onChange(e.target.value)}
      />
    </div>
  );
}

function PasswordCard() {
  const { pending, problem, ask } = useAsk();
  const { username } = useIdentity();
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState({ first: '', second: '' });
  const [unlike, setUnlike] = useState(false);
  const [done, setDone] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setDone(false);
    setUnlike(fresh.first !== fresh.second);
    if (pending || !old || !fresh.first || fresh.first !== fresh.second) return;
    if (await ask('/auth/v1/password/change', { old_password: old, new_password: fresh.first })) {
      setDone(true);
      setOld('');
      setFresh({ first: '', second: '' });
    }
  }
  return (
    <form id="password-form" className="card" noValidate onSubmit={(e) => void submit(e)} aria-labelledby="password-title">
      <h2 id="password-title">Change the password</h2>
      {problem ? <Alert problem={problem} focus /> : null}
      {done ? <Note>The password is changed. Your other sessions have ended.</Note> : null}
      <Whose username={username} />
      <Field id="old-password" label="Present password" secret value={old} onChange={setOld} />
      <NewPassword fresh={fresh} setFresh={setFresh} unlike={unlike} />
      <button id="change-password" className="button" disabled={pending} aria-busy={pending}>
        Change the password
      </button>
    </form>
  );
}

type Setup = { step: 'closed' | 'password' | 'remove' } | { step: 'secret'; secret: string; url: string } | { step: 'codes'; codes: string[] };

function SecondFactorCard({ on, left, removable }: { on: boolean; left: number; removable: boolean }) {
  const { pending, problem, ask } = useAsk();
  const { username } = useIdentity();
  const dispatch = useDispatch();
  const [setup, setSetup] = useState<Setup>({ step: 'closed' });
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const { step } = setup;

  function open(next: Setup) {
    setSetup(next);
    setPassword('');
    setCode('');
  }
  async function submit(event: FormEvent) {
    event.preventDefault();
    if (pending) return;
    const given = code.replace(/\s/g, '');
    if (step === 'password') {
      const body = await ask('/auth/v1/mfa/totp', { password });
      if (body) open({ step: 'secret', secret: String(body.secret), url: String(body.otpauth_url) });
    } else if (step === 'secret') {
      const body = await ask('/auth/v1/mfa/totp/confirm', { otp: given });
      if (body) open({ step: 'codes', codes: (body.recovery_codes as string[]) ?? [] });
    } else if (step === 'remove' && (await ask('/auth/v1/mfa/totp/remove', { password, ...proof(given) }))) {
      open({ step: 'closed' });
    }
    if (step !== 'password') dispatch(gate.util.invalidateTags(['SecondFactor']));
  }
  return (
    <form id="factor-form" className="card" noValidate onSubmit={(e) => void submit(e)} aria-labelledby="factor-title">
      <h2 id="factor-title">
        Second factor <span className={on ? 'badge good' : 'badge'}>{on ? 'on' : 'off'}</span>
      </h2>
      <p className="soft">{on ? `Signing in asks for a code, too. ${left} recovery codes are left.` : 'A code of an authenticator app protects your account even when somebody knows the password.'}</p>
      {problem ? <Alert problem={problem} focus /> : null}
      <Whose username={username} />
      {setup.step === 'secret' ? <Secret secret={setup.secret} url={setup.url} /> : null}
      {setup.step === 'codes' ? (
        <div className="secret">
          <p>
            <strong>Keep these recovery codes.</strong> Each one signs you in once when the app is lost. They are not shown again.
          </p>
          <ul id="recovery-codes" className="codes">
            {setup.codes.map((c) => (
              <li key={c}>
                <code>{c}</code>
              </li>
            ))}
          </ul>
        </div>
      ) : null}
      {step === 'password' || step === 'remove' ? <Field id="factor-password" label="Present password" secret value={password} onChange={setPassword} /> : null}
      {step === 'secret' || step === 'remove' ? <Field id="factor-code" label="Code that the app shows" code value={code} onChange={setCode} /> : null}
      {step === 'closed' ? (
        !on ? (
          <button type="button" id="factor-start" className="button" onClick={() => open({ step: 'password' })}>
            Set up
          </button>
        ) : removable ? (
          <button type="button" id="factor-remove" className="button danger" onClick={() => open({ step: 'remove' })}>
            Remove
          </button>
        ) : null
      ) : step === 'codes' ? (
        <button type="button" className="button" onClick={() => open({ step: 'closed' })}>
          I have kept them
        </button>
      ) : (
        <div className="buttons">
          <button id="factor-go" className={step === 'remove' ? 'button danger' : 'button main'} disabled={pending} aria-busy={pending}>
            {step === 'remove' ? 'Remove' : 'Continue'}
          </button>
          <button type="button" className="button" onClick={() => open({ step: 'closed' })}>
            Cancel
          </button>
        </div>
      )}
    </form>
  );
}
