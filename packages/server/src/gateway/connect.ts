import { readlinkSync } from 'node:fs';
import type { SocketLink } from '../feed/messages.ts';

/** Somebody took the connection of whom nothing proves that it is the instance. Nothing was sent. */
export class UnprovenListener extends Error {
  override readonly name = 'UnprovenListener';
  readonly code = 'ERR_UNPROVEN_LISTENER';
  readonly syscall = 'connect';

  constructor({ host, port }: { host: string; port: number }) {
    super(`${host}:${port} is open, but the agent has closed its socket there; another process may have it`);
  }
}

/**
 * Says whether it certainly is the instance that took a connection which was just made to it.
 *
 * A port that its agent has let go of may be anybody's a moment later, before any route says so. But while the agent's
 * own listening socket is open, the kernel gives no connection to another. So it is looked at after the connection
 * was made and before the first byte: a socket that was open before and is open still was so in between.
 */
export function whoTook(instance: {
  host: string;
  port: number;
  links: readonly SocketLink[] | undefined;
}): UnprovenListener | undefined {
  return isProven(instance.links) ? undefined : new UnprovenListener(instance);
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
