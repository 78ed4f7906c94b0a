import { expect, it } from 'vitest';
import { AbortError } from '../errors.ts';
import { CallClock } from './call-clock.ts';

const never = new Promise<never>(() => {});

it('ends a wait that begins the moment the one before is over', async () => {
  const controller = new AbortController();
  const clock = new CallClock([controller.signal]);
  await clock.race(Promise.resolve());
  const second = clock.race(never);
  // What the first wait leaves behind runs now.
  await new Promise(setImmediate);
  controller.abort();
  await expect(second).rejects.toBeInstanceOf(AbortError);
});

it('the same for a wait that begins when the one before has failed', async () => {
  const controller = new AbortController();
  const clock = new CallClock([controller.signal]);
  try {
    await clock.race(Promise.reject(new Error('first')));
  } catch {
    // Not `catch()`, which would go on a moment later.
  }
  const second = clock.pause(60_000);
  await new Promise(setImmediate);
  controller.abort();
  await expect(second).rejects.toBeInstanceOf(AbortError);
});
