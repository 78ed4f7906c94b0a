import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Handshakes } from './handshakes.ts';

let port = 1000;
function socket(from = port++) {
  const ends = { remoteAddress: '10.0.0.8', remotePort: from, localAddress: '10.0.0.7', localPort: 7443 };
  const events = new EventEmitter();
  const fake = Object.assign(events, ends, {
    destroyed: false,
    destroy() {
      fake.destroyed = true;
      events.emit('close');
    },
  });
  return fake as unknown as Socket;
}

test('beyond the limit the oldest unfinished handshake makes room', () => {
  const handshakes = new Handshakes(2);
  const [first, second, third] = [socket(), socket(), socket()];
  for (const it of [first, second, third]) handshakes.begin(it);
  expect([first, second, third].map((it) => it.destroyed)).toEqual([true, false, false]);
  expect(handshakes.size).toBe(2);
});

test('a finished one counts no longer, although its socket is another object by then', () => {
  const handshakes = new Handshakes(1);
  const raw = socket();
  handshakes.begin(raw);
  handshakes.done(socket(raw.remotePort));
  handshakes.begin(socket());
  expect(raw.destroyed).toBe(false);
});

test('one that closes is forgotten, and all that are left can be cut', () => {
  const handshakes = new Handshakes();
  const [gone, left] = [socket(), socket()];
  handshakes.begin(gone);
  handshakes.begin(left);
  gone.destroy();
  expect(handshakes.size).toBe(1);
  handshakes.cut();
  expect(left.destroyed).toBe(true);
  expect(handshakes.size).toBe(0);
});
