import { readlinkSync } from 'node:fs';
import type { RequestOptions } from 'node:http';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { SocketLink } from '../feed/messages.ts';
import type { Instance } from './instances.ts';

/** What a request needs to get a connection to an instance. */
export interface Dial extends RequestOptions {
  /** Aborted when nobody waits for the connection any more; one that was made is not touched. */
  unwanted?: AbortSignal;
}

/** Somebody took the connection of whom nothing proves that it is the instance. Nothing was sent. */
export class UnprovenListener extends Error {
  override readonly name = 'UnprovenListener';
  readonly code = 'ERR_UNPROVEN_LISTENER';
  readonly syscall = 'connect';

  constructor({ host, port }: { host: string; port: number }) {
    super(`${host}:${port} is open, but the agent has closed its socket there; another process may have it`);
  }
}

/** Node's form of making a connection: answers through the callback alone, once. */
export type Connect = (options: Dial, callback: (error: Error | null, socket: Socket) => void) => undefined;

/**
 * Makes new connections to an instance, handed over only when it certainly is the instance that took them.
 *
 * A port that its agent has let go of may be anybody's a moment later, before any route says so. But while the agent's
 * own listening socket is open, the kernel gives no connection to another. So it is looked at after the connection
 * was made and before the first byte: a socket that was open before and is open still was so in between.
 */
export function connectTo(instance: Readonly<Instance>): Connect {
  return (options, callback) => {
    const { unwanted } = options;
    const socket = connect(options as NetConnectOpts);
    const settle = (error: Error | null) => {
      unwanted?.removeEventListener('abort', onUnwanted);
      socket.removeListener('error', settle);
      if (error) socket.destroy();
      callback(error, socket);
    };
    const onUnwanted = () => settle(new Error('the connection is not wanted any more'));
    socket.once('error', settle);
    socket.once('connect', () => {
      if (!socket.destroyed) settle(isProven(instance.links) ? null : new UnprovenListener(instance));
    });
    if (unwanted?.aborted) onUnwanted();
    else unwanted?.addEventListener('abort', onUnwanted);
    return undefined;
  };
}

/** Whether it has to be asked who listens there: nobody did, or perhaps somebody else. */
export function isListenerInDoubt(error: NodeJS.ErrnoException): boolean {
  return error instanceof UnprovenListener || error.code === 'ECONNREFUSED';
}

/** Where the system does not say, there is nothing to prove. Two microseconds for the first link. */
function isProven(links: readonly SocketLink[] | undefined): boolean {
  return links === undefined || links.some(isOpen);
}

function isOpen({ path, target }: SocketLink): boolean {
  try {
    return readlinkSync(path) === target;
  } catch {
    // Closed, or its process has gone; or a process has its number whose links are not ours to see.
    return false;
  }
}
