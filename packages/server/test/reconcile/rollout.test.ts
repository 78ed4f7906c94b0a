import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

const SLOTS = { sessionConcurrencyLimitPerInstance: 8 };

const ready = async (server: TestServer, name: string, more: object = SLOTS) => {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
};
const rollOut = async (server: TestServer, agentRuntimeId: string, V: string, more: object = {}) => {
  await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V }, ...more });
  expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
};
/** Which revisions have instances. */
const revisions = (server: TestServer) =>
  [...new Set([...server.driver.instances.values()].map(({ spec }) => spec.revision))].sort((a, b) => a - b);
const answeredBy = async (server: TestServer, name = 'agent') => {
  const response = await server.invoke(name);
  expect(response.status).toBe(200);
  return ((await response.json()) as { revision: number }).revision;
};

/** An answer that does not end by itself; what became of it can be asked. */
async function openStream(server: TestServer, name = 'agent') {
  const response = await server.invoke(name, '/hang');
  expect(response.status).toBe(200);
  const stream = { over: undefined as 'whole' | 'cut' | undefined };
  void response.text().then(
    () => {
      stream.over = 'whole';
    },
    () => {
      stream.over = 'cut';
    },
  );
  return stream;
}

/** A WebSocket as far as the gateway is concerned: an upgraded connection. */
async function openSocket(server: TestServer, name = 'agent') {
  const { hostname, port } = new URL(server.url());
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  const state = { revision: 0, closed: false, text: '' };
  socket.on('error', () => {});
  socket.on('close', () => {
    state.closed = true;
  });
  socket.on('data', (chunk) => {
    state.text += chunk;
    state.revision = Number(/revision (\d+)\n/.exec(state.text)?.[1] ?? 0);
  });
  socket.write(
    `GET /agent-runtimes/${name}/endpoints/Default/invocations/ws HTTP/1.1\r\nhost: ${hostname}:${port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`,
  );
  await waitFor('the socket to open', () => state.revision > 0 || state.closed);
  return state;
}

/** Somebody who calls again as soon as there is an answer. */
function keepCalling(server: TestServer) {
  const seen = { statuses: new Set<number | string>(), newest: 0 };
  let stop = false;
  const calling = (async () => {
    while (!stop) {
      try {
        const response = await server.invoke('agent');
        seen.statuses.add(response.status);
        seen.newest = ((await response.json()) as { revision: number }).revision;
      } catch (error) {
        seen.statuses.add(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    async end() {
      stop = true;
      await calling;
      return seen;
    },
  };
}

describe('a rollout', () => {
  it('lets open streams finish, and then the instance of the version before goes', () =>
    withServer({}, async (server) => {
      const id = await ready(server, 'agent');
      const stream = await openStream(server);
      await rollOut(server, id, '2');
      expect(await answeredBy(server)).toBe(2);
      expect(revisions(server)).toEqual([1, 2]);
      server.driver.hanging[0]!.end(' and ended');
      await waitFor('the end of the stream', () => stream.over);
      expect(stream.over).toBe('whole');
      await waitFor('the end of version 1', () => revisions(server).join() === '2');
    }));

  it('cuts what is still open at the deadline', () =>
    withServer({ drainTimeoutMs: 300 }, async (server) => {
      const id = await ready(server, 'agent');
      const stream = await openStream(server);
      const socket = await openSocket(server);
      await rollOut(server, id, '2');
      await waitFor('both to be cut', () => stream.over && socket.closed);
      expect(stream.over).toBe('cut');
      await waitFor('the end of version 1', () => revisions(server).join() === '2');
    }));

  it('with forceEvictInstances cuts at once, and loses no call that comes meanwhile', () =>
    withServer({ drainTimeoutMs: 600_000 }, async (server) => {
      const id = await ready(server, 'agent');
      const stream = await openStream(server);
      const calls = keepCalling(server);
      await rollOut(server, id, '2', { forceEvictInstances: true });
      await waitFor('the stream to be cut', () => stream.over);
      expect(stream.over).toBe('cut');
      await waitFor('the end of version 1', () => revisions(server).join() === '2');
      expect([...(await calls.end()).statuses]).toEqual([200]);
    }));

  it('five times over with calls that never end has two versions drain at most, and ends on the newest', () =>
    withServer({ drainTimeoutMs: 1500 }, async (server) => {
      const id = await ready(server, 'agent');
      const open: { over?: unknown; closed?: boolean }[] = [];
      const calls = keepCalling(server);
      for (let version = 1; version <= 5; version++) {
        open.push(await openStream(server), await openSocket(server));
        await rollOut(server, id, String(version + 1));
        expect(await answeredBy(server)).toBe(version + 1);
        // The two that left last, the newest, and for a moment one that is being stopped.
        await waitFor('at most two to drain', () => revisions(server).length <= 3);
        expect(revisions(server).at(-1)).toBe(version + 1);
      }
      await waitFor('all to be on the newest', () => revisions(server).join() === '6');
      await waitFor('all to be cut', () => open.every((one) => one.over === 'cut' || one.closed));
      const { statuses, newest } = await calls.end();
      expect([...statuses]).toEqual([200]);
      expect(newest).toBe(6);
      expect(server.driver.instances.size).toBe(1);
    }));

  it('keeps what drains until the deadline when there are no more than two', () =>
    withServer({ drainTimeoutMs: 600_000 }, async (server) => {
      const id = await ready(server, 'agent');
      const streams = [];
      for (const version of [2, 3, 4]) {
        streams.push(await openStream(server));
        await rollOut(server, id, String(version));
      }
      await waitFor('the oldest to be cut', () => streams[0]!.over === 'cut');
      await waitFor('the end of version 1', () => revisions(server).join() === '2,3,4');
      expect(streams.slice(1).map(({ over }) => over)).toEqual([undefined, undefined]);
    }));

  it('that is taken back keeps the instances that were still draining', () =>
    withServer({ drainTimeoutMs: 600_000 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      await rollOut(server, agentRuntimeId, '2');
      const create = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        { agentRuntimeEndpointName: 'Default', targetVersion: '1' },
      );
      const ids = { agentRuntimeId, agentRuntimeEndpointId: create.data.agentRuntimeEndpointId };
      const target = async (targetVersion: string) => {
        await server.call('UpdateAgentRuntimeEndpoint', ids, { targetVersion });
        await waitFor('the endpoint', async () => {
          const { data } = await server.call('GetAgentRuntimeEndpoint', ids);
          return data.status === 'READY';
        });
      };
      await waitFor('version 1', async () => (await answeredBy(server)) === 1);
      const stream = await openStream(server);
      const before = server.driver.starts.length;
      for (let turn = 0; turn < 3; turn++) {
        await target('2');
        await waitFor('version 2', async () => (await answeredBy(server)) === 2);
        await target('1');
        await waitFor('version 1', async () => (await answeredBy(server)) === 1);
      }
      // Version 2 may be started anew, when its last call was over; version 1 had one all the time.
      expect(server.driver.starts.slice(before).every(({ revision }) => revision === 2)).toBe(true);
      expect(stream.over).toBeUndefined();
      server.driver.hanging[0]!.end('');
      await waitFor('the end of the stream', () => stream.over === 'whole');
    }));

  it('to a weight of 0 gives a version no new calls, and leaves its open ones alone', () =>
    withServer({ drainTimeoutMs: 100 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const { data } = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        { agentRuntimeEndpointName: 'Default', targetVersion: '1' },
      );
      const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
      const stream = await openStream(server);
      await rollOut(server, agentRuntimeId, '2');
      await server.call('UpdateAgentRuntimeEndpoint', ids, {
        targetVersion: '2',
        routingConfiguration: { versionWeights: [{ version: '1', weight: 0 }] },
      });
      await waitFor('version 2', async () => (await answeredBy(server)) === 2);
      for (let turn = 0; turn < 10; turn++) expect(await answeredBy(server)).toBe(2);
      // Long after a drain would have been over.
      await ready(server, 'other');
      await waitFor('the control process to hear of the call', async () => {
        const { data: listed } = await server.api('/runstead/v1/instances');
        return listed.items.some(
          (it: { agentRuntimeVersion: string; inFlight: number; state: string }) =>
            it.agentRuntimeVersion === '1' && it.inFlight === 1 && it.state === 'ready',
        );
      });
      expect(stream.over).toBeUndefined();
      server.driver.hanging[0]!.end('');
      await waitFor('the end of the stream', () => stream.over === 'whole');
    }));
});

describe('a delete', () => {
  it('cuts open streams after their grace, and ends', () =>
    withServer({ deleteGraceMs: 200 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const stream = await openStream(server);
      await server.call('DeleteAgentRuntime', { agentRuntimeId });
      await waitFor('the stream to be cut', () => stream.over === 'cut');
      await waitFor(
        '404',
        async () => (await server.call('GetAgentRuntime', { agentRuntimeId })).status === 404,
      );
      expect(server.driver.instances.size).toBe(0);
    }));
});
