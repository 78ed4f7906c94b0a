import { expect, test } from 'vitest';
import { createStartLimit } from './start-limit.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A limit whose starts tell when they begin, by the runtime they are for. */
function limited(atOnce: number) {
  const limit = createStartLimit(atOnce);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const start = (owner: string) => {
    const controller = new AbortController();
    const started = limit.acquire(controller.signal, owner).then((release) => {
      begun.push(owner);
      ends.push(release);
    });
    started.catch(() => {});
    return { started, giveUp: () => controller.abort(new Error('given up')) };
  };
  /** Ends starts in the order they began, until none is left. */
  const runAll = async () => {
    await settled();
    for (let end = ends.shift(); end; end = ends.shift()) {
      end();
      await settled();
    }
    return begun.join('');
  };
  return { start, runAll, begun, ends };
}

test.each<[string, number, string, string]>([
  ['one runtime has all slots, in order', 2, 'aaaa', 'aaaa'],
  ['another goes before the rest of a flood', 1, 'aaaaab', 'abaaaa'],
  ['several others go one after the other, as they came', 1, 'aaaabcd', 'abcdaaa'],
  ['floods take turns', 1, 'aaaabbbb', 'abababab'],
  ['one with nothing under way goes before one with a start under way', 2, 'aaabb', 'aabab'],
])('%s', async (_, atOnce, come, expected) => {
  const { start, runAll } = limited(atOnce);
  for (const owner of come) start(owner);
  expect(await runAll()).toBe(expected);
});

test('the first start of another runtime never waits for more than the starts under way', async () => {
  const { start, begun, ends } = limited(2);
  for (let at = 0; at < 20; at++) start('flood');
  await settled();
  ends.shift()!();
  await settled();
  start('other');
  const before = begun.length;
  ends.shift()!();
  await settled();
  expect(begun.slice(before)).toEqual(['other']);
});

test('whoever gives up leaves the line, and is not started', async () => {
  const { start, runAll } = limited(1);
  start('a');
  const given = start('b');
  start('c');
  const twice = [start('d'), start('d')];
  given.giveUp();
  twice[0]!.giveUp();
  await expect(given.started).rejects.toThrow('given up');
  expect(await runAll()).toBe('acd');
});

test('an end counts once, and a signal that has already fired takes nothing', async () => {
  const limit = createStartLimit(1);
  const none = new AbortController().signal;
  const release = await limit.acquire(none, 'a');
  let begun = 0;
  for (const owner of ['b', 'c']) void limit.acquire(none, owner).then(() => begun++);
  release();
  release();
  await settled();
  expect(begun).toBe(1);
  await expect(async () => limit.acquire(AbortSignal.abort(new Error('late')), 'd')).rejects.toThrow('late');
});
