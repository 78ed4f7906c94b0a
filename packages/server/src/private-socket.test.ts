import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { privateSocketPath } from './private-socket.ts';

/** A folder of its own for every run, with a path that is too long for sockets. */
function deepFolder() {
  const dataDir = `/data/${process.pid}-${Math.random()}/${'deep/'.repeat(30)}`;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const elsewhere = join(tmpdir(), `runstead-${hash}`);
  onTestFinished(() => rmSync(elsewhere, { recursive: true, force: true }));
  return { dataDir, elsewhere };
}

test('a socket lies in the data folder as long as the path is short enough', () => {
  expect(privateSocketPath('/var/runstead', 'control.sock')).toBe('/var/runstead/run/control.sock');
});

test('otherwise it lies where it always did for that folder, out of reach for other users', () => {
  const { dataDir, elsewhere } = deepFolder();
  expect(privateSocketPath(dataDir, 'control.sock')).toBe(join(elsewhere, 'control.sock'));
  expect(privateSocketPath(dataDir, 'gateway.sock')).toBe(join(elsewhere, 'gateway.sock'));
  expect(statSync(elsewhere).mode & 0o777).toBe(0o700);
});

test('a folder there that others could enter is closed to them', () => {
  const { dataDir, elsewhere } = deepFolder();
  mkdirSync(elsewhere, { mode: 0o755 });
  privateSocketPath(dataDir, 'control.sock');
  expect(statSync(elsewhere).mode & 0o777).toBe(0o700);
});

test('a link in its place is refused, and what it leads to is left as it is', () => {
  const { dataDir, elsewhere } = deepFolder();
  const target = `${elsewhere}-target`;
  onTestFinished(() => rmSync(target, { recursive: true, force: true }));
  mkdirSync(target, { mode: 0o755 });
  symlinkSync(target, elsewhere);
  expect(() => privateSocketPath(dataDir, 'control.sock')).toThrow(/not this user's own folder\. Remove it/);
  expect(statSync(target).mode & 0o777).toBe(0o755);
});

test('a file in its place is told as what it is', () => {
  const { dataDir, elsewhere } = deepFolder();
  writeFileSync(elsewhere, '');
  expect(() => privateSocketPath(dataDir, 'control.sock')).toThrow(/EEXIST/);
});
