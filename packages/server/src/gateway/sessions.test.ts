import { beforeEach, describe, expect, test } from 'vitest';
import type { Affinity } from '../domain/affinity.ts';
import type { RuntimeRoute, UpMessage, VersionRoute } from '../feed/messages.ts';
import { type Instance, InstanceSet } from './instances.ts';
import type { Session } from './session.ts';
import { presented } from './session-call.ts';
import { Sessions } from './sessions.ts';

const BY_FIELD: Affinity = { by: 'header', field: 'x-chat' };
const owner = { runtimeId: 'r', endpointName: 'Default', keyId: undefined };

let nowMs: number;
let said: UpMessage[];
let freed: string[];
let spent: string[];
let drained: string[];
let instances: InstanceSet;
let sessions: Sessions;

beforeEach(() => {
  nowMs = 0;
  said = [];
  freed = [];
  spent = [];
  drained = [];
  instances = new InstanceSet(
    {
      drained: (id) => drained.push(id),
      retired: () => {},
      gone: (instance) => sessions.instanceGone(instance, 'instance-gone'),
      spent: (id) => spent.push(id),
    },
    () => nowMs,
  );
  sessions = newSessions();
});

function newSessions(): Sessions {
  const made = new Sessions({
    instances,
    send: (message) => said.push(message),
    freed: ({ id }) => freed.push(id),
    now: () => nowMs,
    clock: () => 1_000_000 + nowMs,
  });
  made.useSecret(Buffer.alloc(32, 1).toString('base64url'));
  return made;
}

function routes(
  ids: string[],
  more: Partial<VersionRoute> = {},
  state: 'ready' | 'draining' = 'ready',
): void {
  const route: RuntimeRoute = {
    runtimeId: 'r',
    name: 'echo',
    state: 'serving',
    endpoints: [],
    versions: [
      {
        version: 1,
        slotsPerInstance: 2,
        sessionIdleSeconds: 60,
        instances: ids.map((id) => ({ id, host: 'h', port: 1, state })),
        ...more,
      },
    ],
  };
  instances.install('r', route);
}

const named = (id: string): Instance => instances.byId(id)!;

function callOf(id: string) {
  const extras: string[] = [];
  return sessions.callOf(owner, id, extras, () => ({ path: '/', secure: false }));
}

/** One call of a session to an instance, which stays open. */
function open(id: string, instance: string): { session: Session; how: string | undefined } {
  const call = callOf(id);
  const session = sessions.enter(call, named(instance));
  return { session, how: call.told };
}

/** One whole call. */
function use(id: string, instance: string): string | undefined {
  const { session, how } = open(id, instance);
  sessions.leave(session);
  return how;
}

describe('a field', () => {
  const fields = (list: string[]) => presented(BY_FIELD, list);

  test('that is not there, or empty, names no session', () => {
    expect(fields(['Host', 'x', 'X-Chats', 'a'])).toBeUndefined();
    expect(fields(['X-Chat', ''])).toBeUndefined();
  });
  test('gives the id as it was sent', () => {
    expect(fields(['Host', 'x', 'X-CHAT', 'a b'])).toBe('a b');
  });
  test('that came twice is refused, by name', () => {
    expect(() => fields(['X-Chat', 'a', 'x-CHAT', 'a'])).toThrow(/^x-chat may be sent only once/);
  });
  test('that holds what no id can be is refused without giving it back', () => {
    const long = 's'.repeat(300);
    expect(() => fields(['X-Chat', long])).toThrow(
      "x-chat names the call's session and must have at most 256 characters (got 300); send another id",
    );
    expect(() => fields(['X-Chat', 'ü'])).toThrow(/printable ASCII/);
  });
});

describe('a session', () => {
  beforeEach(() => routes(['a', 'b']));

  test('holds one slot of its instance, however many calls it has, until it was idle for too long', () => {
    const first = open('s', 'a').session;
    const second = open('s', 'a').session;
    expect(second).toBe(first);
    expect(named('a')).toMatchObject({ taken: 1, sessions: 1 });
    nowMs = 100_000;
    sessions.sweep();
    sessions.leave(first);
    sessions.leave(second);
    nowMs += 59_999;
    sessions.sweep();
    expect(named('a')).toMatchObject({ taken: 1, sessions: 1 });
    nowMs += 1;
    sessions.sweep();
    expect(named('a')).toMatchObject({ taken: 0, sessions: 0 });
    expect(freed).toEqual(['a']);
    expect(use('s', 'b')).toBe('new');
  });

  test('goes where it is bound, and says so when it had to move', () => {
    expect(use('s', 'a')).toBe('new');
    expect(sessions.instanceOf(callOf('s'))?.id).toBe('a');
    expect(use('s', 'a')).toBe('bound');
    routes(['b']);
    expect(sessions.instanceOf(callOf('s'))).toBeUndefined();
    expect(use('s', 'b')).toBe('moved; reason=instance-gone');
    expect(use('s', 'b')).toBe('bound');
  });

  test('that moved while a call of it was open is idle when its last call is over', () => {
    const { session } = open('s', 'a');
    routes(['b']);
    use('s', 'b');
    sessions.leave(session);
    nowMs = 60_000;
    sessions.sweep();
    expect(named('b').sessions).toBe(0);
  });

  test('that was ended while a call is open holds its slot until that is over, and begins anew meanwhile', () => {
    const { session } = open('s', 'a');
    sessions.end(session.hash);
    expect(named('a')).toMatchObject({ taken: 1, sessions: 1 });
    expect(use('s', 'b')).toBe('new');
    sessions.leave(session);
    expect(named('a')).toMatchObject({ taken: 0, sessions: 0 });
    expect(freed).toEqual(['a']);
  });

  test('keeps a draining instance until it ends', () => {
    const { session } = open('s', 'a');
    routes(['a', 'b'], {}, 'draining');
    expect(drained).toEqual(['b']);
    sessions.leave(session);
    expect(sessions.instanceOf(callOf('s'))?.id).toBe('a');
    sessions.end(session.hash);
    expect(drained).toEqual(['b', 'a']);
  });

  test('of a draining instance that cannot be reached moves; others wait for routes', () => {
    use('s', 'a');
    named('a').unreachable = true;
    expect(sessions.instanceOf(callOf('s'))?.id).toBe('a');
    named('a').state = 'draining';
    expect(sessions.instanceOf(callOf('s'))).toBeUndefined();
  });

  test('that only waited is forgotten when its calls leave', () => {
    const call = callOf('s');
    const waiting = sessions.wait(call, 1);
    const other = callOf('s');
    expect(sessions.versionAwaited(other)).toBe(1);
    expect(sessions.wait(other, 1)).toBe(waiting);
    sessions.waitOver(waiting);
    sessions.waitOver(waiting);
    expect(sessions.versionAwaited(callOf('s'))).toBeUndefined();
    expect(use('s', 'a')).toBe('new');
  });
});

test('sessions that lost their instance are remembered, but only so many and not for longer than they may be idle', () => {
  routes(['a'], { slotsPerInstance: 1 });
  for (let count = 0; count <= 10_000; count++) {
    use(`s${count}`, 'a');
    sessions.makeRoom([named('a')], true);
  }
  expect(use('s1', 'a')).toBe('moved; reason=evicted');
  sessions.makeRoom([named('a')], true);
  expect(use('s0', 'a')).toBe('new');
  nowMs = 60_000;
  expect(sessions.instanceOf(callOf('s2'))).toBeUndefined();
  expect(use('s2', 'a')).toBe('new');
  sessions.sweep();
  expect(use('s3', 'a')).toBe('new');
});

describe('room is made', () => {
  beforeEach(() => routes(['a', 'b']));
  const all = () => [named('a'), named('b')];

  test('by the session that was unused for longest, at the cap only', () => {
    for (const [id, instance] of [
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'a'],
      ['4', 'b'],
    ] as const) {
      nowMs++;
      use(id, instance);
    }
    nowMs++;
    use('1', 'a');
    expect(sessions.makeRoom(all(), false)).toBeUndefined();
    expect(sessions.makeRoom(all(), true)?.id).toBe('b');
    expect(use('2', 'b')).toBe('moved; reason=evicted');
  });

  test('by none that has an open call', () => {
    open('1', 'a');
    open('2', 'b');
    expect(sessions.makeRoom(all(), true)).toBeUndefined();
  });

  test('by none under isolation', () => {
    routes(['a', 'b'], { isolated: true });
    use('1', 'a');
    expect(sessions.makeRoom(all(), true)).toBeUndefined();
  });

  test('also before the cap by one whose cookie never came back', () => {
    const place = () => ({ path: '/', secure: false });
    const extras: string[] = [];
    const call = sessions.callOf(owner, [], extras, place);
    sessions.leave(sessions.enter(call, named('a')));
    const cookie = extras[extras.indexOf('set-cookie') + 1]!.split(';')[0]!;
    const again = () => sessions.callOf(owner, presented({ by: 'cookie' }, ['Cookie', cookie])!, [], place);
    expect(sessions.instanceOf(again())?.id).toBe('a');
    expect(sessions.makeRoom(all(), false)?.id).toBe('a');
    sessions.leave(sessions.enter(again(), named('a')));
    expect(sessions.makeRoom(all(), false)).toBeUndefined();
  });
});

describe('a cookie', () => {
  const place = () => ({ path: '/', secure: false });
  const enter = (values: string[]) => {
    const extras: string[] = [];
    const call = sessions.callOf(owner, values, extras, place);
    const instance = sessions.instanceOf(call) ?? named('a');
    sessions.leave(sessions.enter(call, instance));
    const set = extras[extras.indexOf('set-cookie') + 1] ?? '';
    return { how: call.told, value: /^runstead-session=([^;]*)/.exec(set)?.[1], hash: call.session!.hash };
  };
  beforeEach(() => routes(['a', 'b']));

  test('is set anew before it ends, and not with every answer', () => {
    const first = enter([]);
    nowMs = 29_000;
    expect(enter([first.value!])).toMatchObject({ how: 'bound', value: undefined });
    nowMs = 31_000;
    const second = enter([first.value!]);
    expect(second.how).toBe('bound');
    expect(second.value).not.toBe(first.value);
    // The old one has ended by then, its session has not.
    nowMs = 90_500;
    expect(enter([first.value!])).toMatchObject({ how: 'bound', hash: first.hash });
  });

  test('of a session that has ended begins another, although it is good still', () => {
    const first = enter([]);
    nowMs = 61_000;
    sessions.sweep();
    const second = enter([first.value!]);
    expect(second.how).toBe('new');
    expect(second.hash).not.toBe(first.hash);
    sessions.end(second.hash);
    expect(enter([second.value!]).how).toBe('new');
  });

  test('of a session that a new gateway has not heard of leads to its instance, if that has a slot', () => {
    const [one, two] = [enter([]), enter([])];
    instances = new InstanceSet({ drained: () => {}, retired: () => {} }, () => nowMs);
    sessions = newSessions();
    routes(['a', 'b'], { slotsPerInstance: 1 });
    expect(enter([one.value!])).toMatchObject({ how: 'bound', hash: one.hash });
    const call = sessions.callOf(owner, [two.value!], [], place);
    expect(sessions.instanceOf(call)).toBeUndefined();
    sessions.enter(call, named('b'));
    expect(call.told).toBe('moved; reason=instance-gone');
  });
});

test('a session whose instance went during a call has moved, however long the call was', () => {
  routes(['a']);
  const { session } = open('s', 'a');
  nowMs = 100_000;
  routes(['b']);
  sessions.leave(session);
  expect(sessions.instanceOf(callOf('s'))).toBeUndefined();
  expect(use('s', 'b')).toBe('moved; reason=instance-gone');
});

describe('an isolated instance', () => {
  beforeEach(() => routes(['a', 'b'], { isolated: true, slotsPerInstance: 9 }));

  test('is spent when its session ends, and not before', () => {
    use('s', 'a');
    expect(named('a')).toMatchObject({ slots: 1, taken: 1, spent: false });
    nowMs = 60_000;
    sessions.sweep();
    expect(spent).toEqual(['a']);
  });

  test('is told bound before the call goes on: a gateway that dies then must not leave it looking free', () => {
    open('s', 'a');
    expect(said).toMatchObject([{ type: 'sessions', changed: [{ instanceId: 'a', openCalls: 1 }] }]);
  });

  test('that a new gateway finds without a session is spent: whom it served nobody knows', () => {
    use('s', 'a');
    instances.spendUnbound();
    expect(spent).toEqual(['b']);
  });
});

describe('what the control process hears', () => {
  beforeEach(() => routes(['a', 'b']));

  test('names sessions by their hash alone, each once, with what is true of it now', () => {
    use('secret-id', 'a');
    const { session } = open('secret-id', 'a');
    sessions.flush();
    expect(said).toEqual([
      {
        type: 'sessions',
        changed: [
          {
            hash: session.hash,
            runtimeId: 'r',
            endpointName: 'Default',
            version: 1,
            instanceId: 'a',
            createdMs: 1_000_000,
            lastUsedMs: 1_000_000,
            openCalls: 1,
          },
        ],
        ended: [],
      },
    ]);
    expect(JSON.stringify(said)).not.toContain('secret-id');
    sessions.flush();
    expect(said).toHaveLength(1);
  });

  test('is that a session ended, or that it is elsewhere', () => {
    const { session } = open('s', 'a');
    sessions.flush();
    routes(['b']);
    sessions.flush();
    expect(said.at(-1)).toMatchObject({ changed: [], ended: [session.hash] });
    use('s', 'b');
    sessions.flush();
    expect(said.at(-1)).toMatchObject({ changed: [{ hash: session.hash, instanceId: 'b' }], ended: [] });
  });
});

test('a gateway that begins knows the sessions of the one before, in the order of their use, and none that has expired', () => {
  routes(['a'], { slotsPerInstance: 5 });
  for (const id of ['old', 'one', 'two']) {
    use(id, 'a');
    nowMs += 20_000;
  }
  sessions.flush();
  const [message] = said as Extract<UpMessage, { type: 'sessions' }>[];
  instances = new InstanceSet({ drained: () => {}, retired: () => {} }, () => nowMs);
  sessions = newSessions();
  routes(['a'], { slotsPerInstance: 5 });
  sessions.adopt([...message!.changed].reverse());
  expect(named('a')).toMatchObject({ sessions: 2, taken: 2 });
  expect(sessions.makeRoom([named('a')], true)?.id).toBe('a');
  expect(use('one', 'a')).toBe('moved; reason=evicted');
  expect(use('two', 'a')).toBe('bound');
  expect(use('old', 'a')).toBe('new');
});
