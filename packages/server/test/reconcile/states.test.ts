import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type Answer, type TestServer, withServer } from './harness.ts';

/**
 * What each operation means in each state of a runtime: what is answered, how it ends, which versions there are then
 * and which configuration answers calls. Configurations are told apart by their variable VALUE: `good…` becomes
 * healthy, `bad…` does not, `slow…` does once the operation has been answered.
 */
type State =
  | 'CREATING'
  | 'CREATE_FAILED'
  | 'READY'
  | 'UPDATING'
  | 'UPDATE_FAILED'
  | 'UPDATING without a version'
  | 'UPDATE_FAILED without a version'
  | 'DELETING';

/** How the state is come to: the configuration created with, then the one updated to. */
const HISTORIES: Record<State, string[]> = {
  CREATING: ['slow1'],
  CREATE_FAILED: ['bad1'],
  READY: ['good1'],
  UPDATING: ['good1', 'slow2'],
  UPDATE_FAILED: ['good1', 'bad2'],
  'UPDATING without a version': ['bad1', 'slow2'],
  'UPDATE_FAILED without a version': ['bad1', 'bad2'],
  DELETING: ['good1'],
};
const STATES = Object.keys(HISTORIES) as State[];

const env = (value: string) => ({ environmentVariables: { VALUE: value } });

interface Operation {
  does: (server: TestServer, agentRuntimeId: string) => Promise<Answer>;
  /** The endpoint that is called afterwards. */
  endpoint?: string;
}

const update = (body: object): Operation => ({
  does: (server, agentRuntimeId) => server.call('UpdateAgentRuntime', { agentRuntimeId }, body),
});
const newEndpoint = (targetVersion: string): Operation => ({
  does: (server, agentRuntimeId) =>
    server.call(
      'CreateAgentRuntimeEndpoint',
      { agentRuntimeId },
      { agentRuntimeEndpointName: 'mine', targetVersion },
    ),
  endpoint: 'mine',
});

const OPERATIONS = {
  'an update to good9': update(env('good9')),
  'an update to bad9': update(env('bad9')),
  'an update back to what version 1 runs': update(env('good1')),
  'the same update again': update({}),
  'a description': update({ description: 'told' }),
  'a delete': {
    does: (server, agentRuntimeId) => server.call('DeleteAgentRuntime', { agentRuntimeId }),
  },
  'a create of the same name': {
    does: (server) =>
      server.call(
        'CreateAgentRuntime',
        {},
        {
          agentRuntimeName: 'agent',
          artifactType: 'Container',
          containerConfiguration: { image: 'any' },
          cpu: 1,
          memory: 512,
          port: 9000,
        },
      ),
  },
  'an endpoint on version 1': newEndpoint('1'),
  'an endpoint on LATEST': newEndpoint('LATEST'),
  'a publish': {
    does: (server, agentRuntimeId) =>
      server.call('PublishRuntimeVersion', { agentRuntimeId }, { description: 'out', publisher: 'me' }),
  },
} satisfies Record<string, Operation>;
type Name = keyof typeof OPERATIONS;

const NOT_READY = /runtime must be in READY status/;
const GONE = /does not exist/;
const TAKEN = /already exists/;

/** HTTP status with the status or the message in the answer → final status, versions, who answers a call. */
type Row = [answer: [number, string | RegExp | undefined], final: string, versions: string[], serves: string];

const refused = (state: State, [code, message]: [number, RegExp]): Row => [[code, message], ...ends[state]];
/** How each state ends when nothing is asked of it. */
const ends: Record<State, [final: string, versions: string[], serves: string]> = {
  CREATING: ['READY', ['slow1'], 'slow1'],
  CREATE_FAILED: ['CREATE_FAILED', [], '503'],
  READY: ['READY', ['good1'], 'good1'],
  UPDATING: ['READY', ['good1', 'slow2'], 'slow2'],
  UPDATE_FAILED: ['UPDATE_FAILED', ['good1'], 'good1'],
  'UPDATING without a version': ['READY', ['slow2'], 'slow2'],
  'UPDATE_FAILED without a version': ['UPDATE_FAILED', [], '503'],
  DELETING: ['404', [], '404'],
};
const updating = (final: string, versions: string[], serves: string): Row => [
  [200, 'UPDATING'],
  final,
  versions,
  serves,
];
const everywhere = (row: (state: State) => Row) =>
  Object.fromEntries(STATES.map((state) => [state, row(state)])) as Record<State, Row>;
/** Writes that need a version that serves. */
const needsVersion = (answer: [number, string | undefined], more: Partial<Record<State, Row>> = {}) => ({
  ...everywhere((state) => {
    const serves = ends[state][1].includes('good1') && state !== 'DELETING';
    return serves ? [answer, ...ends[state]] : refused(state, [400, NOT_READY]);
  }),
  ...more,
});

/** An update that changes nothing that runs: what failed is tried again, what is READY stays as it is. */
const TRIED_AGAIN: Record<State, Row> = {
  CREATING: updating('READY', ['slow1'], 'slow1'),
  CREATE_FAILED: updating('UPDATE_FAILED', [], '503'),
  READY: updating('READY', ['good1'], 'good1'),
  UPDATING: updating('READY', ['good1', 'slow2'], 'slow2'),
  UPDATE_FAILED: updating('UPDATE_FAILED', ['good1'], 'good1'),
  'UPDATING without a version': updating('READY', ['slow2'], 'slow2'),
  'UPDATE_FAILED without a version': updating('UPDATE_FAILED', [], '503'),
  DELETING: refused('DELETING', [404, GONE]),
};

const TABLE: Record<Name, Record<State, Row>> = {
  'an update to good9': {
    CREATING: updating('READY', ['good9'], 'good9'),
    CREATE_FAILED: updating('READY', ['good9'], 'good9'),
    READY: updating('READY', ['good1', 'good9'], 'good9'),
    UPDATING: updating('READY', ['good1', 'good9'], 'good9'),
    UPDATE_FAILED: updating('READY', ['good1', 'good9'], 'good9'),
    'UPDATING without a version': updating('READY', ['good9'], 'good9'),
    'UPDATE_FAILED without a version': updating('READY', ['good9'], 'good9'),
    DELETING: refused('DELETING', [404, GONE]),
  },
  'an update to bad9': {
    CREATING: updating('UPDATE_FAILED', [], '503'),
    CREATE_FAILED: updating('UPDATE_FAILED', [], '503'),
    READY: updating('UPDATE_FAILED', ['good1'], 'good1'),
    UPDATING: updating('UPDATE_FAILED', ['good1'], 'good1'),
    UPDATE_FAILED: updating('UPDATE_FAILED', ['good1'], 'good1'),
    'UPDATING without a version': updating('UPDATE_FAILED', [], '503'),
    'UPDATE_FAILED without a version': updating('UPDATE_FAILED', [], '503'),
    DELETING: refused('DELETING', [404, GONE]),
  },
  'an update back to what version 1 runs': {
    CREATING: updating('READY', ['good1'], 'good1'),
    CREATE_FAILED: updating('READY', ['good1'], 'good1'),
    READY: updating('READY', ['good1'], 'good1'),
    UPDATING: updating('READY', ['good1'], 'good1'),
    UPDATE_FAILED: updating('READY', ['good1'], 'good1'),
    'UPDATING without a version': updating('READY', ['good1'], 'good1'),
    'UPDATE_FAILED without a version': updating('READY', ['good1'], 'good1'),
    DELETING: refused('DELETING', [404, GONE]),
  },
  'the same update again': TRIED_AGAIN,
  'a description': TRIED_AGAIN,
  'a delete': everywhere(() => [[200, 'DELETING'], '404', [], '404']),
  'a create of the same name': everywhere((state) => refused(state, [409, TAKEN])),
  'an endpoint on version 1': needsVersion([200, 'CREATING'], {
    // A rollback under way: whatever becomes of the update, this endpoint stays where it was put.
    UPDATING: [[200, 'CREATING'], 'READY', ['good1', 'slow2'], 'good1'],
  }),
  'an endpoint on LATEST': needsVersion([200, 'CREATING']),
  'a publish': needsVersion([200, undefined]),
};

/** A promise that a test resolves when it wants. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe.each(STATES)('a runtime in %s', (state) => {
  it.each(Object.keys(OPERATIONS) as Name[])('and %s', (name) =>
    withServer({ deleteGraceMs: 3_600_000 }, async (server) => {
      const slow = gate();
      server.driver.behave = ({ environment: { VALUE = '' } }) => {
        if (VALUE.startsWith('slow')) return { until: slow.opened };
        if (VALUE.startsWith('bad')) return { failure: { kind: 'exited', message: 'exited with code 1' } };
        return {};
      };
      const agentRuntimeId = await comeTo(state, server);
      const operation: Operation = OPERATIONS[name];
      const [[code, told], final, versions, serves] = TABLE[name][state];

      const startsBefore = server.driver.starts.length;
      const answer = await operation.does(server, agentRuntimeId);
      expect(answer.status, answer.message).toBe(code);
      if (told instanceof RegExp) expect(answer.message).toMatch(told);
      else expect(answer.data.status).toBe(told);

      slow.open();
      for (const response of server.driver.hanging) response.end('');
      if (final === '404') {
        await waitFor(
          '404',
          async () => (await server.call('GetAgentRuntime', { agentRuntimeId })).status === 404,
        );
      } else {
        expect((await server.decided(agentRuntimeId)).status).toBe(final);
        expect(await valuesOfVersions(server, agentRuntimeId)).toEqual(versions);
        // What is desired is shown, whether it serves or not; a version shows what serves.
        const desired = (await server.call('GetAgentRuntime', { agentRuntimeId })).data;
        if (name === 'a description' && code === 200) expect(desired.description).toBe('told');
        const ranAlready = state === 'READY' && versions.length === 1 && final === 'READY';
        if (ranAlready) expect(server.driver.starts).toHaveLength(startsBefore);
      }
      if (operation.endpoint !== undefined && code === 200) {
        const { agentRuntimeEndpointId } = answer.data;
        const ids = { agentRuntimeId, agentRuntimeEndpointId };
        await waitFor('the endpoint', async () => {
          return (await server.call('GetAgentRuntimeEndpoint', ids)).data.status === 'READY';
        });
      }
      expect(await whoServes(server, code === 200 ? operation.endpoint : undefined)).toBe(serves);
      // Attempts that came to nothing leave no instance.
      const kept = [...server.driver.instances.values()].map(({ spec }) => spec.environment.VALUE ?? '');
      expect(kept.filter((value) => !versions.includes(value))).toEqual([]);
    }),
  );
});

async function comeTo(state: State, server: TestServer): Promise<string> {
  const [first = '', ...later] = HISTORIES[state];
  const agentRuntimeId = await server.create('agent', env(first));
  const reached = async (value: string) => {
    if (!value.startsWith('slow')) return void (await server.decided(agentRuntimeId));
    await waitFor(`the start of ${value}`, () => server.driver.starts.at(-1)?.environment.VALUE === value);
  };
  await reached(first);
  for (const value of later) {
    await server.call('UpdateAgentRuntime', { agentRuntimeId }, env(value));
    await reached(value);
  }
  if (state === 'DELETING') {
    // A call that goes on keeps the delete from ending.
    void server.invoke('agent', '/hang').then(
      (response) => response.text(),
      () => {},
    );
    await waitFor('the call', () => server.driver.hanging.length === 1);
    await server.call('DeleteAgentRuntime', { agentRuntimeId });
  }
  const { data } = await server.call('GetAgentRuntime', { agentRuntimeId });
  expect(data.status).toBe(state.split(' ')[0]);
  return agentRuntimeId;
}

/** Versions are numbered from 1 without a gap, and each keeps what it was made of. */
async function valuesOfVersions(server: TestServer, agentRuntimeId: string): Promise<string[]> {
  const { data } = await server.call('ListAgentRuntimeVersions', { agentRuntimeId });
  const numbers: string[] = data.items
    .map((it: { agentRuntimeVersion: string }) => it.agentRuntimeVersion)
    .reverse();
  expect(numbers).toEqual(numbers.map((_, index) => String(index + 1)));
  const values: string[] = [];
  for (const number of numbers) {
    const { data } = await server.api(
      `/2025-09-10/agents/runtimes/${agentRuntimeId}?agentRuntimeVersion=${number}`,
    );
    values.push(data.environmentVariables.VALUE);
  }
  return values;
}

async function whoServes(server: TestServer, endpoint = 'Default'): Promise<string> {
  const response = await server.invoke('agent', '/', { endpoint });
  if (response.status !== 200) return String(response.status);
  return ((await response.json()) as { env: { VALUE: string } }).env.VALUE;
}
