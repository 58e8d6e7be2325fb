import { describe, expect, it } from 'vitest';
import { gate } from '../src/api/gate';
import { passing, retryAfter, sentence } from '../src/api/problem';
import { download, upload } from '../src/files/transfers';
import { login, renewPassword, sendCode } from '../src/session/login';
import { identityFrom, refreshAt, tokensFrom } from '../src/session/tokens';
import { file, jwt, problem, reply, Server, settle, world } from './world';

describe('login', () => {
  it('puts the tokens into the store and keeps no password', async () => {
    const { store } = world();
    await store.dispatch(login({ username: 'anna@clinicwave.com', password: 'right' }));
    expect(store.getState().session).toMatchObject({ phase: 'in', tokens: { access: 'access-2', refresh: 'refresh-2', sessionId: 's1' } });
    expect(JSON.stringify(store.getState())).not.toContain('"right"');
  });

  it('with a wrong password says so, and the user name stays', async () => {
    const { store } = world();
    await store.dispatch(login({ username: 'anna@clinicwave.com', password: 'wrong' }));
    expect(store.getState().login).toMatchObject({ pending: false, username: 'anna@clinicwave.com', problem: { reason: 'credentials_invalid' } });
    expect(store.getState().session.tokens).toBeNull();
  });

  it('that is throttled knows how long to wait', async () => {
    const { store, server } = world();
    server.answer = () => problem(429, 'throttled', {}, { 'Retry-After': '42' });
    const before = Date.now();
    await store.dispatch(login({ username: 'a', password: 'b' }));
    expect(store.getState().login.waitUntil).toBeGreaterThanOrEqual(before + 42_000);
    expect(sentence(store.getState().login.problem!)).toMatch(/wait/);
  });

  it('that the server cannot read is told as what was typed, not as a request or a file', async () => {
    for (const [status, reason] of [[400, 'request_malformed'], [413, 'request_too_large']] as const) {
      const { store, server } = world();
      server.answer = () => problem(status, reason);
      await store.dispatch(login({ username: 'a', password: 'x'.repeat(20_000) }));
      expect(sentence(store.getState().login.problem!)).toBe('What you entered is too long, or has characters that are not accepted.');
    }
  });

  it('with a second factor asks for the code, then is in', async () => {
    const { store, server } = world();
    server.answer = (r) =>
      r.path === '/auth/v1/login'
        ? problem(401, 'mfa_required', { mfa_token: 'step', methods: ['totp'] })
        : (r.json as { otp?: string }).otp === '123456'
          ? reply(200, server.tokens())
          : problem(401, 'mfa_invalid');
    await store.dispatch(login({ username: 'a', password: 'b' }));
    expect(store.getState().login).toMatchObject({ step: 'code', problem: null });
    await store.dispatch(sendCode({ code: '000000' }));
    expect(store.getState().login).toMatchObject({ step: 'code', problem: { reason: 'mfa_invalid' } });
    await store.dispatch(sendCode({ code: '123456' }));
    expect(server.requests.at(-1)).toMatchObject({ path: '/auth/v1/mfa/verify', json: { mfa_token: 'step', otp: '123456' } });
    expect(store.getState()).toMatchObject({ session: { phase: 'in' }, login: { step: 'password', mfaToken: '' } });
  });

  it('whose second step ran out goes back to the password', async () => {
    const { store, server } = world();
    server.answer = (r) => (r.path === '/auth/v1/login' ? problem(401, 'mfa_required', { mfa_token: 'step' }) : problem(401, 'mfa_token_invalid'));
    await store.dispatch(login({ username: 'a', password: 'b' }));
    await store.dispatch(sendCode({ code: 'abcd-efgh-ijkl' }));
    expect(server.requests.at(-1)!.json).toEqual({ mfa_token: 'step', recovery_code: 'abcd-efgh-ijkl' });
    expect(store.getState().login).toMatchObject({ step: 'password', mfaToken: '', problem: { reason: 'mfa_token_invalid' } });
  });

  it('that another device confirms waits for it', async () => {
    const { store, server } = world();
    let confirmed = false;
    server.answer = (r) => {
      if (r.path === '/auth/v1/login') return problem(401, 'mfa_required', { mfa_token: 'step', methods: ['oob'] });
      if (r.path === '/auth/v1/mfa/challenge') return reply(200, { challenge_type: 'oob', oob_code: 'o1' });
      return confirmed ? reply(200, server.tokens()) : problem(401, 'mfa_pending');
    };
    await store.dispatch(login({ username: 'a', password: 'b' }));
    expect(store.getState().login).toMatchObject({ step: 'device', prompt: false, problem: null });
    await store.dispatch(sendCode({ code: '' }));
    expect(store.getState().login).toMatchObject({ step: 'device', problem: { reason: 'mfa_pending' } });
    confirmed = true;
    await store.dispatch(sendCode({ code: '' }));
    expect(server.requests.at(-1)!.json).toEqual({ mfa_token: 'step', oob_code: 'o1' });
    expect(store.getState().session.phase).toBe('in');
  });

  it('of who must set up a second factor first shows the key and takes its first code', async () => {
    const { store, server } = world();
    server.answer = (r) => {
      if (r.path === '/auth/v1/login') return problem(401, 'mfa_required', { mfa_token: 'step', methods: ['enrol'] });
      if (r.path === '/auth/v1/mfa/totp') return reply(200, { secret: 'ABCD2345', otpauth_url: 'otpauth://totp/x' });
      return reply(200, server.tokens());
    };
    await store.dispatch(login({ username: 'a', password: 'b' }));
    expect(store.getState().login).toMatchObject({ step: 'enrol', secret: 'ABCD2345', problem: null });
    await store.dispatch(sendCode({ code: '123456' }));
    expect(store.getState()).toMatchObject({ session: { phase: 'in' }, login: { secret: '' } });
  });

  it('with an expired password asks for a new one, and goes on with it', async () => {
    const { store, server } = world();
    server.answer = (r) => {
      const body = r.json as Record<string, string>;
      if (r.path === '/auth/v1/login') return body.password === 'the new one' ? reply(200, server.tokens()) : problem(403, 'password_expired');
      return body.new_password === 'short' ? problem(422, 'password_too_short') : reply(204);
    };
    await store.dispatch(login({ username: 'a', password: 'old' }));
    expect(store.getState().login.step).toBe('renew');
    await store.dispatch(renewPassword({ oldPassword: 'old', newPassword: 'short', code: '' }));
    expect(store.getState().login).toMatchObject({ step: 'renew', problem: { reason: 'password_too_short' } });
    await store.dispatch(renewPassword({ oldPassword: 'old', newPassword: 'the new one', code: '' }));
    expect(server.requests.at(-2)!.json).toEqual({ username: 'a', old_password: 'old', new_password: 'the new one' });
    expect(store.getState().session.phase).toBe('in');
    expect(JSON.stringify(store.getState())).not.toContain('the new one');
  });
});

describe('data', () => {
  it('of one user is gone for the next', async () => {
    const { store, server, keeper } = world();
    keeper.signIn(server.tokens());
    server.answer = (r) => (r.path === '/api/storage/files' ? reply(200, [{ name: 'a.txt', size: 1, content_type: 'text/plain', modified: '' }]) : undefined);
    await store.dispatch(gate.endpoints.files.initiate());
    expect(JSON.stringify(store.getState().gate)).toContain('a.txt');
    await keeper.signOut();
    await settle();
    expect(JSON.stringify(store.getState().gate)).not.toContain('a.txt');
  });

  it('is uploaded with its type, with progress, and the list is asked for again', async () => {
    const { store, server, keeper } = world();
    keeper.signIn(server.tokens());
    await store.dispatch(gate.endpoints.files.initiate());
    server.answer = (r) => {
      if (r.method !== 'PUT') return undefined;
      r.onProgress?.(5, 10);
      expect(store.getState().transfers[0]).toMatchObject({ done: 5, total: 10, state: 'running', way: 'up' });
      return reply(201);
    };
    await store.dispatch(upload(file('0123456789', 'a b.txt', 'text/plain')));
    const put = server.requests.find((r) => r.method === 'PUT')!;
    expect(put.path).toBe('/api/storage/files/a%20b.txt');
    expect(put.body!.type).toBe('text/plain');
    expect(store.getState().transfers[0]).toMatchObject({ state: 'done', done: 10 });
    await settle();
    expect(server.requests.filter((r) => r.method === 'GET')).toHaveLength(2);
  });

  it('that is refused says why', async () => {
    const { store, server, keeper } = world();
    keeper.signIn(server.tokens());
    server.answer = () => problem(403, 'scope_insufficient');
    await store.dispatch(upload(file('x', 'a.txt')));
    expect(store.getState().transfers[0]).toMatchObject({ state: 'failed', problem: { reason: 'scope_insufficient' } });
  });

  it('whose name is not accepted is told so, whichever way it is refused', async () => {
    for (const [status, reason] of [[400, 'request_malformed'], [400, 'path_ambiguous'], [404, 'not_found'], [414, 'uri_too_long']] as const) {
      const { store, server, keeper } = world();
      keeper.signIn(server.tokens());
      server.answer = () => problem(status, reason);
      await store.dispatch(upload(file('x', '.hidden')));
      expect(sentence(store.getState().transfers[0]!.problem!)).toMatch(/^This file name has characters that are not accepted, or is too long/);
    }
    const { store, server, keeper } = world();
    keeper.signIn(server.tokens());
    server.answer = () => problem(413, 'request_too_large');
    await store.dispatch(upload(file('x', 'a.txt')));
    expect(sentence(store.getState().transfers[0]!.problem!)).toBe('The file is too large.');
  });

  it('is downloaded and handed to the browser', async () => {
    const { store, server, keeper, saved } = world();
    keeper.signIn(server.tokens());
    server.answer = (r) => {
      r.onProgress?.(5, 11);
      expect(store.getState().transfers[0]).toMatchObject({ done: 5, total: 11, state: 'running', way: 'down' });
      return reply(200, 'the content');
    };
    await store.dispatch(download({ name: 'a.txt', size: 11 }));
    expect(store.getState().transfers[0]).toMatchObject({ state: 'done', done: 11 });
    expect(saved[0]![0]).toBe('a.txt');
    expect(await saved[0]![1].text()).toBe('the content');
  });
});

describe('tokens', () => {
  it('end by this device’s clock and their own life, whatever the server’s clock says', () => {
    const server = new Server();
    const tokens = tokensFrom(server.tokens(), 5_000);
    expect(tokens.expiresAt).toBe(305_000);
    expect(refreshAt(tokens)).toBe(245_000);
    server.life = 10;
    expect(refreshAt(tokensFrom(server.tokens(), 0))).toBe(8_000);
  });

  it('say who it is, by our claims or by a provider’s with a name space, in any alphabet', () => {
    expect(identityFrom(jwt({ sub: 'u', name: 'Zoë Ångström', roles: ['doctor'], tenant: 'clinicwave', auth_time: 7 }))).toMatchObject({
      subject: 'u', name: 'Zoë Ångström', roles: ['doctor'], tenant: 'clinicwave', authenticatedAt: 7000,
    });
    expect(identityFrom(jwt({ sub: 'auth0|1', nickname: 'bob', 'https://abott.com/roles': ['nurse', 3] }))).toMatchObject({ username: 'bob', roles: ['nurse'] });
    for (const bad of ['', 'x', 'a.b.c', jwt({ roles: 'doctor' })]) expect(identityFrom(bad).roles).toEqual([]);
  });
});

describe('problems', () => {
  it('have a sentence for a person, also the unknown ones', () => {
    for (const reason of ['credentials_invalid', 'throttled', 'no_instance', 'offline', 'session_ended', 'account_blocked']) {
      expect(sentence({ reason, status: 401 })).toMatch(/^[A-Z].*\.$/);
      expect(sentence({ reason, status: 401 })).not.toContain('_');
    }
    for (const reason of ['conflict', 'mfa_not_offered', 'tenant_disabled']) {
      expect(sentence({ reason, status: 409, title: 'Conflict' }), reason).not.toBe('Conflict');
    }
    expect(sentence({ reason: 'never_heard_of', status: 502 })).toMatch(/not available/);
    expect(sentence({ reason: 'never_heard_of', status: 418, title: 'A title.' })).toBe('A title.');
  });
  it('pass by themselves or not', () => {
    expect([0, 408, 429, 500, 503].map((status) => passing({ reason: '', status }))).toEqual([true, true, true, true, true]);
    expect([400, 401, 403, 404].map((status) => passing({ reason: '', status }))).toEqual([false, false, false, false]);
  });
  it('read Retry-After in both forms, within bounds', () => {
    const now = Date.parse('Mon, 30 Nov 2026 08:00:00 GMT');
    expect(retryAfter('7', now)).toBe(7);
    expect(retryAfter('Mon, 30 Nov 2026 08:01:00 GMT', now)).toBe(60);
    expect(retryAfter('99999999', now)).toBe(86400);
    expect([retryAfter(null, now), retryAfter('soon', now)]).toEqual([undefined, undefined]);
  });
});
