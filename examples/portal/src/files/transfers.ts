import { createAsyncThunk, createSlice, nanoid, type PayloadAction } from '@reduxjs/toolkit';
import { filePath, gate } from '../api/gate';
import { ofUpload, problemOf, type Problem } from '../api/problem';
import { signedIn, signedOut } from '../session/slice';
import type { Thunk } from '../store';

export interface Transfer {
  id: string;
  name: string;
  way: 'up' | 'down';
  done: number;
  /** Bytes; 0 where it is not known. */
  total: number;
  state: 'running' | 'done' | 'failed';
  problem: Problem | null;
}

/** Running transfers that can be cancelled. Controllers are no state: they do not lie in the store. */
const controllers = new Map<string, AbortController>();

type Start = { id: string; name: string; total: number };

function transfer<A>(type: string, start: (arg: A) => Start, work: (arg: A, id: string, deps: { tell: (done: number, total: number) => void; signal: AbortSignal }, extra: Thunk['extra']) => Promise<void>, way: Transfer['way']) {
  return createAsyncThunk<void, A, Thunk>(type, async (arg, { dispatch, extra, rejectWithValue }) => {
    const { id, name, total } = start(arg);
    const controller = new AbortController();
    controllers.set(id, controller);
    dispatch(begun({ id, name, way, total, done: 0, state: 'running', problem: null }));
    let told = 0;
    const tell = (done: number, of: number) => {
      if (extra.clock.now() - told < 80 && done !== of) return; // a bar needs no more
      told = extra.clock.now();
      dispatch(moved({ id, done, total: of }));
    };
    try {
      await work(arg, id, { tell, signal: controller.signal }, extra);
      dispatch(over({ id, problem: null }));
      if (way === 'up') dispatch(gate.util.invalidateTags(['Files']));
      return undefined;
    } catch (error) {
      const problem = way === 'up' ? ofUpload(problemOf(error)) : problemOf(error);
      dispatch(problem.reason === 'cancelled' ? dismissed(id) : over({ id, problem }));
      return rejectWithValue(problem);
    } finally {
      controllers.delete(id);
    }
  });
}

export const upload = transfer<File>(
  'transfers/upload',
  (file) => ({ id: nanoid(8), name: file.name, total: file.size }),
  async (file, _id, { tell, signal }, { call }) => {
    await call({ method: 'PUT', path: filePath(file.name), body: file, onProgress: tell, signal });
  },
  'up',
);

export const download = transfer<{ name: string; size: number }>(
  'transfers/download',
  ({ name, size }) => ({ id: nanoid(8), name, total: size }),
  async ({ name }, _id, { tell, signal }, { call, save }) => {
    const reply = await call({ method: 'GET', path: filePath(name), onProgress: tell, signal });
    save(name, await reply.blob());
  },
  'down',
);

export const cancel = (id: string) => controllers.get(id)?.abort();

const slice = createSlice({
  name: 'transfers',
  initialState: [] as Transfer[],
  reducers: {
    begun: (state, { payload }: PayloadAction<Transfer>) => {
      state.push(payload);
    },
    moved: (state, { payload }: PayloadAction<{ id: string; done: number; total: number }>) => {
      const t = state.find(({ id }) => id === payload.id);
      if (t) Object.assign(t, { done: payload.done, total: payload.total || t.total });
    },
    over: (state, { payload }: PayloadAction<{ id: string; problem: Problem | null }>) => {
      const t = state.find(({ id }) => id === payload.id);
      if (t) Object.assign(t, { state: payload.problem ? 'failed' : 'done', problem: payload.problem, done: payload.problem ? t.done : t.total });
    },
    dismissed: (state, { payload }: PayloadAction<string>) => state.filter(({ id }) => id !== payload),
  },
  extraReducers: (builder) => builder.addCase(signedIn, () => []).addCase(signedOut, () => []),
});

export const { begun, moved, over, dismissed } = slice.actions;
export const transfersReducer = slice.reducer;
