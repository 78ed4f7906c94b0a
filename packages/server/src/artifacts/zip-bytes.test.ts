import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileBytes, shown, uint64, ZipFault } from './zip-bytes.ts';

describe('fileBytes', () => {
  const content = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7) & 0xff));
  let folder: string;
  let file: string;
  let fd: number;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'runstead-bytes-'));
    file = join(folder, 'file');
    writeFileSync(file, content);
    fd = openSync(file, 'r');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it('gives any bytes in any order, and leaves alone what it gave before', () => {
    const bytes = fileBytes(fd);
    expect(bytes.size).toBe(content.length);
    const pieces = [
      [0, 10],
      [16_380, 10],
      [49_990, 10],
      [5, 40_000],
      [49_999, 1],
      [50_000, 0],
      [3, 0],
    ].map(([at, length]) => ({ at: at!, length: length!, piece: bytes.read(at!, length!) }));
    for (const { at, length, piece } of pieces) {
      expect(piece.equals(content.subarray(at, at + length)), `${length} bytes at ${at}`).toBe(true);
    }
  });

  it.each([
    [-1, 1],
    [49_999, 2],
    [50_001, 0],
    [Number.POSITIVE_INFINITY, 1],
    [0, Number.POSITIVE_INFINITY],
    [Number.NaN, 1],
  ])('refuses position %d with length %d', (at, length) => {
    expect(() => fileBytes(fd).read(at, length)).toThrow(ZipFault);
  });

  it('refuses what is gone because the file became shorter', () => {
    const bytes = fileBytes(fd);
    truncateSync(file, 100);
    expect(() => bytes.read(90, 20)).toThrow(ZipFault);
    expect(bytes.read(90, 10).equals(content.subarray(90, 100))).toBe(true);
  });
});

describe('uint64', () => {
  it.each([
    [0n, 0],
    [0xffffffffn, 0xffffffff],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n, Number.POSITIVE_INFINITY],
    [2n ** 64n - 1n, Number.POSITIVE_INFINITY],
  ])('reads %s', (value, expected) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    expect(uint64(bytes, 0)).toBe(expected);
  });
});

describe('shown', () => {
  it('puts names in quotes, control characters in plain sight, and cuts between characters', () => {
    expect(shown('a/ü 日本')).toBe("'a/ü 日本'");
    expect(shown('\u001b[31m\n\0')).toBe("'\\u001b[31m\\u000a\\u0000'");
    expect(shown('🙂'.repeat(500))).toBe(`'${'🙂'.repeat(120)}…'`);
  });
});
