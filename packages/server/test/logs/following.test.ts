import { type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import { Nonces } from '../../src/auth/nonces.ts';
import { API_KEY, openTestApi, runtimeAt, TEST_KEY, type TestApi } from '../api/harness.ts';
import { KeptLogs } from './kept-logs.ts';

/** Who follows logs over HTTP, and how they leave. */

const OTHER_KEY = 'rsk_of-another';
let api: TestApi;
let socketPath: string;
let runtimeId: string;
let kept: KeptLogs;
const ring = new KeyRing();

beforeAll(async () => {
  const authentication = { keys: ring, nonces: undefined as never as Nonces, now: Date.now };
  const logs = {
    page: (...args: Parameters<KeptLogs['logs']['page']>) => kept.logs.page(...args),
    follow: (...args: Parameters<KeptLogs['logs']['follow']>) => kept.logs.follow(...args),
    requireRoom: () => kept.logs.requireRoom(),
    following: () => kept.logs.following(),
    close: () => kept.logs.close(),
    untilClosing: (...args: Parameters<KeptLogs['logs']['untilClosing']>) => kept.logs.untilClosing(...args),
  };
  api = await openTestApi({ deps: { authentication, logs } });
  authentication.nonces = await Nonces.open(api.store, Date.now());
  socketPath = await api.socket();
  ({ id: runtimeId } = await runtimeAt(api, 'READY'));
});
afterAll(() => api.close());
beforeEach(() => {
  kept = new KeptLogs();
  kept.runtimeId = runtimeId;
  kept.begin('inst-a');
  ring.replace([
    TEST_KEY,
    { ...TEST_KEY, id: 'other', sha256: hashKey(OTHER_KEY), accessKeyId: 'otherak', role: 'deploy' },
  ]);
});

function follow(query = '', key = API_KEY): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const path = `/runstead/v1/runtimes/${runtimeId}/logs?follow=true${query}`;
    const sent = request({ socketPath, path, headers: { authorization: `Bearer ${key}` } }, resolve);
    sent.on('error', reject);
    sent.end();
  });
}

/** Reads along. */
function heard(answer: IncomingMessage): { text: () => string; isOver: () => boolean } {
  let text = '';
  let isOver = false;
  answer.on('data', (piece) => {
    text += piece;
  });
  answer.on('close', () => {
    isOver = true;
  });
  return { text: () => text, isOver: () => isOver };
}

const linesIn = (text: string) =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => (JSON.parse(data!) as { text: string }).text);

it('a client that leaves frees what was held for it', async () => {
  kept.write('inst-a', 'one\n');
  const answers = await Promise.all(Array.from({ length: 10 }, () => follow()));
  const all = answers.map(heard);
  await expect.poll(() => all.every(({ text }) => text().includes('"one"'))).toBe(true);
  expect(answers[0]!.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  expect(kept.logs.following()).toEqual({ runtimes: 1, followers: 10 });
  for (const answer of answers) answer.destroy();
  await expect.poll(() => kept.logs.following()).toEqual({ runtimes: 0, followers: 0 });
});

it('a client that does not read has the rest wait in the file, and gets all of it', {
  timeout: 30_000,
}, async () => {
  const answer = await follow('&since=1d&text=line');
  await expect.poll(() => kept.logs.following().followers).toBe(1);
  const count = 30_000;
  const lines = Array.from({ length: count }, (_, n) => `line ${n} ${'x'.repeat(500)}`);
  kept.write('inst-a', `${lines.join('\n')}\n`);
  // It reads on for as long as something takes it, and then no more.
  let before = -1;
  await expect
    .poll(
      () => {
        const isStill = kept.bytesRead > 0 && kept.bytesRead === before;
        before = kept.bytesRead;
        return isStill;
      },
      { interval: 300, timeout: 20_000 },
    )
    .toBe(true);
  expect(kept.bytesRead).toBeLessThan(3_000_000);
  const { text } = heard(answer);
  await expect
    .poll(
      () =>
        text()
          .slice(-1000)
          .includes(`"line ${count - 1} `),
      { timeout: 20_000 },
    )
    .toBe(true);
  expect(linesIn(text())).toEqual(lines);
  answer.destroy();
  await expect.poll(() => kept.logs.following().followers).toBe(0);
});

it('a key that is revoked follows no longer', async () => {
  const { text, isOver } = heard(await follow('', OTHER_KEY));
  kept.write('inst-a', 'one\n');
  await expect.poll(() => text().includes('"one"')).toBe(true);
  ring.replace([TEST_KEY]);
  kept.write('inst-a', 'two\n');
  await expect.poll(isOver).toBe(true);
  expect(text()).toMatch(/\nevent: end\ndata: {"reason":"The key is not valid any more"}\n\n$/);
  expect(linesIn(text())).not.toContain('two');
});

it('what goes wrong on the way is told in the last event, and logged', async () => {
  const { text, isOver } = heard(await follow());
  await expect.poll(text).toContain('retry:');
  kept.fault = new Error('the disk has gone');
  kept.write('inst-a', 'one\n');
  await expect.poll(isOver).toBe(true);
  expect(text()).toMatch(/event: end\ndata: {"reason":"An internal fault; .* request id [^"]+"}\n\n$/);
  expect(text()).not.toContain('the disk');
  expect(api.logged.at(-1)).toMatchObject({ err: { message: 'the disk has gone' } });
  expect(kept.logs.following().followers).toBe(0);
});

it('a client connects again with the id it heard last, whatever it asked for at first', async () => {
  kept.write('inst-a', 'one\ntwo\n');
  const first = await follow('&tail=5');
  const { text } = heard(first);
  await expect.poll(() => text().includes('"two"')).toBe(true);
  first.destroy();
  const ids = [...text().matchAll(/^id: (.*)$/gm)].map(([, id]) => id!);
  const path = `/runstead/v1/runtimes/${runtimeId}/logs?tail=5`;
  for (const [id, expected] of [
    [ids[0], ['two', 'three']],
    [ids.at(-1), ['three']],
  ] as const) {
    if (!linesIn(text()).includes('three')) kept.write('inst-a', expected.length === 2 ? 'three\n' : '');
    const again = await new Promise<IncomingMessage>((resolve) => {
      const headers = {
        authorization: `Bearer ${API_KEY}`,
        accept: 'text/event-stream',
        'last-event-id': id,
      };
      request({ socketPath, path, headers }, resolve).end();
    });
    const rest = heard(again);
    await expect.poll(() => linesIn(rest.text())).toEqual(expected);
    again.destroy();
  }
  // A page goes on from the same place.
  const page = await api.send<{ items: { text: string }[] }>({
    method: 'GET',
    url: `/runstead/v1/runtimes/${runtimeId}/logs?cursor=${ids[0]}`,
  });
  expect(page.data.items.map((item) => item.text)).toEqual(['two', 'three']);
});

it('events are followed in the same way, from the oldest of those asked for', async () => {
  const add = (phase: string) =>
    api.store.addEvent({
      runtimeId,
      revision: 1,
      phase,
      startedAt: new Date().toISOString(),
      durationMs: 0,
      outcome: 'ok',
    });
  const open = (lastId?: string) =>
    new Promise<IncomingMessage>((resolve) => {
      const path = `/runstead/v1/runtimes/${runtimeId}/events?limit=2&kind=scale`;
      const headers = {
        authorization: `Bearer ${API_KEY}`,
        accept: 'text/event-stream',
        ...(lastId !== undefined && { 'last-event-id': lastId }),
      };
      request({ socketPath, path, headers }, resolve).end();
    });
  const phasesIn = (text: string) =>
    [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => (JSON.parse(data!) as { phase: string }).phase);
  for (const phase of ['scale', 'stop', 'install', 'scale']) await add(phase);
  const first = await open();
  const { text } = heard(first);
  await expect.poll(() => phasesIn(text())).toEqual(['stop', 'scale']);
  await add('stop');
  await expect.poll(() => phasesIn(text()), { timeout: 5000 }).toEqual(['stop', 'scale', 'stop']);
  first.destroy();
  const [id] = [...text().matchAll(/^id: (.*)$/gm)].map(([, value]) => value!);
  const again = heard(await open(id));
  await expect.poll(() => phasesIn(again.text())).toEqual(['scale', 'stop']);
  kept.logs.close();
  await expect.poll(again.isOver).toBe(true);
  expect(again.text()).toMatch(/event: end\ndata: {"reason":"The server is stopping"}\n\n$/);
});
