import { describe, expect, it } from 'vitest';
import { Refused } from '../src/api/problem';
import { problem, settle, world } from './world';

const get = { method: 'GET', path: '/api/storage/files' };
const reasonOf = async (p: Promise<unknown>) => p.then(() => 'fine', (e) => (e as Refused).problem.reason);

describe('refresh', () => {
  it('happens before the access token ends, and again', async () => {
    const { keeper, server, clock, store } = world();
    keeper.signIn(server.tokens());
    await clock.turn(239_000);
    expect(server.refreshes).toBe(0);
    await clock.turn(2_000);
    expect(server.refreshes).toBe(1);
    expect(store.getState().session.tokens).toMatchObject({ generation: 1, sessionId: 's1' });
    await clock.turn(300_000);
    expect(server.refreshes).toBe(2);
    expect(store.getState().session.phase).toBe('in');
  });

  it('is one for many calls at once', async () => {
    const { keeper, server, clock, call } = world();
    keeper.signIn(server.tokens());
    server.refuseAll();
    const calls = Promise.all(Array.from({ length: 20 }, () => call(get)));
    await clock.turn(1_000);
    expect((await calls).map((r) => r.status)).toEqual(Array(20).fill(200));
    expect(server.refreshes).toBe(1);
  });

  it('is not asked for by a call that was refused with the token before', async () => {
    const { keeper, server, clock, call } = world();
    keeper.signIn(server.tokens());
    let release = () => {};
    const slow = new Promise<void>((resolve) => (release = resolve));
    server.answer = async (r) => (r.path === '/api/slow' && r.token === 'access-2' ? (await slow, problem(401, 'token_expired')) : undefined);
    const late = call({ method: 'GET', path: '/api/slow' });
    await settle();
    server.refuseAll();
    const early = call(get);
    await clock.turn(1_000);
    await early;
    release();
    expect((await late).status).toBe(200);
    expect(server.refreshes).toBe(1);
  });

  it('goes before a call whose token is over, however the clock was set', async () => {
    const { keeper, server, clock, call } = world();
    keeper.signIn(server.tokens()); // the answer's expires_at is decades ahead of this clock
    server.answer = (r) => (r.path === get.path && r.token === 'access-2' ? problem(500, 'must not be asked') : undefined);
    clock.time += 299_500; // the device slept: no timer ran
    const answer = call(get);
    await clock.turn(1_000);
    expect((await answer).status).toBe(200);
    expect(server.refreshes).toBe(1);
  });

  it('is tried again when the server was down, as late as it asks for, and the session goes on', async () => {
    const { keeper, server, clock, store, call } = world();
    keeper.signIn(server.tokens());
    let down = true;
    server.answer = (r) => (down && r.path === '/auth/v1/refresh' ? problem(503, 'store_unavailable', {}, { 'Retry-After': '30' }) : undefined);
    await clock.turn(241_000);
    expect(store.getState().session).toMatchObject({ phase: 'in', trouble: { reason: 'store_unavailable', retryAfter: 30 } });
    const asked = () => server.requests.filter((r) => r.path === '/auth/v1/refresh').length;
    expect(asked()).toBe(1);
    await clock.turn(25_000);
    expect(asked()).toBe(1);
    expect((await call(get)).status).toBe(200); // the present token still lives
    down = false;
    await clock.turn(10_000);
    expect(asked()).toBe(2);
    expect(store.getState().session).toMatchObject({ phase: 'in', trouble: null, tokens: { generation: 1 } });
  });

  it('comes at once when the network is back', async () => {
    const { keeper, server, clock, store } = world();
    keeper.signIn(server.tokens());
    server.answer = (r) => { if (r.path === '/auth/v1/refresh') throw new Refused({ reason: 'offline', status: 0 }); return undefined; };
    await clock.turn(270_000);
    expect(store.getState().session.trouble?.reason).toBe('offline');
    server.answer = null;
    keeper.wake();
    await clock.turn(200);
    expect(store.getState().session.trouble).toBeNull();
  });
});

describe('a call', () => {
  it('is sent once more after 401, never twice', async () => {
    const { keeper, server, clock, call } = world();
    keeper.signIn(server.tokens());
    server.answer = (r) => (r.path === get.path ? problem(401, 'audience_mismatch') : undefined);
    const answer = reasonOf(call(get));
    await clock.turn(1_000);
    expect(await answer).toBe('audience_mismatch');
    expect(server.requests.filter((r) => r.path === get.path)).toHaveLength(2);
    expect(server.refreshes).toBe(1);
  });

  it('is not repeated after 403 or 503', async () => {
    const { keeper, server, call } = world();
    keeper.signIn(server.tokens());
    for (const [status, reason] of [[403, 'scope_insufficient'], [503, 'no_instance']] as const) {
      server.answer = () => problem(status, reason);
      expect(await reasonOf(call(get))).toBe(reason);
    }
    expect(server.requests).toHaveLength(2);
  });

  it('without a session says so and asks nobody', async () => {
    const { server, call } = world();
    expect(await reasonOf(call(get))).toBe('session_ended');
    expect(server.requests).toHaveLength(0);
  });
});

describe('the end of a session', () => {
  it('is told when the server knows it no more', async () => {
    const { keeper, server, clock, store, call } = world();
    keeper.signIn(server.tokens());
    server.sessions.clear();
    server.refuseAll();
    const answer = reasonOf(call(get));
    await clock.turn(1_000);
    expect(await answer).toBe('session_ended');
    expect(store.getState().session).toMatchObject({ phase: 'out', notice: 'ended', tokens: null });
  });

  it('by logout reaches the server with the refresh token, and keeps nothing', async () => {
    const { keeper, server, store, clock } = world();
    keeper.signIn(server.tokens());
    await keeper.signOut();
    expect(server.requests[0]).toMatchObject({ path: '/auth/v1/logout', json: { refresh_token: 'refresh-2' } });
    expect(store.getState().session).toMatchObject({ phase: 'out', notice: 'signed-out', tokens: null });
    expect(JSON.stringify(store.getState())).not.toMatch(/access-|refresh-\d/);
    await clock.turn(600_000);
    expect(server.refreshes).toBe(0);
  });

  it('by logout happens here even when the server does not hear it, and says that', async () => {
    const { keeper, server, store } = world();
    keeper.signIn(server.tokens());
    server.answer = () => { throw new Refused({ reason: 'offline', status: 0 }); };
    await keeper.signOut();
    expect(store.getState().session).toMatchObject({ phase: 'out', notice: 'logout-unheard', tokens: null });
  });

  it('during a refresh wins: the late answer signs nobody in', async () => {
    const { keeper, server, store, clock } = world();
    keeper.signIn(server.tokens());
    let release = () => {};
    const slow = new Promise<void>((resolve) => (release = resolve));
    server.answer = async (r) => { if (r.path === '/auth/v1/refresh') await slow; return undefined; };
    const renewed = reasonOf(keeper.renew('access-2'));
    await clock.turn(500);
    await keeper.signOut();
    release();
    expect(await renewed).toBe('session_ended');
    expect(store.getState().session).toMatchObject({ phase: 'out', notice: 'signed-out', tokens: null });
  });
});

describe('several tabs', () => {
  it('share a login: a new tab gets the session of an old one, and a sign-in reaches a waiting one', async () => {
    const w = world();
    await Promise.all([w.keeper.start(), w.clock.turn(1_000)]);
    expect(w.store.getState().session.phase).toBe('out');
    w.keeper.signIn(w.server.tokens());
    const second = w.tab();
    await Promise.all([second.keeper.start(), w.clock.turn(1_000)]);
    expect(second.store.getState().session.tokens).toEqual(w.store.getState().session.tokens);
  });

  for (const locks of [true, false]) {
    it(`refresh ${locks ? 'once between them' : 'without locks with the same token, which the grace window of the server allows'}`, async () => {
      const w = world({ locks });
      const second = w.tab();
      w.keeper.signIn(w.server.tokens());
      await settle();
      await w.clock.turn(245_000);
      if (locks) expect(w.server.refreshes).toBe(1);
      else expect(new Set(w.server.requests.map((r) => JSON.stringify(r.json))).size).toBe(1);
      for (const { store } of [w, second]) expect(store.getState().session).toMatchObject({ phase: 'in', tokens: { generation: 1 } });
    });
  }

  it('that slept do not send a refresh token that another tab has used', async () => {
    const w = world();
    w.keeper.signIn(w.server.tokens());
    const sleeper = w.tab();
    await Promise.all([sleeper.keeper.start(), w.clock.turn(1_000)]);
    const old = sleeper.store.getState().session.tokens!;
    await w.clock.turn(245_000);
    // it heard nothing while it slept
    sleeper.store.dispatch({ type: 'session/signedIn', payload: old });
    const renewed = sleeper.keeper.renew(old.access);
    await w.clock.turn(1_000);
    expect(await renewed).toBe(w.store.getState().session.tokens!.access);
    expect(w.server.refreshes).toBe(1);
  });

  it('end together, and what they had loaded is gone', async () => {
    const w = world();
    const second = w.tab();
    w.keeper.signIn(w.server.tokens());
    await settle();
    expect(second.store.getState().session.phase).toBe('in');
    await w.keeper.signOut();
    await settle();
    expect(second.store.getState().session).toMatchObject({ phase: 'out', notice: 'signed-out-elsewhere', tokens: null });
  });

  it('do not end for the logout of another session', async () => {
    const w = world();
    w.keeper.signIn(w.server.tokens());
    const tab = w.browser.tab();
    tab.say({ kind: 'logout', sessionId: 'another', why: 'ended' });
    await settle();
    expect(w.store.getState().session.phase).toBe('in');
  });
});

