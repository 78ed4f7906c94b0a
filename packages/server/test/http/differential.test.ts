import { expect, test } from 'vitest';
import { type Comparison, compareAnswers, compareRequests, differenceOf } from './differential.ts';
import { REQUESTS } from './requests.ts';

/**
 * `RUNSTEAD_SEED=n` plays the case that a failure named again. Without it the same cases are tried every time;
 * `npm run fuzz` sets another beginning and number.
 */
const one = process.env.RUNSTEAD_SEED;
const seed = whole('RUNSTEAD_SEED', one ?? process.env.RUNSTEAD_FUZZ_FROM ?? '1');
const cases =
  one === undefined ? whole('RUNSTEAD_FUZZ_CASES', process.env.RUNSTEAD_FUZZ_CASES ?? '100000') : 1;
const TIME_LIMIT_MS = 60_000 + cases * 2;

test('what is accepted of requests is what Node reads of them', { timeout: TIME_LIMIT_MS }, async () => {
  judge(await compareRequests(seed, cases));
});

test('what is accepted of answers is what Node reads of them', { timeout: TIME_LIMIT_MS }, async () => {
  judge(await compareAnswers(seed, Math.ceil(cases / 5)));
});

test('what is accepted of the corpus is what Node reads of it', async () => {
  const differences: [string, string][] = [];
  for (const { name, raw } of REQUESTS) {
    const what = await differenceOf(raw);
    if (what !== undefined) differences.push([name, what]);
  }
  expect(differences).toEqual([]);
});

function judge({ difference, cases: tried, accepted, messages }: Comparison): void {
  const told = difference && {
    'play it again': `RUNSTEAD_SEED=${difference.seed} npm test -- packages/server/test/http/differential.test.ts`,
    what: difference.what,
    'shortest case': JSON.stringify(difference.raw),
  };
  expect(told).toBeUndefined();
  console.log(`seed ${seed}: ${tried} cases, ${accepted} accepted, ${messages} messages, 0 differences`);
  // A generator that makes nothing but rubbish would show nothing.
  if (tried > 1000) expect(accepted).toBeGreaterThan(tried / 4);
}

function whole(name: string, text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) throw new Error(`${name} must be a whole number; got "${text}"`);
  return Number(text);
}
