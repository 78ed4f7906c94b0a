import { beforeEach, expect, test } from 'vitest';
import type { InstanceRoute, RuntimeRoute } from '../feed/messages.ts';
import { InstanceSet } from './instances.ts';

let events: string[];
let nowMs: number;
let instances: InstanceSet;

beforeEach(() => {
  events = [];
  nowMs = 0;
  instances = new InstanceSet(
    { drained: (id) => events.push(`drained ${id}`), retired: (id) => events.push(`retired ${id}`) },
    () => nowMs,
  );
});

function routes(...list: [id: string, state?: InstanceRoute['state'], port?: number][]): RuntimeRoute {
  return {
    runtimeId: 'r',
    name: 'echo',
    state: 'serving',
    endpoints: [],
    versions: [
      {
        version: 1,
        slotsPerInstance: 2,
        instances: list.map(([id, state = 'ready', port = 4000]) => ({ id, host: '127.0.0.1', port, state })),
      },
    ],
  };
}

test('idle time counts from when an instance became known, and then from its last call', () => {
  instances.install('r', routes(['a']));
  nowMs = 1000;
  expect(instances.usage()).toEqual([{ id: 'a', inFlight: 0, idleMs: 1000 }]);
  const a = instances.of('r', 1)[0]!;
  instances.beginCall(a);
  a.taken++;
  nowMs = 5000;
  expect(instances.usage()).toEqual([{ id: 'a', inFlight: 1, idleMs: 0 }]);
  a.taken--;
  instances.endCall(a);
  nowMs = 5700;
  // Routes that say nothing new do not make it look busy.
  instances.install('r', routes(['a']));
  expect(instances.usage()).toEqual([{ id: 'a', inFlight: 0, idleMs: 700 }]);
});

test('a draining instance says drained when its last call ends, once', () => {
  instances.install('r', routes(['a']));
  const a = instances.of('r', 1)[0]!;
  instances.beginCall(a);
  instances.beginCall(a);
  instances.install('r', routes(['a', 'draining']));
  instances.endCall(a);
  expect(events).toEqual([]);
  instances.endCall(a);
  instances.install('r', routes(['a', 'draining']));
  expect(events).toEqual(['drained a']);
});

test('an instance without calls says drained at once, and again when asked to repeat', () => {
  instances.install('r', routes(['a', 'draining']));
  expect(events).toEqual(['drained a']);
  instances.repeatDrained();
  expect(events).toEqual(['drained a', 'drained a']);
});

test('an instance that leaves the routes with a call open is forgotten when the call ends', () => {
  instances.install('r', routes(['a']));
  const a = instances.of('r', 1)[0]!;
  instances.beginCall(a);
  instances.install('r', undefined);
  expect(instances.of('r', 1)).toEqual([]);
  expect(instances.usage()).toEqual([]);
  expect(events).toEqual(['retired a']);
  // Listed again before that, it still counts the open call.
  instances.install('r', routes(['a']));
  expect(instances.of('r', 1)[0]!.inFlight).toBe(1);
  instances.endCall(a);
  expect(instances.usage()).toMatchObject([{ id: 'a', inFlight: 0 }]);
});

test('an instance at another address is dialled there, and nothing pooled for the old one is used', () => {
  instances.install('r', routes(['a']));
  instances.install('r', routes(['a', 'ready', 4001]));
  expect(instances.of('r', 1)[0]).toMatchObject({ port: 4001 });
  expect(events).toEqual(['retired a']);
});

test('routes of one runtime leave the others alone', () => {
  instances.install('r', routes(['a']));
  instances.install('r2', { ...routes(['b']), runtimeId: 'r2' });
  instances.install('r', undefined);
  expect(instances.of('r2', 1)).toHaveLength(1);
});

test('a draining instance with a session is drained when that has ended, or been moved as it is cut', () => {
  instances = new InstanceSet(
    {
      drained: (id) => events.push(`drained ${id}`),
      retired: () => {},
      cut: (instance) => {
        events.push(`cut ${instance.id}`);
        instances.unbindSession(instance);
      },
    },
    () => nowMs,
  );
  instances.install('r', routes(['a'], ['b']));
  const [a, b] = instances.of('r', 1);
  instances.bindSession(a!);
  instances.bindSession(b!);
  instances.install('r', routes(['a', 'draining'], ['b', 'draining']));
  expect(events).toEqual([]);
  instances.unbindSession(a!);
  expect(events).toEqual(['drained a']);
  instances.cut('b', 'its time is over');
  expect(events).toEqual(['drained a', 'cut b', 'drained b']);
});

test('routes of one runtime leave the instances of all others as they are', () => {
  for (const runtimeId of ['r', 's'])
    instances.install(runtimeId, { ...routes([`${runtimeId}1`]), runtimeId });
  instances.install('r', undefined);
  expect(instances.of('r', 1)).toEqual([]);
  expect(instances.of('s', 1).map(({ id }) => id)).toEqual(['s1']);
  expect(events).toEqual(['retired r1']);
});

test('an instance that drains anew says drained anew, also when its time in between was not told', () => {
  instances = new InstanceSet(
    { drained: (id, drain) => events.push(`drained ${id} ${drain}`), retired: () => {} },
    () => nowMs,
  );
  const drain = (number: number) => {
    const runtime = routes(['a', 'draining']);
    runtime.versions[0]!.instances[0]!.drain = number;
    instances.install('r', runtime);
  };
  drain(1);
  drain(1);
  drain(2);
  expect(events).toEqual(['drained a 1', 'drained a 2']);
});
