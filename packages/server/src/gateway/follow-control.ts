import type { DownMessage, UpMessage } from '../feed/messages.ts';
import type { GatewayEnd } from '../feed/port.ts';

export interface FollowOptions {
  /** The control process that started the gateway. */
  first: GatewayEnd;
  /** Calls back with every one that comes later. */
  next?: ((take: (feed: GatewayEnd) => void) => void) | undefined;
  /** How long a gateway without a control process waits for the next, in ms. */
  waitMs: number;
}

/** The feed of a gateway, whichever control process is at its other end. What is sent while there is none is dropped. */
export interface FollowedControl extends GatewayEnd {
  isAttended(): boolean;
  /** A control process has come in place of another. */
  onArrival(listener: () => void): void;
  /** It has gone, and the next may come. */
  onLeft(listener: () => void): void;
  /** None has come in time: it is gone for good. */
  onClose(listener: () => void): void;
  /** Waits no longer for the next, if there is none. */
  giveUp(): void;
}

/** Follows one control process after another, the newest if there are two. */
export function followControl({ first, next, waitMs }: FollowOptions): FollowedControl {
  let feed: GatewayEnd | undefined;
  let receive: ((message: DownMessage) => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  let isClosed = false;
  const arrivals: (() => void)[] = [];
  const departures: (() => void)[] = [];
  const ends: (() => void)[] = [];

  const giveUp = () => {
    if (feed || isOver) return;
    clearTimeout(timer);
    isOver = true;
    for (const listener of ends.splice(0)) listener();
  };
  const take = (from: GatewayEnd) => {
    if (isClosed) return from.close();
    clearTimeout(timer);
    const before = feed;
    feed = from;
    before?.onMessage(undefined);
    before?.close();
    from.onClose(() => {
      if (feed !== from) return;
      feed = undefined;
      if (isClosed) return;
      for (const listener of departures) listener();
      // Keeps nothing alive by itself: what listens does.
      timer = setTimeout(giveUp, waitMs).unref();
    });
    if (receive) from.onMessage(receive);
  };
  take(first);
  next?.((from) => {
    take(from);
    for (const listener of arrivals) listener();
  });

  return {
    isAttended: () => feed !== undefined,
    send: (message: UpMessage) => feed?.send(message),
    onMessage: (listener) => {
      receive = listener;
      feed?.onMessage(listener);
    },
    onArrival: (listener) => void arrivals.push(listener),
    onLeft: (listener) => void departures.push(listener),
    onClose: (listener) => {
      if (isOver) listener();
      else ends.push(listener);
    },
    giveUp,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      feed?.close();
    },
  };
}
