import type { DownMessage, UpMessage } from './messages.ts';

/** One end of the feed. Messages arrive in the order they were sent; a closed end drops what is sent. */
export interface FeedPort<Out, In> {
  send(message: Out): void;
  /** At most one listener; messages that came before it was set are handed to it then. */
  onMessage(listener: (message: In) => void): void;
  /** Called once when the other side is gone. */
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

/** What `process` and `ChildProcess` share of Node's IPC channel. */
export interface IpcChannel {
  send?(message: unknown, callback: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  once(event: 'disconnect', listener: () => void): unknown;
  disconnect?(): void;
  connected?: boolean;
}

/** An end over Node's IPC channel: an inherited descriptor that no other process can open. */
export function overIpc<Out, In>(channel: IpcChannel): FeedPort<Out, In> {
  const inbox = new Inbox<In>();
  channel.on('message', (message) => inbox.deliver(message as In));
  channel.once('disconnect', () => inbox.close());
  // The other side may have gone while this process was still loading, when nobody heard of it.
  if (channel.connected === false) inbox.close();
  return {
    send: (message) => {
      if (channel.connected !== false) channel.send?.(message, () => {});
    },
    onMessage: (listener) => inbox.onMessage(listener),
    onClose: (listener) => inbox.onClose(listener),
    close: () => {
      if (channel.connected) channel.disconnect?.();
    },
  };
}

class Inbox<T> {
  #early: T[] = [];
  #listener: ((message: T) => void) | undefined;
  #closeListener: (() => void) | undefined;
  #closed = false;

  deliver(message: T): void {
    if (this.#closed) return;
    if (this.#listener) this.#listener(message);
    else this.#early.push(message);
  }

  onMessage(listener: (message: T) => void): void {
    this.#listener = listener;
    for (const message of this.#early.splice(0)) listener(message);
  }

  onClose(listener: () => void): void {
    this.#closeListener = listener;
    if (this.#closed) listener();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeListener?.();
  }
}
