import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSecretBox, openSecretBox } from './secret-box.ts';

describe('a secret box', () => {
  const box = createSecretBox(Buffer.alloc(32, 7));

  it.each(['', 'sesame', '密钥 🔑', 'x'.repeat(100_000)])('gives back what was sealed', (secret) => {
    expect(box.open(box.seal(secret, 'a'), 'a')).toBe(secret);
  });

  it('shows nothing of a secret, and never seals it the same way twice', () => {
    const [one, two] = [box.seal('sesame', 'a'), box.seal('sesame', 'a')];
    expect(one).not.toContain('sesame');
    expect(one).not.toBe(two);
  });

  it('opens only for what it was sealed for, with its own key, unchanged', () => {
    const sealed = box.seal('sesame', 'a');
    const other = createSecretBox(Buffer.alloc(32, 8));
    expect(() => box.open(sealed, 'b')).toThrow(/another key/);
    expect(() => other.open(sealed, 'a')).toThrow(/another key/);
    for (let at = 'sealed1:'.length; at < sealed.length - 1; at += 3) {
      const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1);
      expect(() => box.open(changed, 'a')).toThrow(/another key/);
    }
    for (const text of ['', 'sesame', 'sealed1:', 'sealed1:AAAA']) {
      expect(() => box.open(text, 'a')).toThrow(/secret of the database/);
    }
  });
});

describe('openSecretBox', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'runstead-box-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('makes a key for its owner alone, and finds it again', () => {
    const file = join(folder, 'keys', 'secrets.key');
    const sealed = openSecretBox(file).seal('sesame', 'a');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'keys')).mode & 0o777).toBe(0o700);
    chmodSync(file, 0o644);
    expect(openSecretBox(file).open(sealed, 'a')).toBe('sesame');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('does not replace a file that holds no key', () => {
    const file = join(folder, 'secrets.key');
    writeFileSync(file, 'not a key');
    expect(() => openSecretBox(file)).toThrow(/holds no key/);
    expect(readFileSync(file, 'utf8')).toBe('not a key');
  });
});

it('a key for another purpose is always the same, differs by purpose and box, and is not the box’s own', () => {
  const key = Buffer.alloc(32, 1);
  const derived = (from: Buffer, purpose: string) =>
    Buffer.from(createSecretBox(from).derive(purpose)).toString('hex');
  const all = [derived(key, 'a'), derived(key, 'b'), derived(Buffer.alloc(32, 2), 'a'), key.toString('hex')];
  expect(new Set(all).size).toBe(4);
  expect(derived(key, 'a')).toBe(all[0]);
  expect(all[0]).toHaveLength(64);
});
