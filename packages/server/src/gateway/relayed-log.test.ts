import { expect, test } from 'vitest';
import type { UpMessage } from '../feed/messages.ts';
import { RelayedLog } from './relayed-log.ts';

function reader() {
  const lines: string[] = [];
  const send = (message: UpMessage) => {
    if (message.type === 'log') lines.push(message.line);
  };
  return { lines, send };
}

test('lines go to the control process that is there, and otherwise wait for the next', () => {
  const log = new RelayedLog();
  const [one, two] = [reader(), reader()];
  log.write('before');
  const leave = log.attach(one.send);
  log.write('with one');
  leave();
  log.write('between');
  log.attach(two.send);
  log.write('with two');
  expect(one.lines).toEqual(['before', 'with one']);
  expect(two.lines).toEqual(['between', 'with two']);
});

test('one that leaves after another has come takes nothing from that one', () => {
  const log = new RelayedLog();
  const two = reader();
  const leave = log.attach(reader().send);
  log.attach(two.send);
  leave();
  log.write('line');
  expect(two.lines).toEqual(['line']);
});

test('of many lines that nobody reads the newest are kept, and how many were not is told', () => {
  const log = new RelayedLog();
  for (let i = 0; i < 1200; i++) log.write(`line ${i}`);
  const { lines, send } = reader();
  log.attach(send);
  expect(lines[0]).toBe("200 lines of the gateway's log were not kept\n");
  expect(lines.slice(1)).toEqual(Array.from({ length: 1000 }, (_, i) => `line ${i + 200}`));
});

test('long lines that nobody reads do not fill the memory', () => {
  const log = new RelayedLog();
  for (let i = 0; i < 100; i++) log.write('x'.repeat(100_000));
  const { lines, send } = reader();
  log.attach(send);
  expect(lines.slice(1).join('').length).toBeLessThanOrEqual(256 * 1024);
});
