import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { encodeFrame } from '../../src/feed/frames.ts';
import { FEED_PROTOCOL, listenForControl, meetGateway } from '../../src/feed/meeting.ts';
import type { DownMessage, UpMessage } from '../../src/feed/messages.ts';
import type { GatewayEnd } from '../../src/feed/port.ts';
import { overSocket } from '../../src/feed/socket.ts';
import { waitFor } from '../wait-for.ts';

/** The feed over a real unix socket. */

const ABOUT = { build: '1.0.0 on node v20', settings: 'a digest' };

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-feed-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'gateway.sock');
}

async function gateway() {
  const path = socketPath();
  const meeting = await listenForControl(path, ABOUT);
  onTestFinished(() => meeting.close());
  const came: GatewayEnd[] = [];
  meeting.onControl((feed) => came.push(feed));
  return { path, meeting, came };
}

/** Somebody who sends these bytes. @returns resolves when the other side has closed */
function stranger(path: string, bytes: Buffer): Promise<void> {
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.resume();
  socket.write(bytes);
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

test('both say what they are, and messages go both ways in their order', async () => {
  const { path, came } = await gateway();
  const { about, feed } = await meetGateway(path, 5000);
  onTestFinished(() => feed.close());
  expect(about).toEqual({ type: 'hello', protocol: FEED_PROTOCOL, ...ABOUT });
  const down: DownMessage[] = [];
  const up: UpMessage[] = [];
  feed.onMessage((message) => up.push(message));
  for (let sequence = 0; sequence < 500; sequence++) feed.send({ type: 'keys', sequence, keys: [] });
  const end = await waitFor('the control process to have come', () => came[0]);
  for (let sequence = 0; sequence < 500; sequence++) end.send({ type: 'installed', sequence });
  end.onMessage((message) => down.push(message));
  await waitFor('all messages', () => down.length === 500 && up.length === 500);
  const numbers = Array.from({ length: 500 }, (_, i) => i);
  expect(down.map((message) => 'sequence' in message && message.sequence)).toEqual(numbers);
  expect(up.map((message) => 'sequence' in message && message.sequence)).toEqual(numbers);
});

test('a snapshot of megabytes arrives whole', async () => {
  const { path, came } = await gateway();
  const { feed } = await meetGateway(path, 5000);
  onTestFinished(() => feed.close());
  const runtimes = Array.from({ length: 2000 }, (_, i) => ({
    runtimeId: `runtime-${i}`,
    name: 'größer '.repeat(300),
    state: 'serving' as const,
    endpoints: [],
    versions: [],
  }));
  feed.send({ type: 'snapshot', sequence: 1, runtimes, keys: [] });
  const heard: DownMessage[] = [];
  (await waitFor('the control process to have come', () => came[0])).onMessage((message) =>
    heard.push(message),
  );
  await waitFor('the snapshot', () => heard.length > 0);
  expect(heard).toEqual([{ type: 'snapshot', sequence: 1, runtimes, keys: [] }]);
});

test('the socket is for this user alone, and gone when nobody listens any more', async () => {
  const { path, meeting } = await gateway();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  meeting.close();
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  await expect(meetGateway(path, 5000)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
});

test.each([
  ['a message without a greeting', encodeFrame({ type: 'shutdown', graceMs: 0 })],
  ['no message at all', encodeFrame(['hello'])],
  ['nothing', encodeFrame(null)],
  ['a message that never ends', Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
])('a stranger who sends %s is shown out, and the control process stays', async (_what, bytes) => {
  const { path, came } = await gateway();
  const { feed } = await meetGateway(path, 5000);
  onTestFinished(() => feed.close());
  await stranger(path, bytes);
  expect(came).toHaveLength(1);
  const heard: UpMessage[] = [];
  feed.onMessage((message) => heard.push(message));
  came[0]!.send({ type: 'closed' });
  await waitFor('the message', () => heard.length === 1);
});

test('strangers who say nothing are not let in without end', async () => {
  const { path } = await gateway();
  const silent = Array.from({ length: 20 }, () => stranger(path, Buffer.alloc(0)));
  let shownOut = 0;
  for (const gone of silent) void gone.then(() => shownOut++);
  await waitFor('all but eight to be shown out', () => shownOut === 12);
});

test('each side notices that the other is gone, with what it sent last', async () => {
  const { path, came } = await gateway();
  const { feed } = await meetGateway(path, 5000);
  const end = await waitFor('the control process to have come', () => came[0]);
  const heard: UpMessage[] = [];
  feed.onMessage((message) => heard.push(message));
  let gone = 0;
  feed.onClose(() => gone++);
  feed.onClose(() => gone++);
  end.onClose(() => gone++);
  end.send({ type: 'closed' });
  end.close();
  await waitFor('the end to be noticed', () => gone === 3);
  expect(heard).toEqual([{ type: 'closed' }]);
  // Nobody hears it; it does no harm.
  end.send({ type: 'closed' });
  feed.send({ type: 'shutdown', graceMs: 0 });
});

test('a gateway that does not answer is given up', async () => {
  const path = socketPath();
  const server = createServer(() => {});
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await expect(meetGateway(path, 30)).rejects.toThrow('the gateway did not answer within 30 ms');
});

test('a peer that takes nothing any more is left, before what waits for it fills the memory', async () => {
  const path = socketPath();
  const server = createServer((socket) => void socket.pause());
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const socket = connect(path);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const end = overSocket<UpMessage, DownMessage>(socket, { pendingMaxBytes: 1024 * 1024 });
  let gone = false;
  end.onClose(() => {
    gone = true;
  });
  for (let i = 0; i < 100; i++) end.send({ type: 'log', line: 'x'.repeat(100_000) });
  expect(socket.writableLength).toBeLessThan(2 * 1024 * 1024);
  await waitFor('the end to be noticed', () => gone);
});
