import { afterAll, beforeAll, expect, test } from 'vitest';
import { API_KEY, openTestApi, type TestApi } from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi({ deps: { metrics: async () => 'runstead_gateway_up 1\n' } });
});
afterAll(() => api.close());

const get = (authorization?: string, method: 'GET' | 'HEAD' | 'POST' = 'GET', url = '/metrics') =>
  api.app.inject({ method, url, headers: authorization === undefined ? {} : { authorization } });

test('/metrics is the text alone, as Prometheus asks for it', async () => {
  const { statusCode, headers, body } = await get(`Bearer ${API_KEY}`);
  expect(statusCode).toBe(200);
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(headers['x-acs-request-id']).toBeDefined();
  expect(body).toBe('runstead_gateway_up 1\n');
  expect((await get(`Bearer ${API_KEY}`, 'HEAD')).statusCode).toBe(200);
});

test('without a key, or with another method, it is refused as all else', async () => {
  const refused = await get();
  expect(refused.statusCode).toBe(401);
  expect(JSON.parse(refused.body)).toMatchObject({ code: 'AccessDenied', requestId: expect.any(String) });
  expect((await get(`Bearer ${API_KEY}`, 'POST')).statusCode).toBe(405);
  expect((await get(`Bearer ${API_KEY}`, 'GET', '/metrics/x')).statusCode).toBe(404);
});

test('a key of some workspaces does not see what happens in all', async () => {
  const { data: workspace } = await api.call<{ workspaceId: string }>('CreateWorkspace', {
    body: { name: 'one' },
  });
  const { text } = await api.send({
    method: 'POST',
    url: '/runstead/v1/keys',
    body: JSON.stringify({ role: 'admin', workspaces: [workspace.workspaceId] }),
    headers: { 'content-type': 'application/json' },
  });
  const apiKey = /rsk_[\w-]+/.exec(text)?.[0];
  expect(apiKey, text).toBeDefined();
  const refused = await get(`Bearer ${apiKey}`);
  expect(refused.statusCode).toBe(403);
  expect(JSON.parse(refused.body).code).toBe('NoPermission');
});
