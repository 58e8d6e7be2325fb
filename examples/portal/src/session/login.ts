import { createAsyncThunk, createSlice } from '@reduxjs/toolkit';
import { problemOf, type Problem } from '../api/problem';
import { good } from '../api/transport';
import type { Thunk } from '../store';
import { signedIn } from './slice';
import type { LoginAnswer } from './tokens';

export interface LoginState {
  step: 'password' | 'code';
  pending: boolean;
  problem: Problem | null;
  /** Milliseconds of this device's clock before which another attempt is refused anyway. */
  waitUntil: number;
  /** Kept for the next login in this tab; a user name is no secret. */
  username: string;
  mfaToken: string;
}

const initialState: LoginState = { step: 'password', pending: false, problem: null, waitUntil: 0, username: '', mfaToken: '' };

export const login = createAsyncThunk<void, { username: string; password: string }, Thunk>('login/password', async (body, { extra, rejectWithValue }) => {
  try {
    const reply = await good(await extra.transport({ method: 'POST', path: '/auth/v1/login', json: body }));
    extra.keeper().signIn((await reply.json()) as LoginAnswer);
    return undefined;
  } catch (error) {
    return rejectWithValue(problemOf(error));
  }
});

export const sendCode = createAsyncThunk<void, { otp: string }, Thunk>('login/code', async ({ otp }, { extra, getState, rejectWithValue }) => {
  try {
    const json = { mfa_token: getState().login.mfaToken, otp };
    const reply = await good(await extra.transport({ method: 'POST', path: '/auth/v1/mfa/verify', json }));
    extra.keeper().signIn((await reply.json()) as LoginAnswer);
    return undefined;
  } catch (error) {
    return rejectWithValue(problemOf(error));
  }
});

const waiting = (state: LoginState, problem: Problem) => {
  state.pending = false;
  state.problem = problem;
  if (problem.status === 429 || problem.retryAfter) state.waitUntil = Date.now() + (problem.retryAfter ?? 5) * 1000;
};

const slice = createSlice({
  name: 'login',
  initialState,
  reducers: {
    again: (state) => ({ ...initialState, username: state.username }),
  },
  extraReducers: (builder) => {
    builder
      .addCase(login.pending, (state, { meta }) => ({ ...initialState, username: meta.arg.username, pending: true, waitUntil: state.waitUntil }))
      .addCase(login.rejected, (state, { payload }) => {
        const problem = payload ?? { reason: 'internal', status: 0 };
        waiting(state, problem);
        if (problem.reason === 'mfa_required' && problem.mfaToken) {
          Object.assign(state, { step: 'code', mfaToken: problem.mfaToken, problem: null });
        }
      })
      .addCase(sendCode.pending, (state) => {
        state.pending = true;
        state.problem = null;
      })
      .addCase(sendCode.rejected, (state, { payload }) => {
        const problem = payload ?? { reason: 'internal', status: 0 };
        waiting(state, problem);
        // the step itself ran out: only the password helps
        if (problem.reason === 'mfa_token_invalid') Object.assign(state, { step: 'password', mfaToken: '' });
      })
      .addCase(signedIn, (state) => ({ ...initialState, username: state.username }));
  },
});

export const { again } = slice.actions;
export const loginReducer = slice.reducer;
