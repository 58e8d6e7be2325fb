import { createAsyncThunk, createSlice, type PayloadAction } from '@reduxjs/toolkit';
import { ofForm, problemOf, type Problem } from '../api/problem';
import { good } from '../api/transport';
import type { Thunk, ThunkDeps } from '../store';
import { signedIn } from './slice';
import type { LoginAnswer } from './tokens';

/**
 * How far a login is:
 *
 *   password ──▶ in
 *      ├─ mfa_required ──▶ code     one-time or recovery code ──▶ in
 *      │                ├▶ device   confirmed or read off on another device ──▶ in
 *      │                └▶ enrol    a second factor must be set up first; its first code ──▶ in
 *      └─ password_expired ──▶ renew  a new password ──▶ password, by itself
 */
export type Step = 'password' | 'code' | 'device' | 'enrol' | 'renew';

export interface LoginState {
  step: Step;
  pending: boolean;
  problem: Problem | null;
  /** Milliseconds of this device's clock before which another attempt is refused anyway. */
  waitUntil: number;
  /** Kept for the next login in this tab; a user name is no secret. */
  username: string;
  mfaToken: string;
  /** device: what the challenge said; `prompt` asks for a code that the other device shows. */
  oobCode: string;
  prompt: boolean;
  /** enrol: the secret for the authenticator app, until the login is through. */
  secret: string;
  secretUrl: string;
}

const initialState: LoginState = {
  step: 'password',
  pending: false,
  problem: null,
  waitUntil: 0,
  username: '',
  mfaToken: '',
  oobCode: '',
  prompt: false,
  secret: '',
  secretUrl: '',
};

const post = async (extra: ThunkDeps, path: string, json: unknown) => good(await extra.transport({ method: 'POST', path, json }));
const enter = async (extra: ThunkDeps, path: string, json: unknown) => extra.keeper().signIn((await (await post(extra, path, json)).json()) as LoginAnswer);

export const login = createAsyncThunk<null, { username: string; password: string }, Thunk>('login/password', async (body, { extra, dispatch, rejectWithValue }) => {
  try {
    await enter(extra, '/auth/v1/login', body);
    return null;
  } catch (error) {
    const problem = problemOf(error);
    try {
      if (problem.reason === 'mfa_required' && problem.mfaToken) await goOn(problem, extra, dispatch);
    } catch (second) {
      return rejectWithValue(problemOf(second));
    }
    return rejectWithValue(problem);
  }
});

/** What the second step needs before the user can do anything. */
async function goOn({ mfaToken = '', methods = [] }: Problem, extra: ThunkDeps, dispatch: (action: unknown) => unknown): Promise<void> {
  const text = (body: unknown, name: string) => String((body as Record<string, unknown>)[name] ?? '');
  if (methods.includes('enrol')) {
    const body = await (await post(extra, '/auth/v1/mfa/totp', { mfa_token: mfaToken })).json();
    dispatch(next({ step: 'enrol', mfaToken, secret: text(body, 'secret'), secretUrl: text(body, 'otpauth_url') }));
  } else if (methods.includes('oob') && !methods.includes('otp')) {
    const body = await (await post(extra, '/auth/v1/mfa/challenge', { mfa_token: mfaToken, challenge_type: 'oob' })).json();
    dispatch(next({ step: 'device', mfaToken, oobCode: text(body, 'oob_code'), prompt: text(body, 'binding_method') === 'prompt' }));
  } else {
    dispatch(next({ step: 'code', mfaToken }));
  }
}

/** One-time codes are digits, recovery codes are more. */
export const proof = (code: string) => (/^\d{6,8}$/.test(code) ? { otp: code } : { recovery_code: code });

/** The code of the second step; empty where another device confirms without one. */
export const sendCode = createAsyncThunk<null, { code: string }, Thunk>('login/code', async ({ code }, { extra, getState, rejectWithValue }) => {
  const { step, mfaToken, oobCode } = getState().login;
  const given = step === 'device' ? { oob_code: oobCode, ...(code ? { binding_code: code } : {}) } : proof(code);
  try {
    await enter(extra, '/auth/v1/mfa/verify', { mfa_token: mfaToken, ...given });
    return null;
  } catch (error) {
    return rejectWithValue(problemOf(error));
  }
});

/** An expired password is replaced by its owner; then the login goes on with the new one. */
export const renewPassword = createAsyncThunk<null, { oldPassword: string; newPassword: string; code: string }, Thunk>(
  'login/renew',
  async ({ oldPassword, newPassword, code }, { extra, dispatch, getState, rejectWithValue }) => {
    const { username } = getState().login;
    try {
      await post(extra, '/auth/v1/password/change', { username, old_password: oldPassword, new_password: newPassword, ...(code ? proof(code) : {}) });
    } catch (error) {
      return rejectWithValue(problemOf(error));
    }
    await dispatch(login({ username, password: newPassword }));
    return null;
  },
);

const failed = (state: LoginState, { payload }: { payload?: Problem }) => {
  const problem = ofForm(payload ?? { reason: 'internal', status: 0 });
  state.pending = false;
  state.problem = problem;
  if (problem.status === 429 || problem.retryAfter) state.waitUntil = Date.now() + (problem.retryAfter ?? 5) * 1000;
  // the second step itself ran out: only the password helps
  if (problem.reason === 'mfa_token_invalid') Object.assign(state, { step: 'password', mfaToken: '', oobCode: '', secret: '', secretUrl: '' });
};
const waiting = (state: LoginState) => {
  state.pending = true;
  state.problem = null;
};

const slice = createSlice({
  name: 'login',
  initialState,
  reducers: {
    again: (state) => ({ ...initialState, username: state.username }),
    next: (state, { payload }: PayloadAction<Partial<LoginState>>) => ({ ...state, ...payload }),
  },
  extraReducers: (builder) => {
    builder
      .addCase(login.pending, (state, { meta }) => ({ ...initialState, username: meta.arg.username, pending: true, waitUntil: state.waitUntil }))
      .addCase(login.rejected, (state, action) => {
        failed(state, action);
        if (state.step !== 'password') state.problem = null; // it goes on
        if (action.payload?.reason === 'password_expired') state.step = 'renew';
      })
      .addCase(sendCode.pending, waiting)
      .addCase(sendCode.rejected, failed)
      .addCase(renewPassword.pending, waiting)
      .addCase(renewPassword.rejected, failed)
      .addCase(signedIn, (state) => ({ ...initialState, username: state.username }));
  },
});

export const { again, next } = slice.actions;
export const loginReducer = slice.reducer;
