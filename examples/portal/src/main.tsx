// The portal's start: the store, the keeper of its tokens, the pages.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Provider } from 'react-redux';
import { browserTransport } from './api/transport';
import { systemClock } from './session/keeper';
import { browserTabs } from './session/tabs';
import { makeStore } from './store';
import { App } from './ui/App';
import { Outside } from './ui/hooks';
import './ui/portal.css';

/** A download by the browser's own means. The content is never shown as a page of this origin. */
function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const { store, keeper, call } = makeStore({ transport: browserTransport, tabs: browserTabs(), clock: systemClock, save });
void keeper.start();
for (const event of ['online', 'focus', 'pageshow']) window.addEventListener(event, () => keeper.wake());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && keeper.wake());

createRoot(document.getElementById('portal')!).render(
  <StrictMode>
    <Provider store={store}>
      <Outside.Provider value={{ keeper, call }}>
        <App />
      </Outside.Provider>
    </Provider>
  </StrictMode>,
);
