import { describe, expect, it } from 'vitest';
import { createTurns } from './turns.ts';

/** Work whose end the test decides. */
function pending() {
  let finish = (_error?: Error) => {};
  const done = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });
  return { work: () => done, finish };
}
const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  it('are taken in order by work of one key, and not waited for by others', async () => {
    const inTurn = createTurns();
    const [first, second] = [pending(), pending()];
    const seen: string[] = [];
    const of = (name: string, work: () => Promise<void>) => async () => {
      seen.push(`${name} begins`);
      await work();
      seen.push(`${name} ends`);
    };
    const a = inTurn('a', of('first', first.work));
    const b = inTurn('a', of('second', second.work));
    await inTurn(
      'b',
      of('other', async () => {}),
    );
    await turnOfTheLoop();
    expect(seen).toEqual(['first begins', 'other begins', 'other ends']);
    second.finish();
    first.finish();
    await Promise.all([a, b]);
    expect(seen.slice(3)).toEqual(['first ends', 'second begins', 'second ends']);
  });

  it('go on after work that fails, which fails for its own caller alone', async () => {
    const inTurn = createTurns();
    const first = pending();
    const failed = inTurn('a', first.work);
    const next = inTurn('a', async () => 'done');
    first.finish(new Error('of the first'));
    await expect(failed).rejects.toThrow('of the first');
    expect(await next).toBe('done');
    expect(await inTurn('a', async () => 'later')).toBe('later');
  });

  it('are passed on when work throws before it returns a promise', async () => {
    const inTurn = createTurns();
    const broken = inTurn('a', () => {
      throw new Error('at once');
    });
    await expect(broken).rejects.toThrow('at once');
    expect(await inTurn('a', async () => 1)).toBe(1);
  });
});
