import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { DownMessage, UpMessage } from '../feed/messages.ts';
import { createFeedPair, type GatewayEnd } from '../feed/port.ts';
import { followControl } from './follow-control.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const WAIT_MS = 60_000;
const KEYS: DownMessage = { type: 'keys', sequence: 1, keys: [] };

function control() {
  const { control, gateway } = createFeedPair();
  const said: UpMessage[] = [];
  control.onMessage((message) => said.push(message));
  return { control, gateway, said };
}

function follow() {
  const first = control();
  let come: (feed: GatewayEnd) => void = () => {};
  const feed = followControl({
    first: first.gateway,
    next: (take) => {
      come = take;
    },
    waitMs: WAIT_MS,
  });
  const heard: DownMessage[] = [];
  const events: string[] = [];
  feed.onMessage((message) => heard.push(message));
  feed.onArrival(() => events.push('arrival'));
  feed.onLeft(() => events.push('left'));
  feed.onClose(() => events.push('over'));
  return { feed, first, heard, events, come: (it: GatewayEnd) => come(it) };
}

test('the next control process is heard and spoken to as the one before was', async () => {
  const { feed, first, heard, events, come } = follow();
  first.control.close();
  await vi.advanceTimersByTimeAsync(WAIT_MS - 1);
  expect(feed.isAttended()).toBe(false);
  feed.send({ type: 'closed' });

  const second = control();
  come(second.gateway);
  expect(feed.isAttended()).toBe(true);
  second.control.send(KEYS);
  feed.send({ type: 'installed', sequence: 1 });
  await vi.advanceTimersByTimeAsync(2 * WAIT_MS);
  expect(heard).toEqual([KEYS]);
  // What was said to nobody is not said later.
  expect(second.said).toEqual([{ type: 'installed', sequence: 1 }]);
  expect(events).toEqual(['left', 'arrival']);
});

test('when no other comes in time it is over, once', async () => {
  const { first, events } = follow();
  first.control.close();
  await vi.advanceTimersByTimeAsync(WAIT_MS - 1);
  expect(events).toEqual(['left']);
  await vi.advanceTimersByTimeAsync(2 * WAIT_MS);
  expect(events).toEqual(['left', 'over']);
});

test('the time counts anew after each', async () => {
  const { events, come, first } = follow();
  first.control.close();
  await vi.advanceTimersByTimeAsync(WAIT_MS - 1);
  const second = control();
  come(second.gateway);
  second.control.close();
  await vi.advanceTimersByTimeAsync(WAIT_MS - 1);
  expect(events).toEqual(['left', 'arrival', 'left']);
  await vi.advanceTimersByTimeAsync(1);
  expect(events.at(-1)).toBe('over');
});

test('one that comes while another is there takes its place, and the other’s end means nothing', async () => {
  const { feed, first, heard, events, come } = follow();
  const second = control();
  come(second.gateway);
  first.control.send(KEYS);
  await vi.advanceTimersByTimeAsync(2 * WAIT_MS);
  expect(feed.isAttended()).toBe(true);
  expect(heard).toEqual([]);
  expect(events).toEqual(['arrival']);
});

test('one that is attended cannot be talked into giving up; one that is not gives up at once', async () => {
  const { feed, first, events } = follow();
  feed.giveUp();
  expect(events).toEqual([]);
  first.control.close();
  await vi.advanceTimersByTimeAsync(0);
  feed.giveUp();
  expect(events).toEqual(['left', 'over']);
});

test('whoever asks only when it is over hears of it all the same', async () => {
  const { control: end, gateway } = createFeedPair();
  const feed = followControl({ first: gateway, waitMs: 0 });
  end.close();
  await vi.advanceTimersByTimeAsync(0);
  let isOver = false;
  feed.onClose(() => {
    isOver = true;
  });
  expect(isOver).toBe(true);
});
