import { expect, it } from 'vitest';
import { isLoopbackHost } from './loopback.ts';

it.each([
  ['127.0.0.1', true],
  ['127.8.9.10', true],
  ['localhost', true],
  ['::1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['', false],
  ['192.0.2.2', false],
  ['10.127.0.1', false],
  ['127.0.0.1.example.test', false],
  ['localhost.example.test', false],
  ['::ffff:0.0.0.0', false],
  ['fd00::1', false],
])('a server on "%s" is reached from its own machine alone: %s', (host, isLoopback) => {
  expect(isLoopbackHost(host)).toBe(isLoopback);
});
