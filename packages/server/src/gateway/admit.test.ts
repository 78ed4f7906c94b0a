import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RuntimeRoute, UpMessage, VersionRoute } from '../feed/messages.ts';
import { Admission, ClientGone, type Lease } from './admit.ts';
import type { Destination } from './choose.ts';
import { InstanceSet } from './instances.ts';
import { RouteTable } from './route-table.ts';
import type { SessionCall } from './session-call.ts';
import { Sessions } from './sessions.ts';

let said: UpMessage[];
let table: RouteTable;
let admission: Admission;
let instances: InstanceSet;
let sessions: Sessions;

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  table = new RouteTable();
  instances = new InstanceSet({ drained: () => {}, retired: () => {} }, () => Date.now());
  sessions = new Sessions({
    instances,
    send: () => {},
    freed: (instance) => admission.slotFreed(instance),
    now: () => Date.now(),
    clock: () => Date.now(),
  });
  admission = new Admission({
    table,
    instances,
    sessions,
    limits: { queueLength: 3, queueBytes: 1000, queueBytesTotal: 1600, queueTimeoutMs: 60_000 },
    send: (message) => said.push(message),
    random: () => 0,
    now: () => Date.now(),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

type Serves = Record<number, { instances?: string[]; draining?: string[]; slots?: number; failure?: string }>;

function install(serves: Serves | null, weights?: Record<number, number>): void {
  const versions: VersionRoute[] = Object.entries(serves ?? {}).map(([version, shape]) => ({
    version: Number(version),
    slotsPerInstance: shape.slots ?? 1,
    instances: [
      ...(shape.instances ?? []).map((id) => ({ id, host: 'h', port: 1, state: 'ready' as const })),
      ...(shape.draining ?? []).map((id) => ({ id, host: 'h', port: 1, state: 'draining' as const })),
    ],
    ...(shape.failure === undefined ? {} : { failure: shape.failure }),
  }));
  const shares = weights ?? { [versions[0]?.version ?? 1]: 1 };
  const runtime: RuntimeRoute | null = serves && {
    runtimeId: 'r',
    name: 'echo',
    state: 'serving',
    endpoints: [
      {
        name: 'Default',
        weights: Object.entries(shares).map(([version, share]) => ({ version: Number(version), share })),
        disablePublicNetworkAccess: false,
      },
    ],
    versions,
  };
  table.install('r', runtime);
  instances.install('r', runtime ?? undefined);
  admission.routesChanged('r');
}

const to = (version: number): Destination => ({
  runtimeId: 'r',
  runtimeName: 'echo',
  endpointName: 'Default',
  version,
});

const owner = { runtimeId: 'r', endpointName: 'Default', keyId: undefined };

/** A call of a session. */
const of = (id: string) => sessions.callOf(owner, id, [], () => ({ path: '/', secure: false }));

/** Admits a call and records what becomes of it. */
function enter(version = 1, turn: 'first' | 'again' = 'first', session?: SessionCall) {
  const controller = new AbortController();
  const call = {
    lease: undefined as Lease | undefined,
    // biome-ignore lint/suspicious/noExplicitAny: whatever was thrown, looked at by matchers only
    error: undefined as any,
    hangUp: () => controller.abort(),
  };
  void (async () => {
    try {
      call.lease = await admission.admit({ ...to(version), session }, controller.signal, turn);
    } catch (error) {
      call.error = error;
    }
  })();
  return call;
}

const settled = () => vi.advanceTimersByTimeAsync(0);
const demands = () => said.filter((message) => message.type === 'demand');

test('a free slot is given at once, without a word to the control process', async () => {
  install({ 1: { instances: ['a'], slots: 2 } });
  const [one, two] = [enter(), enter()];
  await settled();
  expect(one.lease?.instance.id).toBe('a');
  expect(two.lease?.instance.inFlight).toBe(2);
  expect(said).toEqual([]);
});

test('a sleeping version is woken at once, and the call goes on when an instance is there', async () => {
  install({ 1: {} });
  const call = enter();
  expect(demands()).toEqual([{ type: 'demand', runtimeId: 'r', version: 1, queued: 1, inFlight: 0 }]);
  install({ 1: { instances: ['a'] } });
  await settled();
  expect(call.lease?.instance.id).toBe('a');
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 0, inFlight: 1 });
});

test('whoever has waited longest is next', async () => {
  install({ 1: { instances: ['a'] } });
  const first = enter();
  const order: string[] = [];
  const calls = ['b', 'c', 'd'].map((name) => ({ name, call: enter() }));
  await settled();
  let lease = first.lease;
  for (let turn = 0; turn < 3; turn++) {
    lease!.release();
    await settled();
    const next = calls.find(({ name, call }) => call.lease && !order.includes(name))!;
    order.push(next.name);
    lease = next.call.lease;
  }
  expect(order).toEqual(['b', 'c', 'd']);
});

test('a slot is given back once, however often it is released', async () => {
  install({ 1: { instances: ['a'] } });
  const call = enter();
  await settled();
  call.lease!.release();
  call.lease!.release();
  expect(call.lease!.instance.inFlight).toBe(0);
});

test('a full queue turns calls away', async () => {
  install({ 1: {} });
  const waiting = [enter(), enter(), enter()];
  const fourth = enter();
  await settled();
  expect(fourth.error).toMatchObject({ code: 'ERR_TOO_MANY_REQUESTS', retryAfterSeconds: 1 });
  expect(waiting.every(({ error }) => error === undefined)).toBe(true);
});

test.each<[Serves, number, string]>([
  [{ 1: {} }, 0, 'none has started yet'],
  [{ 1: { instances: ['a'] } }, 1, 'the only instance is busy'],
  [{ 1: { instances: ['a', 'b'] } }, 2, 'all 2 instances are busy'],
])('a call that waits too long is told why and how long (%#)', async (serves, busy, why) => {
  install(serves);
  for (let at = 0; at < busy; at++) enter();
  const call = enter();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(call.error).toMatchObject({ code: 'ERR_UNAVAILABLE' });
  expect(call.error.message).toBe(`Waited 60.0 s for an instance of version 1 of runtime 'echo': ${why}`);
});

test('a client that hangs up leaves the queue', async () => {
  install({ 1: {} });
  const gone = enter();
  const stays = enter();
  gone.hangUp();
  await vi.advanceTimersByTimeAsync(50);
  expect(gone.error).toBeInstanceOf(ClientGone);
  expect(demands().at(-1)).toMatchObject({ queued: 1 });
  install({ 1: { instances: ['a'] } });
  await settled();
  expect(stays.lease?.instance.id).toBe('a');
});

test('a version that cannot start answers those who wait, and those who come, with the reason', async () => {
  install({ 1: {} });
  const waiting = enter();
  install({ 1: { failure: 'exit code 1: no module named x' } });
  await settled();
  expect(waiting.error).toMatchObject({ code: 'ERR_VERSION_FAILED' });
  expect(waiting.error.message).toContain('exit code 1: no module named x');
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 0 });

  const late = enter();
  await settled();
  expect(late.error).toMatchObject({ code: 'ERR_VERSION_FAILED' });
  expect(demands().at(-1)).toMatchObject({ queued: 1 });
});

test('a version that cannot start more instances still serves with those it has', async () => {
  install({ 1: { instances: ['a'] } });
  const first = enter();
  const second = enter();
  install({ 1: { instances: ['a'], failure: 'no memory for another' } });
  await settled();
  expect(second.error).toBeUndefined();
  first.lease!.release();
  await settled();
  expect(second.lease?.instance.id).toBe('a');
});

test('a draining instance takes no call, a new one does', async () => {
  install({ 1: { draining: ['a'] } });
  const call = enter();
  await settled();
  expect(call.lease).toBeUndefined();
  install({ 1: { draining: ['a'], instances: ['b'] } });
  await settled();
  expect(call.lease?.instance.id).toBe('b');
});

test('calls that wait for a version which is replaced go to the new one', async () => {
  install({ 1: {} });
  const call = enter();
  install({ 1: { draining: ['a'] }, 2: { instances: ['b'] } }, { 2: 1 });
  await settled();
  expect(call.lease?.instance).toMatchObject({ id: 'b', version: 2 });
});

test('calls that move wake the version they move to', async () => {
  install({ 1: {} });
  enter();
  install({ 2: {} });
  expect(demands().at(-1)).toMatchObject({ version: 2, queued: 1 });
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ version: 1, queued: 0 });
});

test('calls that wait for a runtime which is deleted are told that it does not exist', async () => {
  install({ 1: {} });
  const call = enter();
  install(null);
  await settled();
  expect(call.error).toMatchObject({ code: 'ERR_NOT_FOUND', message: "Runtime 'echo' does not exist" });
});

test('an instance that cannot be reached is reported once and passed over until routes come', async () => {
  install({ 1: { instances: ['a'], slots: 4 } });
  const [one, two] = [enter(), enter()];
  await settled();
  admission.markUnreachable(one.lease!, 'connect ECONNREFUSED');
  admission.markUnreachable(two.lease!, 'connect ECONNREFUSED');
  expect(said.filter(({ type }) => type === 'unreachable')).toEqual([
    { type: 'unreachable', instanceId: 'a', reason: 'connect ECONNREFUSED' },
  ]);
  one.lease!.release();
  const next = enter();
  await settled();
  expect(next.lease).toBeUndefined();
  install({ 1: { instances: ['a'], slots: 4 } });
  await settled();
  expect(next.lease?.instance.id).toBe('a');
});

test('a call that had its turn goes before those that wait, and past a full queue', async () => {
  install({ 1: { instances: ['a'] } });
  const first = enter();
  const waiting = [enter(), enter(), enter()];
  const again = enter(1, 'again');
  await settled();
  first.lease!.release();
  await settled();
  expect(again.lease?.instance.id).toBe('a');
  expect(waiting[0]!.lease).toBeUndefined();
});

test('a call that had its turn goes to the version that has replaced its own meanwhile', async () => {
  install({ 1: { draining: ['a'] }, 2: { instances: ['b'] } }, { 2: 1 });
  const again = enter(1, 'again');
  await settled();
  expect(again.lease?.instance).toMatchObject({ id: 'b', version: 2 });
  install(null);
  const late = enter(1, 'again');
  await settled();
  expect(late.error).toMatchObject({ code: 'ERR_NOT_FOUND' });
});

test('when the gateway closes nobody waits any more, but free slots are still given', async () => {
  install({ 1: { instances: ['a'], slots: 2 } });
  enter();
  enter();
  const waiting = enter();
  admission.close('The server is shutting down');
  await settled();
  expect(waiting.error).toMatchObject({ code: 'ERR_UNAVAILABLE', message: 'The server is shutting down' });
  install({ 1: { instances: ['a', 'b'] } });
  const late = enter();
  await settled();
  expect(late.lease?.instance.id).toBe('b');
});

test('calls of one session wait for one slot, however many they are', async () => {
  install({ 1: {} });
  const calls = [enter(1, 'first', of('s')), enter(1, 'first', of('s')), enter(1, 'first', of('s'))];
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 1 });
  calls[0]!.hangUp();
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 1 });
  enter();
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 2 });
  install({ 1: { instances: ['a'] } });
  await settled();
  expect(calls[1]!.lease?.instance).toMatchObject({ id: 'a', taken: 1, inFlight: 2 });
  expect(calls[2]!.lease?.instance.id).toBe('a');
  await vi.advanceTimersByTimeAsync(50);
  expect(demands().at(-1)).toMatchObject({ queued: 1, inFlight: 1 });
});

test('a call of a session passes those that wait for a slot', async () => {
  install({ 1: { instances: ['a'] } });
  const first = enter(1, 'first', of('s'));
  const waiting = enter();
  const second = enter(1, 'first', of('s'));
  await settled();
  expect(second.lease?.instance.id).toBe('a');
  first.lease!.release();
  second.lease!.release();
  await settled();
  // Its slot is the session's, also between its calls.
  expect(waiting.lease).toBeUndefined();
});

test('a call whose session is on an instance that cannot be reached waits for that, and holds nobody up', async () => {
  install({ 1: { instances: ['a', 'b'], slots: 2 } });
  const one = enter(1, 'first', of('s'));
  await settled();
  const there = one.lease!.instance.id;
  admission.markUnreachable(one.lease!, 'connect ECONNREFUSED');
  one.lease!.release();
  const again = enter(1, 'again', of('s'));
  const other = enter();
  const another = enter();
  await settled();
  expect([other, another].map(({ lease }) => lease?.instance.id)).not.toContain(there);
  expect(again.lease).toBeUndefined();
  // It wants no slot.
  expect(demands()).toEqual([]);
  other.lease!.release();
  await settled();
  expect(again.lease).toBeUndefined();
  install({ 1: { instances: ['a', 'b'], slots: 2 } });
  await settled();
  expect(again.lease?.instance.id).toBe(there);
});

test('a slot that a session gives up goes to whoever has waited longest', async () => {
  install({ 1: { instances: ['a'] } });
  const session = of('s');
  const first = enter(1, 'first', session);
  await settled();
  first.lease!.release();
  const waiting = enter();
  await settled();
  expect(waiting.lease).toBeUndefined();
  sessions.end(session.session!.hash);
  await settled();
  expect(waiting.lease?.instance.id).toBe('a');
});
