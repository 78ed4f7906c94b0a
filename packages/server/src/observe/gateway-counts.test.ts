import { expect, test } from 'vitest';
import type { GatewayCounts } from './call-counts.ts';
import { HeardCounts } from './gateway-counts.ts';

const counts = (retries: number) => ({ retries }) as GatewayCounts;

test('who wants to know hears what the gateway says now, and it is asked once for all of them', async () => {
  const heard = new HeardCounts();
  let asked = 0;
  heard.attach(() => asked++);
  const all = [heard.now(), heard.now(), heard.now()];
  heard.hear(counts(7));
  expect(await Promise.all(all)).toEqual([counts(7), counts(7), counts(7)]);
  expect(asked).toBe(1);
  const next = heard.now();
  expect(asked).toBe(2);
  heard.hear(counts(8));
  expect(await next).toEqual(counts(8));
});

test('a gateway that keeps silent is not waited for', async () => {
  const heard = new HeardCounts();
  heard.attach(() => {});
  expect(await heard.now(1)).toBeUndefined();
  heard.hear(counts(1));
  expect(await heard.now(1)).toEqual(counts(1));
});

test('what one that is gone has counted counts no more', async () => {
  const heard = new HeardCounts();
  expect(await heard.now()).toBeUndefined();
  heard.attach(() => {});
  heard.hear(counts(1));
  const waiting = heard.now();
  heard.detach();
  expect(await waiting).toBeUndefined();
  expect(await heard.now()).toBeUndefined();
});
