import { readdirSync, readlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { InstanceRoute, SocketLink } from '../../src/feed/messages.ts';
import {
  call,
  closeAtEnd,
  INVOKE,
  instanceOf,
  rawConnection,
  runtime,
  startAgent,
  startTestGateway,
  type TestAgent,
  until,
} from './harness.ts';

/** S4: nothing is sent on a connection that another process may have taken. */

/** The links to this process's sockets that are there now and not in `before`. */
function socketLinks(before: SocketLink[] = []): SocketLink[] {
  const known = new Set(before.map((it) => it.target));
  return readdirSync('/proc/self/fd').flatMap((name) => {
    const path = `/proc/${process.pid}/fd/${name}`;
    try {
      const target = readlinkSync(path);
      return target.startsWith('socket:') && !known.has(target) ? [{ path, target }] : [];
    } catch {
      return [];
    }
  });
}

/** A listening socket with the links that prove it open. */
async function openListener(): Promise<{ links: SocketLink[]; close: () => Promise<void> }> {
  const before = socketLinks();
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const links = socketLinks(before);
  const close = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  closeAtEnd(() => (server.listening ? close() : undefined));
  return { links, close };
}

/** One that was open once: its number is no other socket's. */
async function closedListener(): Promise<SocketLink[]> {
  const { links, close } = await openListener();
  await close();
  return links;
}

/** Something that takes connections on a port, and counts every byte. */
async function startStranger() {
  let bytes = 0;
  const agent = await startAgent((_, response) => response.end('stranger'), {
    setUp: (server) =>
      server.on('connection', (socket) => {
        socket.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
      }),
  });
  return { ...agent, bytes: () => bytes };
}

const withLinks = (agent: TestAgent, links: readonly SocketLink[]): InstanceRoute => ({
  ...instanceOf(agent),
  links,
});
const serving = (...instances: (TestAgent | InstanceRoute)[]) =>
  runtime({ serves: [{ instances, slots: 9 }] });

describe.skipIf(process.platform !== 'linux')('a connection to an instance', () => {
  test('is used when the instance still has its listening socket, by any of its links', async () => {
    const [closed, { links }] = [await closedListener(), await openListener()];
    const agent = await startAgent((_, response) => response.end('agent'));
    const gateway = await startTestGateway({
      runtimes: [serving(withLinks(agent, [...closed, ...links]))],
    });
    expect((await call(gateway.port, INVOKE)).body).toBe('agent');
    expect(gateway.of('unreachable')).toEqual([]);
  });

  test('is used where the system does not say', async () => {
    const agent = await startAgent((_, response) => response.end('agent'));
    const gateway = await startTestGateway({ runtimes: [serving(agent)] });
    expect((await call(gateway.port, INVOKE)).body).toBe('agent');
  });

  test.each([
    ['a call without a body', {}],
    ['a call with a body', { body: 'hello' }],
    ['a call with a large body', { body: Buffer.alloc(1_000_000) }],
  ])(
    'carries not a byte of %s when the instance has closed its socket; another one answers',
    async (_, options) => {
      const stranger = await startStranger();
      const agent = await startAgent((request, response) => {
        request.resume().on('end', () => response.end('agent'));
      });
      const gateway = await startTestGateway({
        random: () => 0,
        runtimes: [serving(withLinks(stranger, await closedListener()), agent)],
      });
      expect((await call(gateway.port, INVOKE, options)).body).toBe('agent');
      expect(gateway.of('unreachable')).toEqual([
        {
          type: 'unreachable',
          instanceId: `instance-${stranger.port}`,
          reason: expect.stringContaining('another process may have it') as string,
          listenerInDoubt: true,
        },
      ]);
      await until(
        () => stranger.accepted.length > 0 && stranger.accepted.every((it) => it.destroyed),
        'the end',
      );
      expect(stranger.bytes()).toBe(0);
    },
  );

  test('carries nothing of an upgrade either', async () => {
    const stranger = await startStranger();
    const agent = await startAgent((_, response) => response.end('agent'), {
      setUp: (server) =>
        server.on('upgrade', (_request, socket) => {
          socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nagent');
        }),
    });
    const gateway = await startTestGateway({
      random: () => 0,
      runtimes: [serving(withLinks(stranger, await closedListener()), agent)],
    });
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(`GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
    await until(() => state.text.endsWith('\r\n\r\nagent'), 'the upgrade');
    expect(stranger.accepted).toHaveLength(1);
    expect(stranger.bytes()).toBe(0);
  });

  test('is made again when routes name the socket that was opened anew; the call waited for that', async () => {
    const agent = await startAgent((_, response) => response.end('agent'));
    const gateway = await startTestGateway({
      runtimes: [serving(withLinks(agent, await closedListener()))],
    });
    const reply = call(gateway.port, INVOKE, { body: 'hello' });
    await until(() => gateway.of('unreachable').length, 'the control process to be asked');
    const { links } = await openListener();
    await gateway.routes(serving(withLinks(agent, links)));
    expect((await reply).body).toBe('agent');
  });

  test('is never used when the instance certainly does not listen', async () => {
    const stranger = await startStranger();
    const gateway = await startTestGateway({
      runtimes: [serving(withLinks(stranger, []))],
      settings: { queueTimeoutMs: 50 },
    });
    expect((await call(gateway.port, INVOKE)).status).toBe(503);
    expect(stranger.bytes()).toBe(0);
  });

  test('once made is kept and used again, whatever becomes of the socket that took it', async () => {
    const listener = await openListener();
    const agent = await startAgent((_, response) => response.end('agent'));
    const gateway = await startTestGateway({ runtimes: [serving(withLinks(agent, listener.links))] });
    expect((await call(gateway.port, INVOKE)).body).toBe('agent');
    await listener.close();
    expect((await call(gateway.port, INVOKE)).body).toBe('agent');
    expect(agent.accepted).toHaveLength(1);
  });

  test('of an instance that is gone is closed at once', async () => {
    const { links } = await openListener();
    const agent = await startAgent((_, response) => response.end('agent'));
    const gateway = await startTestGateway({ runtimes: [serving(withLinks(agent, links))] });
    await call(gateway.port, INVOKE);
    expect(agent.accepted[0]!.destroyed).toBe(false);
    await gateway.routes(serving());
    await until(() => agent.accepted[0]!.destroyed, 'the connection to be closed');
  });
});
