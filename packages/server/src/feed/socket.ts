import type { Socket } from 'node:net';
import { encodeFrame, FRAME_MAX_BYTES, FrameReader } from './frames.ts';
import { Inbox } from './inbox.ts';
import type { FeedPort } from './port.ts';

/**
 * An end over a connected socket. What cannot be read as messages ends the connection, and so does a peer that takes
 * nothing any more: messages for it would fill the memory.
 * @param pendingMaxBytes that may wait to be taken
 */
export function overSocket<Out, In>(
  socket: Socket,
  { pendingMaxBytes = FRAME_MAX_BYTES, frameMaxBytes = FRAME_MAX_BYTES } = {},
): FeedPort<Out, In> {
  const inbox = new Inbox<In>();
  const reader = new FrameReader(frameMaxBytes);
  let closed = false;
  socket.on('data', (piece) => {
    try {
      for (const message of reader.read(piece)) {
        if (!isMessage(message)) return void socket.destroy();
        inbox.deliver(message as In);
      }
    } catch {
      socket.destroy();
    }
  });
  // Whatever it is, `close` follows.
  socket.on('error', () => {});
  socket.once('close', () => inbox.close());
  if (socket.destroyed) inbox.close();
  return {
    send: (message) => {
      if (closed || !socket.writable) return;
      if (socket.writableLength > pendingMaxBytes) socket.destroy();
      else socket.write(encodeFrame(message));
    },
    onMessage: (listener) => inbox.onMessage(listener),
    onClose: (listener) => inbox.onClose(listener),
    close: () => {
      closed = true;
      // What was sent before still goes out.
      socket.destroySoon();
    },
  };
}

function isMessage(value: unknown): value is { type: string } {
  return (
    typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
  );
}
