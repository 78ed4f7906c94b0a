import type { Connection, ConnectionUser } from './connection-pool.ts';
import type { Exchange, RawUser } from './exchange.ts';
import { TEXT_BYTES } from './outbox.ts';

/** How long one end may go on after the other has said it is done, in ms. */
const HALF_CLOSED_MS = 30_000;

export interface SpliceOptions {
  exchange: Exchange;
  connection: Connection;
  /** The head of the 101, as the client gets it. */
  head: string;
  /** What the agent sent behind its head. */
  first: Buffer;
}

/**
 * Passes raw bytes both ways between client and agent after an upgrade (WebSocket or other, RFC 9110 section 7.8).
 * Resolves when both connections have closed, however they did.
 */
export function splice(options: SpliceOptions): { over: Promise<void>; cut: () => void } {
  const { exchange, connection } = options;
  const client = exchange.socket;
  const agent = connection.socket;
  let open = 2;
  let sayOver = () => {};
  const over = new Promise<void>((resolve) => {
    sayOver = resolve;
  });
  let halfClosed: NodeJS.Timeout | undefined;
  const beginHalfClose = () => {
    halfClosed ??= setTimeout(() => {
      client.destroy();
      agent.destroy();
    }, HALF_CLOSED_MS).unref();
  };
  let clientEnded = false;
  let agentEnded = false;
  const closed = () => {
    if (--open > 0) return;
    clearTimeout(halfClosed);
    sayOver();
  };

  const clientSide: RawUser = {
    onBytes: (bytes) => {
      if (!agent.write(bytes)) client.pause();
    },
    onEnd: () => {
      clientEnded = true;
      agent.end();
      beginHalfClose();
    },
    onDrain: () => connection.resume(),
    onClose: () => {
      // Closed without having ended: reset, or cut off. The other end must not take it for the end of a message.
      if (!clientEnded) agent.destroy();
      closed();
    },
  };
  const agentSide: ConnectionUser = {
    onBytes: (bytes, size) => {
      if (size <= TEXT_BYTES) return client.write(bytes.toString('latin1', 0, size), 'latin1');
      return client.write(Buffer.from(bytes.subarray(0, size)));
    },
    onEnd: () => {
      agentEnded = true;
      client.end();
      beginHalfClose();
    },
    onDrain: () => client.resume(),
    onClose: () => {
      if (!agentEnded) client.destroy();
      closed();
    },
  };

  const early = exchange.takeOver(options.head, clientSide);
  connection.user = agentSide;
  if (options.first.length > 0) client.write(options.first);
  if (early) agent.write(early);
  client.resume();
  connection.resume();
  // An upgraded connection may be silent for as long as both ends like; what has died without a word is found by the kernel.
  client.setKeepAlive(true, 60_000);
  agent.setKeepAlive(true, 60_000);
  // Either may have gone before anybody listened.
  if (client.destroyed) clientSide.onClose();
  if (agent.destroyed) agentSide.onClose(undefined);
  return {
    over,
    cut: () => {
      client.destroy();
      agent.destroy();
    },
  };
}
