import { configureStore, createListenerMiddleware, isAnyOf } from '@reduxjs/toolkit';
import { makeCall, type Call } from './api/client';
import { gate } from './api/gate';
import type { Transport } from './api/transport';
import { transfersReducer } from './files/transfers';
import { Keeper, type Clock } from './session/keeper';
import { loginReducer } from './session/login';
import { sessionReducer, signedIn, signedOut } from './session/slice';
import type { Tabs } from './session/tabs';

/** What the store gets from outside; tests hand in their own. */
export interface StoreDeps {
  transport: Transport;
  tabs: Tabs;
  clock: Clock;
  /** Hands a downloaded file to the user. */
  save(name: string, content: Blob): void;
}

/** What thunks and queries see. */
export interface ThunkDeps extends StoreDeps {
  call: Call;
  keeper(): Keeper;
}

export function makeStore(deps: StoreDeps) {
  let keeper: Keeper;
  const extra: ThunkDeps = { ...deps, keeper: () => keeper, call: (request) => call(request) };
  // What one user saw is not the next one's.
  const listener = createListenerMiddleware();
  listener.startListening({ matcher: isAnyOf(signedIn, signedOut), effect: (_, api) => void api.dispatch(gate.util.resetApiState()) });
  const store = configureStore({
    reducer: { session: sessionReducer, login: loginReducer, transfers: transfersReducer, [gate.reducerPath]: gate.reducer },
    middleware: (defaults) =>
      defaults({ thunk: { extraArgument: extra }, serializableCheck: { ignoredActionPaths: ['meta.arg', 'meta.baseQueryMeta'] } })
        .prepend(listener.middleware)
        .concat(gate.middleware),
    devTools: import.meta.env?.DEV === true, // the extension would show tokens
  });
  keeper = new Keeper({ ...deps, session: () => store.getState().session, dispatch: (action) => void store.dispatch(action) });
  const call = makeCall(keeper, deps.transport);
  return { store, keeper, call };
}

export type AppStore = ReturnType<typeof makeStore>['store'];
export type State = ReturnType<AppStore['getState']>;
export type Dispatch = AppStore['dispatch'];
/** The type parameters of a thunk. */
export interface Thunk {
  state: State;
  extra: ThunkDeps;
  rejectValue: import('./api/problem').Problem;
}
