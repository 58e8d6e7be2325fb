import { createSlice, type PayloadAction } from '@reduxjs/toolkit';
import type { Problem } from '../api/problem';
import type { Tokens } from './tokens';

/** Why nobody is signed in, where that needs a word. */
export type Notice = 'signed-out' | 'signed-out-elsewhere' | 'ended' | 'logout-unheard';

export interface SessionState {
  /** starting: the other tabs are asked whether somebody is signed in. */
  phase: 'starting' | 'out' | 'in';
  tokens: Tokens | null;
  notice: Notice | null;
  refreshing: boolean;
  /** Why the last refresh did not come through; the session goes on, it is tried again. */
  trouble: Problem | null;
}

const initialState: SessionState = { phase: 'starting', tokens: null, notice: null, refreshing: false, trouble: null };

const slice = createSlice({
  name: 'session',
  initialState,
  reducers: {
    nobody: (state) => {
      if (state.phase === 'starting') state.phase = 'out';
    },
    signedIn: (_, { payload }: PayloadAction<Tokens>) => ({ ...initialState, phase: 'in' as const, tokens: payload }),
    refreshBegun: (state) => {
      state.refreshing = true;
    },
    refreshed: (state, { payload }: PayloadAction<Tokens>) => {
      if (state.tokens?.sessionId !== payload.sessionId) return;
      state.tokens = payload;
      state.refreshing = false;
      state.trouble = null;
    },
    refreshFailed: (state, { payload }: PayloadAction<Problem>) => {
      state.refreshing = false;
      state.trouble = payload;
    },
    signedOut: (_, { payload }: PayloadAction<Notice>) => ({ ...initialState, phase: 'out' as const, notice: payload }),
    noticeRead: (state) => {
      state.notice = null;
    },
  },
});

export const { nobody, signedIn, refreshBegun, refreshed, refreshFailed, signedOut, noticeRead } = slice.actions;
export const sessionReducer = slice.reducer;
