/**
 * Text up to this size, in bytes, is handed to the kernel from a buffer on the stack, and kept only if that does not take
 * it; larger pieces are copied once and kept until they are sent.
 */
export const TEXT_BYTES = 16 * 1024;

/** A connection with something to be written. */
export interface Sender {
  sendNow(): void;
}

/** Connections that have something to be written in this turn of the event loop. */
const waiting: Sender[] = [];

/**
 * Writes when all that has arrived was read. Many connections at once have something to say then, and whoever is at
 * their other ends is woken once for several of them: that is the larger part of what writing costs.
 */
export function sendSoon(sender: Sender): void {
  if (waiting.length === 0) setImmediate(sendAll);
  waiting.push(sender);
}

function sendAll(): void {
  // Whoever is told while this runs writes in the next turn.
  for (const sender of waiting.splice(0)) sender.sendNow();
}
