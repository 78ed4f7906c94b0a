import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RuntimeRoute, UpMessage } from '../feed/messages.ts';
import { Admission, ClientGone, type Lease } from './admit.ts';
import { InstanceSet } from './instances.ts';
import { RouteTable } from './route-table.ts';
import { Sessions } from './sessions.ts';

/** Several runtimes, each with version 1, under bounds of length 5000, 1000 bytes a version and 1600 in all. */
let said: UpMessage[];
let table: RouteTable;
let admission: Admission;
let instances: InstanceSet;

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  table = new RouteTable();
  instances = new InstanceSet({ drained: () => {}, retired: () => {} }, () => Date.now());
  admission = new Admission({
    table,
    instances,
    sessions: new Sessions({
      instances,
      send: () => {},
      freed: () => {},
      now: () => Date.now(),
      clock: () => Date.now(),
    }),
    limits: { queueLength: 5000, queueBytes: 1000, queueBytesTotal: 1600, queueTimeoutMs: 60_000 },
    send: (message) => said.push(message),
    random: () => 0,
    now: () => Date.now(),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const settled = () => vi.advanceTimersByTimeAsync(0);

interface Shape {
  instances?: string[];
  slots?: number;
  version?: number;
  failure?: string;
  noRoom?: string;
}

function install(runtimeId: string, shape: Shape | null): void {
  const { version = 1, slots = 1, instances: ids = [], failure, noRoom } = shape ?? {};
  const route: RuntimeRoute | null = shape && {
    runtimeId,
    name: runtimeId,
    state: 'serving',
    endpoints: [{ name: 'Default', weights: [{ version, share: 1 }], disablePublicNetworkAccess: false }],
    versions: [
      {
        version,
        slotsPerInstance: slots,
        instances: ids.map((id) => ({ id, host: 'h', port: 1, state: 'ready' as const })),
        ...(failure === undefined ? {} : { failure }),
        ...(noRoom === undefined ? {} : { noRoom }),
      },
    ],
  };
  table.install(runtimeId, route);
  instances.install(runtimeId, route ?? undefined);
  admission.routesChanged(runtimeId);
}

function enter(runtimeId: string, heldBytes = 0) {
  const controller = new AbortController();
  const call = {
    lease: undefined as Lease | undefined,
    // biome-ignore lint/suspicious/noExplicitAny: whatever was thrown, looked at by matchers only
    error: undefined as any,
    hangUp: () => controller.abort(),
  };
  const destination = { runtimeId, runtimeName: runtimeId, endpointName: 'Default', version: 1 };
  void (async () => {
    try {
      call.lease = await admission.admit(destination, controller.signal, 'first', heldBytes);
    } catch (error) {
      call.error = error;
    }
  })();
  return call;
}

test('calls that wait for a version hold no more than it may, and one that holds little still fits', async () => {
  install('a', {});
  const waiting = enter('a', 700);
  const large = enter('a', 301);
  const small = enter('a', 100);
  await settled();
  expect(large.error).toMatchObject({
    code: 'ERR_TOO_MANY_REQUESTS',
    retryAfterSeconds: 1,
    message:
      "The queue of version 1 of runtime 'a' is full: 1 calls are waiting with 700 bytes, this one has 301, and 1000 may be held",
  });
  expect([waiting.error, small.error]).toEqual([undefined, undefined]);
});

test('a call that finds a free slot holds nothing, however large it is', async () => {
  install('a', { instances: ['1'] });
  const large = enter('a', 100_000);
  await settled();
  expect(large.lease).toBeDefined();
});

test.each<[string, (call: ReturnType<typeof enter>) => unknown]>([
  ['hung up', (call) => call.hangUp()],
  ['waited too long', () => vi.advanceTimersByTimeAsync(60_000)],
  ['been let in', () => install('a', { instances: ['1'] })],
  ['been told that the version cannot start', () => install('a', { failure: 'no' })],
  ['been told that there is no room', () => install('a', { noRoom: 'full' })],
  ['been told that its runtime is gone', () => install('a', null)],
])('a call that has %s holds nothing any more', async (_, leave) => {
  install('a', {});
  const call = enter('a', 1000);
  await leave(call);
  await settled();
  expect(call.lease ?? call.error).toBeDefined();
  call.lease?.release();
  install('a', {});
  const next = enter('a', 1000);
  await settled();
  expect(next.error).toBeUndefined();
});

test('a call that moves to another version takes what it holds along', async () => {
  install('a', {});
  enter('a', 500);
  install('a', { version: 2 });
  // Beside the one that has left it would not have fitted.
  const next = enter('a', 550);
  await settled();
  expect(next.error).toBeUndefined();
  install('a', { version: 2, instances: ['1'], slots: 2 });
  await settled();
  expect(next.lease).toBeDefined();
  expect(admission.isBusy).toBe(true);
});

test('a runtime whose calls hold much leaves room for the first of another', async () => {
  for (const id of ['flood', 'other']) install(id, {});
  const flood = Array.from({ length: 30 }, () => enter('flood', 50));
  await settled();
  const letIn = flood.filter(({ error }) => error === undefined);
  expect(letIn).toHaveLength(16);
  expect(flood.at(-1)!.error).toMatchObject({
    code: 'ERR_TOO_MANY_REQUESTS',
    message:
      "The queue of version 1 of runtime 'flood' can take no call of 50 bytes now: calls that wait for any runtime hold 800 of 1600 bytes, those for this one 800",
  });
  const other = enter('other', 400);
  await settled();
  expect(other.error).toBeUndefined();
  // And whoever waited already still does.
  expect(letIn.every(({ error }) => error === undefined)).toBe(true);
});

test('whoever is turned away hears how long the line will take', async () => {
  install('a', { instances: ['1'] });
  const first = enter('a');
  await settled();
  const line = Array.from({ length: 40 }, () => enter('a', 20));
  let { lease } = first;
  for (const next of line.slice(0, 20)) {
    await vi.advanceTimersByTimeAsync(400);
    lease!.release();
    await settled();
    lease = next.lease;
  }
  // Twenty wait, 400 ms each.
  const late = enter('a', 601);
  await settled();
  expect(late.error).toMatchObject({ code: 'ERR_TOO_MANY_REQUESTS', retryAfterSeconds: 8 });
  await vi.advanceTimersByTimeAsync(20_000);
  const later = enter('a', 601);
  await settled();
  expect(later.error.retryAfterSeconds).toBeGreaterThan(20);
  expect(later.error.retryAfterSeconds).toBeLessThanOrEqual(60);
});

test('without room for an instance nobody waits, and what comes later asks again', async () => {
  install('a', {});
  const waiting = enter('a');
  install('a', { noRoom: 'the limit of 10 instances in all is reached' });
  const late = enter('a');
  await settled();
  for (const call of [waiting, late]) {
    expect(call.error).toMatchObject({ code: 'ERR_UNAVAILABLE', retryAfterSeconds: 1 });
    expect(call.error.message).toBe(
      "Version 1 of runtime 'a' has no instance, and none can be started now: the limit of 10 instances in all is reached",
    );
  }
  await vi.advanceTimersByTimeAsync(50);
  enter('a');
  const demands = said.filter(({ type }) => type === 'demand');
  expect(demands.at(-1)).toMatchObject({ runtimeId: 'a', queued: 1 });
});

test('without room for a second instance calls wait for the first', async () => {
  install('a', { instances: ['1'], noRoom: 'full' });
  const [one, two] = [enter('a'), enter('a')];
  await settled();
  expect(two.error).toBeUndefined();
  one.lease!.release();
  await settled();
  expect(two.lease).toBeDefined();
});

test.each<[string, () => unknown]>([
  ['a version that cannot start', () => install('a', { failure: 'no' })],
  ['a runtime that is gone', () => install('a', null)],
  ['a gateway that closes', () => admission.close('closing')],
  ['many instances at once', () => install('a', { instances: ['1', '2', '3', '4', '5'], slots: 200 })],
])('%s empties a long line bit by bit, and another runtime is served in between', async (_, empty) => {
  install('a', {});
  install('b', { instances: ['b'] });
  const line = Array.from({ length: 1000 }, () => enter('a'));
  empty();
  const gone = () => line.filter(({ error, lease }) => error ?? lease).length;
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  expect(gone()).toBe(64);
  const other = enter('b');
  await Promise.resolve();
  expect(other.lease).toBeDefined();
  await vi.advanceTimersByTimeAsync(100);
  expect(gone()).toBe(1000);
});

test('it is busy while calls wait or are open', async () => {
  install('a', {});
  expect(admission.isBusy).toBe(false);
  const call = enter('a');
  expect(admission.isBusy).toBe(true);
  install('a', { instances: ['1'] });
  await settled();
  expect(admission.isBusy).toBe(true);
  call.lease!.release();
  call.lease!.release();
  expect(admission.isBusy).toBe(false);
  const gone = enter('b');
  gone.hangUp();
  await settled();
  expect(gone.error).toBeInstanceOf(ClientGone);
  expect(admission.isBusy).toBe(false);
});

test('whoever uses a slot hears that its instance is to be cut, once, and others do not', async () => {
  install('a', { instances: ['1', '2'] });
  const [one, two] = [enter('a'), enter('a')];
  await settled();
  const heard: string[] = [];
  for (const { lease } of [one, two])
    lease!.holder = { cut: (reason) => heard.push(`${lease!.instance.id} ${reason}`) };
  instances.cut('1', 'over');
  instances.cut('1', 'over');
  instances.cut('nobody', 'over');
  expect(heard).toEqual(['1 over']);
});

test('one who begins to listen late hears of it all the same; one who has gone does not', async () => {
  install('a', { instances: ['1'], slots: 3 });
  const [late, gone, silent] = [enter('a'), enter('a'), enter('a')];
  await settled();
  const heard: string[] = [];
  gone.lease!.holder = { cut: () => heard.push('gone') };
  gone.lease!.release();
  silent.lease!.holder = { cut: () => heard.push('silent') };
  silent.lease!.holder = undefined;
  instances.cut('1', 'over');
  late.lease!.holder = { cut: (reason) => heard.push(`late ${reason}`) };
  await settled();
  expect(heard).toEqual(['late over']);
});

test('an instance that is to be cut takes no call, also when older routes say that it does', async () => {
  install('a', { instances: ['1'] });
  instances.cut('1', 'over');
  const call = enter('a');
  install('a', { instances: ['1'] });
  await settled();
  expect(call.lease).toBeUndefined();
  install('a', { instances: ['2'] });
  await settled();
  expect(call.lease?.instance.id).toBe('2');
});
