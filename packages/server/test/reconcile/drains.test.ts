import { expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../src/observe/log.ts';
import { createInstanceSet } from '../../src/reconcile/instance-set.ts';
import { createStartLimit } from '../../src/reconcile/start-limit.ts';
import { FakeDriver } from '../fake-driver.ts';
import { waitFor } from '../wait-for.ts';

const REPLACED = { deadlineMs: 600_000, reason: 'replaced', revocable: true };

/** One ready instance, `i`, and what was said to those that use it. */
async function oneInstance() {
  const driver = new FakeDriver();
  const cuts: string[] = [];
  const instances = createInstanceSet({
    driver,
    limit: createStartLimit(1),
    stopGraceMs: 0,
    now: () => performance.now(),
    log: createLog('silent', 'test'),
    onChange: () => {},
    onExit: () => {},
    onGone: () => {},
    onCut: ({ id }, reason) => cuts.push(`${id}: ${reason}`),
  });
  const spec = { instanceId: 'i', runtimeId: 'r', revision: 1, environment: {} } as never;
  instances.adopt(await driver.start(spec, { signal: new AbortController().signal, onExit: () => {} }));
  onTestFinished(async () => {
    instances.close();
    await driver.endAll();
  });
  const [instance] = instances.all();
  return { instances, instance: instance!, driver, cuts };
}

it('an instance that is wanted again is ready again, and drains anew when it is replaced anew', async () => {
  const { instances, instance, driver } = await oneInstance();
  instances.drain('i', REPLACED);
  instances.revive('i');
  expect(instance.state).toBe('ready');
  instances.drain('i', REPLACED);
  // Said of the time before: since then it has had calls again.
  instances.drained('i', 1);
  expect(instance.state).toBe('draining');
  instances.drained('i', 2);
  await waitFor('its end', () => driver.instances.size === 0);
});

it('word that it is drained is nothing to an instance that is wanted again', async () => {
  const { instances, instance } = await oneInstance();
  instances.drain('i', REPLACED);
  instances.revive('i');
  instances.drained('i', 1);
  expect(instance.state).toBe('ready');
});

it.each([
  ['drained for good', [{ deadlineMs: 600_000, reason: 'deleted' }]],
  [
    'replaced and then drained for good with more time',
    [REPLACED, { deadlineMs: 900_000, reason: 'deleted' }],
  ],
  ['replaced and then drained for good with less time', [REPLACED, { deadlineMs: 1000, reason: 'deleted' }]],
  ['drained for good and then replaced', [{ deadlineMs: 600_000, reason: 'sick' }, REPLACED]],
  ['drained for good and then replaced with less time', [{ deadlineMs: 900_000, reason: 'sick' }, REPLACED]],
  ['cut off', [REPLACED, { ...REPLACED, deadlineMs: 0 }]],
])('one that was %s is not taken back', async (_, drains) => {
  const { instances, instance } = await oneInstance();
  for (const drain of drains) instances.drain('i', drain);
  instances.revive('i');
  expect(instance.state).toBe('draining');
});

it('at its deadline those that use it are told why, and it is stopped although they go on', async () => {
  const { instances, driver, cuts } = await oneInstance();
  instances.drain('i', { ...REPLACED, deadlineMs: 20 });
  await waitFor('the word', () => cuts.length > 0);
  expect(cuts).toEqual([
    'i: The instance that answers is being stopped: replaced, and the time to finish is over',
  ]);
  expect(driver.instances.size).toBe(1);
  await waitFor('its end', () => driver.instances.size === 0);
  expect(cuts).toHaveLength(1);
});

it('one that is cut off is stopped as soon as nothing of it is open any more', async () => {
  const { instances, driver, cuts } = await oneInstance();
  instances.drain('i', { ...REPLACED, deadlineMs: 0 });
  expect(cuts).toEqual(['i: The instance that answers is being stopped: replaced']);
  expect(driver.stops).toEqual([]);
  instances.drained('i', 1);
  expect(driver.stops).toEqual(['i']);
});

it('one that drains is cut off earlier when it is evicted, and no later when it is replaced once more', async () => {
  const { instances, cuts } = await oneInstance();
  instances.drain('i', REPLACED);
  instances.drain('i', { ...REPLACED, deadlineMs: 900_000 });
  instances.drain('i', { ...REPLACED, deadlineMs: 0, reason: 'evicted' });
  instances.drain('i', { ...REPLACED, deadlineMs: 0, reason: 'evicted twice' });
  expect(cuts).toEqual(['i: The instance that answers is being stopped: evicted']);
});
