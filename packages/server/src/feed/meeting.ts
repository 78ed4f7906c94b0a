import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import type { DownMessage, UpMessage } from './messages.ts';
import type { ControlEnd, GatewayEnd } from './port.ts';
import { overSocket } from './socket.ts';

/**
 * How a control process and a gateway find each other: the gateway listens on a unix socket of its own, in a folder
 * that no other user may enter; a control process connects, and both say what they are before anything else. A control
 * process that comes later takes the place of the one before: there is one at a time, by the lock on the data folder.
 *
 * This much is for all releases to come, and so are the messages `listening`, `listen-failed`, `shutdown` and
 * `released`: a server of another release has to be able to send a gateway home.
 */

/** Changes whenever one side would misread the other. */
export const FEED_PROTOCOL = 1;

/** What a gateway says of itself. */
export interface GatewayHello {
  type: 'hello';
  protocol: number;
  /** `BUILD` of what it runs. */
  build: string;
  /** Digest of the settings it was started with, without the ports. */
  settings: string;
}

interface ControlHello {
  type: 'hello';
  protocol: number;
}

/** Nobody but a control process has anything to say here, and that says it at once. */
const HELLO_WITHIN_MS = 5000;
/** A hello is short; what is longer is none. */
const STRANGER_MAX = 8;
/** A control process that takes nothing any more while this much waits for it is left. */
const PENDING_MAX_BYTES = 16 * 1024 * 1024;

/** Where control processes come to. */
export interface MeetingPoint {
  /** At most one listener; one that came before it was set is handed to it then. */
  onControl(listener: (feed: GatewayEnd) => void): void;
  close(): void;
}

/**
 * Listens for control processes.
 * @param path of the socket, at most 104 bytes
 * @throws Error when it cannot be listened on
 */
export async function listenForControl(
  path: string,
  about: Omit<GatewayHello, 'type' | 'protocol'>,
): Promise<MeetingPoint> {
  const early: GatewayEnd[] = [];
  let listener: ((feed: GatewayEnd) => void) | undefined;
  const strangers = new Set<Socket>();
  const server = createServer((socket) => {
    if (strangers.size >= STRANGER_MAX) return void socket.destroy();
    strangers.add(socket);
    const feed = overSocket<UpMessage | GatewayHello, DownMessage | ControlHello>(socket, {
      pendingMaxBytes: PENDING_MAX_BYTES,
    });
    const timer = setTimeout(() => socket.destroy(), HELLO_WITHIN_MS);
    feed.onClose(() => {
      clearTimeout(timer);
      strangers.delete(socket);
    });
    feed.onMessage((message) => {
      if (message.type !== 'hello') return void socket.destroy();
      clearTimeout(timer);
      strangers.delete(socket);
      feed.onMessage(undefined);
      feed.send({ type: 'hello', protocol: FEED_PROTOCOL, ...about });
      if (listener) listener(feed as GatewayEnd);
      else early.push(feed as GatewayEnd);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    onControl: (wanted) => {
      listener = wanted;
      for (const feed of early.splice(0)) wanted(feed);
    },
    close: () => {
      server.close();
      for (const socket of strangers) socket.destroy();
      rmSync(path, { force: true });
    },
  };
}

/** A gateway that is spoken with. */
export interface MetGateway {
  about: GatewayHello;
  feed: ControlEnd;
}

/**
 * Connects to the gateway that listens there.
 * @param withinMs for its answer
 * @throws Error when nobody listens or answers
 */
export function meetGateway(path: string, withinMs: number): Promise<MetGateway> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const feed = overSocket<DownMessage | ControlHello, UpMessage | GatewayHello>(socket);
    const timer = setTimeout(
      () => socket.destroy(new Error(`the gateway did not answer within ${withinMs} ms`)),
      withinMs,
    );
    let fault: Error | undefined;
    socket.once('error', (error) => {
      fault = error;
    });
    feed.onClose(() => {
      clearTimeout(timer);
      reject(fault ?? new Error('the gateway closed the connection'));
    });
    feed.onMessage((message) => {
      if (message.type !== 'hello') return void socket.destroy();
      clearTimeout(timer);
      feed.onMessage(undefined);
      resolve({ about: message, feed: feed as ControlEnd });
    });
    socket.once('connect', () => feed.send({ type: 'hello', protocol: FEED_PROTOCOL }));
  });
}
