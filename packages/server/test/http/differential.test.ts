import { expect, test } from 'vitest';
import { type Comparison, compareAnswers, compareRequests } from './differential.ts';

/** `RUNSTEAD_SEED=n` plays the case that a failure named again; `RUNSTEAD_FUZZ_CASES` is how many are tried. */
const given = process.env.RUNSTEAD_SEED;
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
const cases = given === undefined ? Number(process.env.RUNSTEAD_FUZZ_CASES ?? 100_000) : 1;
const TIME_LIMIT_MS = 60_000 + cases * 2;

test('what is accepted of requests is what Node reads of them', { timeout: TIME_LIMIT_MS }, async () => {
  judge(await compareRequests(seed, cases));
});

test('what is accepted of answers is what Node reads of them', { timeout: TIME_LIMIT_MS }, async () => {
  judge(await compareAnswers(seed, Math.ceil(cases / 5)));
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
