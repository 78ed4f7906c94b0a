import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/store/sqlite/open-database.ts';
import {
  type Answer,
  containerRuntime,
  openTestApi,
  runtimeAt,
  type TestApi,
  TIMESTAMP,
  workspaceIn,
} from './harness.ts';

/** Secrets by reference: what goes in does not come out again, by any route, log line or error. */

const VALUE = 'planted-value-1';
const SECRETS = '/runstead/v1/secrets';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(async () => {
  // Whatever was tried: nothing of it stands in a log, or in the open in the database.
  expect(JSON.stringify(api.logged)).not.toContain('planted');
  const database = openDatabase(api.folders.database);
  const rows = ['secrets', 'audit_events', 'runtimes', 'kept_answers'].map((table) =>
    database.prepare(`SELECT * FROM ${table}`).all([]),
  );
  database.close();
  expect(JSON.stringify(rows)).not.toContain('planted');
  await api.close();
});

function send<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  return api.send<T>({
    method,
    url: SECRETS + path,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  });
}

describe('a secret', () => {
  it('is set, listed without its value, set anew and removed', async () => {
    const { id } = await api.store.defaultWorkspace();
    const set = await send('PUT', '/openai', { value: VALUE });
    expect(set).toMatchObject({ status: 200, data: { secretName: 'openai', workspaceId: id } });
    expect(set.data.updatedAt).toMatch(TIMESTAMP);
    const again = await send('PUT', '/openai', { value: `${VALUE}, later` });
    expect(again.data.createdAt).toBe(set.data.createdAt);
    const listed = await send('GET', '');
    expect(listed.data).toEqual({ items: [again.data] });
    expect(await api.store.secretValues(id, ['openai'])).toEqual(new Map([['openai', `${VALUE}, later`]]));
    for (const answer of [set, again, listed]) expect(answer.text).not.toContain('planted');
    expect(await send('DELETE', '/openai')).toMatchObject({ status: 200, data: { usedBy: [] } });
    const gone = await send('DELETE', '/openai');
    expect(gone).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
    expect(gone.message).toBe("Secret 'openai' of workspace 'default' does not exist (not found)");
  });

  it('belongs to the workspace that is named, by name or id', async () => {
    const workspaceId = await workspaceIn(api, 'team');
    expect((await send('PUT', '/shared?workspace=team', { value: VALUE })).data.workspaceId).toBe(
      workspaceId,
    );
    for (const workspace of ['team', workspaceId, workspaceId.toUpperCase()]) {
      const { data } = await send<{ items: unknown[] }>('GET', `?workspace=${workspace}`);
      expect(data.items).toMatchObject([{ secretName: 'shared' }]);
    }
    expect((await send('DELETE', '/shared')).status).toBe(404);
    const absent = await send('PUT', '/shared?workspace=nobodys', { value: VALUE });
    expect(absent).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(absent.message).toMatch(/^workspace names no workspace.*\(got "nobodys"\)$/);
  });

  it.each([
    ['no value', {}, 'value is required'],
    ['a number', { value: 12345678 }, 'value must be a string (got a value that is not shown)'],
    ['NUL', { value: 'planted\0' }, 'value must not contain NUL (got a value that is not shown)'],
    ['next to nothing', { value: 'abc' }, /^value must have at least 4 characters: shorter values could not/],
    ['blanks', { value: '      ' }, /^value must have at least 4 characters/],
    ['too much', { value: 'planted'.repeat(10_000) }, /^value must have at most 65536 bytes \(got a value/],
    ['a text alone', '"planted-alone"', 'The body must be a JSON object such as {"value":"…"}'],
    ['a text that is no JSON', 'planted-text', /^The body is not valid JSON: /],
    ['a misspelt field', { valeu: 'planted-value' }, 'value is required'],
  ])('is refused with %s, and the answer shows nothing of it', async (_, body, message) => {
    const answer = await send('PUT', '/refused', body);
    expect(answer.status).toBe(400);
    expect(answer.message).toEqual(typeof message === 'string' ? message : expect.stringMatching(message));
    expect(answer.text).not.toContain('planted');
  });

  it.each([
    '1planted',
    'planted%20b',
    'planted.b',
    'planted%2Fb',
    'KEY=planted',
    'rsk_planted',
    'p'.repeat(65),
  ])('has no such name as %s, which may be the value: it is shown nowhere', async (name) => {
    for (const [method, body] of [['PUT', { value: VALUE }], ['DELETE']] as const) {
      const answer = await send(method, `/${name}`, body);
      expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
      expect(answer.message).toMatch(/^secretName must be a name of 1 to 64 letters, digits/);
      expect(answer.text).not.toContain('planted');
    }
  });

  it('leaves audit events that name workspace and secret', async () => {
    const set = await send('PUT', '/audited', { value: VALUE });
    await send('DELETE', '/audited');
    const events = (await api.store.listAuditEvents(20)).filter(({ resource }) =>
      resource.includes('audited'),
    );
    expect(events.map(({ operation, status, resource }) => [operation, status, resource])).toEqual([
      ['DeleteSecret', 200, `${set.data.workspaceId}/audited`],
      ['SetSecret', 200, `${set.data.workspaceId}/audited`],
    ]);
  });
});

describe('a runtime that refers to secrets', () => {
  it('is taken before they are there, with a word about those that are missing', async () => {
    await send('PUT', '/there', { value: VALUE });
    const environmentVariables = { A: 'secret://there', B: 'secret://later', C: 'plain' };
    const created = await api.call('CreateAgentRuntime', {
      body: containerRuntime({ environmentVariables }),
    });
    expect(created).toMatchObject({ status: 200, data: { environmentVariables } });
    expect(created.headers['x-runstead-warning']).toBe(
      "environmentVariables refer to secrets that the runtime's workspace does not have yet: later; without them it cannot start",
    );
    await send('PUT', '/later', { value: VALUE });
    const id = String(created.data.agentRuntimeId);
    const updated = await api.call('UpdateAgentRuntime', { id, body: { description: 'the same variables' } });
    expect(updated.headers['x-runstead-warning']).toBeUndefined();
    expect(updated.text).not.toContain('planted');
  });

  it('is refused when a value begins like a reference and is none, at create and update', async () => {
    const body = containerRuntime({ environmentVariables: { A: 'secret://planted/b', B: 'fine' } });
    const { id } = await runtimeAt(api, 'READY');
    for (const answer of [
      await api.call('CreateAgentRuntime', { body }),
      await api.call('UpdateAgentRuntime', {
        id,
        body: { environmentVariables: { A: 'secret://planted/b' } },
      }),
    ]) {
      expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
      expect(answer.message).toMatch(/^environmentVariables\.A must be secret:\/\/ and a name/);
      expect(answer.text).not.toContain('planted');
    }
  });

  it('is told to whoever removes what it refers to; versions count as well', async () => {
    await send('PUT', '/used', { value: VALUE });
    const body = containerRuntime({ environmentVariables: { A: 'secret://used' } });
    const { data } = await api.call('CreateAgentRuntime', { body });
    const id = String(data.agentRuntimeId);
    const at = new Date().toISOString();
    await api.store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at });
    await api.call('UpdateAgentRuntime', { id, body: { environmentVariables: { A: 'plain' } } });
    const removed = await send('DELETE', '/used');
    expect(removed).toMatchObject({ status: 200, data: { usedBy: [body.agentRuntimeName] } });
    expect(removed.headers['x-runstead-warning']).toBe(
      `runtimes that refer to this secret cannot be started any more until it is set again: ${body.agentRuntimeName}`,
    );
  });
});
