import { afterAll, beforeAll, expect, it } from 'vitest';
import { API_KEY, openTestApi, type TestApi } from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

interface Made {
  apiKey: string;
  expiresAt?: string;
}

async function make(apiKey: string, input: object): Promise<Made> {
  const answer = await api.send<Made>({
    method: 'POST',
    url: '/runstead/v1/keys',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(input),
  });
  expect(answer.status).toBe(200);
  return answer.data;
}

it('a key ends when it is told to, or never, but not after the key that made it', async () => {
  expect((await make(API_KEY, {})).expiresAt).toBeUndefined();
  const maker = await make(API_KEY, { role: 'admin', expiresInSeconds: 3600 });
  expect((await make(maker.apiKey, {})).expiresAt).toBe(maker.expiresAt);
  expect((await make(maker.apiKey, { expiresInSeconds: 86_400 })).expiresAt).toBe(maker.expiresAt);
  expect((await make(maker.apiKey, { credential: 'partner' })).expiresAt).toBe(maker.expiresAt);
  const sooner = (await make(maker.apiKey, { expiresInSeconds: 60 })).expiresAt!;
  expect(sooner < maker.expiresAt!).toBe(true);
});
