import { Inbox } from './inbox.ts';
import type { DownMessage, UpMessage } from './messages.ts';

/** One end of the feed. Messages arrive in the order they were sent; a closed end drops what is sent. */
export interface FeedPort<Out, In> {
  send(message: Out): void;
  /** At most one listener; messages that come while there is none are handed to the next. */
  onMessage(listener: ((message: In) => void) | undefined): void;
  /** Each listener is called once when the other side is gone. */
  onClose(listener: () => void): void;
  close(): void;
}

export type ControlEnd = FeedPort<DownMessage, UpMessage>;
export type GatewayEnd = FeedPort<UpMessage, DownMessage>;

/** Both ends in one process, for tests: messages are copied and delivered asynchronously, as between processes. */
export function createFeedPair(): { control: ControlEnd; gateway: GatewayEnd } {
  const down = new Inbox<DownMessage>();
  const up = new Inbox<UpMessage>();
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    queueMicrotask(() => {
      down.close();
      up.close();
    });
  };
  const end = <Out, In>(outbox: Inbox<Out>, inbox: Inbox<In>): FeedPort<Out, In> => ({
    send: (message) => {
      if (closed) return;
      const copy = structuredClone(message);
      setImmediate(() => outbox.deliver(copy));
    },
    onMessage: (listener) => inbox.onMessage(listener),
    onClose: (listener) => inbox.onClose(listener),
    close,
  });
  return { control: end(down, up), gateway: end(up, down) };
}
