import { describe, expect, it } from 'vitest';
import { bufferBytes, type CraftedArchive, craftZip, u32 } from '../../test/artifacts/craft-zip.ts';
import { findDirectory } from './zip-end.ts';

const FILES = [{ name: 'a', data: 'alpha' }, { name: 'b' }];
const END = Buffer.from('PK\x05\x06');

function find(bytes: Buffer) {
  return findDirectory(bufferBytes(bytes));
}
function crafted(archive: CraftedArchive) {
  return find(craftZip(FILES, archive));
}

describe('findDirectory', () => {
  it('finds the directory in front of the end record, with and without a comment and zip64', () => {
    const plain = find(craftZip(FILES));
    expect(plain).toEqual({ entryCount: 2, offset: 67, size: 94 });
    expect(crafted({ end: { comment: Buffer.from('hello') } })).toEqual(plain);
    expect(crafted({ end: { comment: Buffer.alloc(0xffff, '#') } })).toEqual(plain);
    expect(crafted({ zip64: {} })).toEqual(plain);
    expect(crafted({ zip64: {}, end: { entryCount: 2, directorySize: 94, directoryOffset: 67 } })).toEqual(
      plain,
    );
  });

  const lies: [string, CraftedArchive, RegExp][] = [
    ['a disk number', { end: { disk: 1 } }, /several parts/],
    ['a directory on another disk', { end: { directoryDisk: 1 } }, /several parts/],
    ['entries on other disks', { end: { entriesOnDisk: 1 } }, /several parts/],
    [
      'a directory size that is too small',
      { end: { directorySize: 93 } },
      /bytes were added, or are missing/,
    ],
    ['a directory size that is too large', { end: { directorySize: 95 } }, /bytes were added/],
    ['a directory that begins elsewhere', { end: { directoryOffset: 66 } }, /bytes were added/],
    ['more entries than fit', { end: { entryCount: 3 } }, /too small for the 3 entries/],
    ['65535 entries', { end: { entryCount: 0xffff } }, /too small for the 65535 entries/],
    [
      'a pointer to zip64 without it: size',
      { end: { directorySize: 0xffffffff } },
      /zip64 end record that is missing/,
    ],
    ['a pointer to zip64 without it: offset', { end: { directoryOffset: 0xffffffff } }, /that is missing/],
    ['bytes after the directory', { afterDirectory: Buffer.alloc(9) }, /bytes were added/],
    ['a zip64 locator without a record', { zip64: { withoutRecord: true } }, /zip64 end record is missing/],
    ['a zip64 locator to elsewhere', { zip64: { locatorOffset: 3 } }, /zip64 end record is missing/],
    ['a zip64 locator past the end', { zip64: { locatorOffset: 99999 } }, /zip64 end record is missing/],
    [
      'a zip64 locator beyond all numbers',
      { zip64: { locatorOffset: 2 ** 63 } },
      /zip64 end record is missing/,
    ],
    ['a zip64 record of another size', { zip64: { recordSize: 45 } }, /size that cannot be/],
    ['a zip64 record of an endless size', { zip64: { recordSize: 2 ** 63 } }, /size that cannot be/],
    ['a zip64 record on another disk', { zip64: { locatorDisk: 1 } }, /several parts/],
    ['several disks in zip64', { zip64: { disks: 2 } }, /several parts/],
    ['a disk number in zip64', { zip64: { disk: 1 } }, /several parts/],
    ['a directory on another disk in zip64', { zip64: { directoryDisk: 1 } }, /several parts/],
    ['entries on other disks in zip64', { zip64: { entriesOnDisk: 1 } }, /several parts/],
    ['a zip64 directory size', { zip64: { directorySize: 2 ** 40 } }, /bytes were added/],
    ['a zip64 directory offset', { zip64: { directoryOffset: 2 ** 62 } }, /bytes were added/],
    ['a zip64 entry count', { zip64: { entryCount: 2 ** 62 } }, /too small/],
    ['an end record that contradicts zip64', { zip64: {}, end: { entryCount: 1 } }, /disagree/],
    ['a size that contradicts zip64', { zip64: {}, end: { directorySize: 93 } }, /disagree/],
    ['an offset that contradicts zip64', { zip64: {}, end: { directoryOffset: 1 } }, /disagree/],
    ['a disk that contradicts zip64', { zip64: {}, end: { disk: 1 } }, /disagree/],
  ];
  it.each(lies)('refuses %s', (_what, archive, reason) => {
    expect(() => crafted(archive)).toThrow(reason);
  });

  it('refuses bytes in front, bytes behind, and a second archive behind', () => {
    const good = craftZip(FILES);
    expect(() => find(Buffer.concat([Buffer.from('#!/bin/sh\n'), good]))).toThrow(/bytes were added/);
    expect(() => find(Buffer.concat([good, Buffer.from('\n')]))).toThrow(/bytes after its end/);
    expect(() => find(Buffer.concat([good, Buffer.alloc(100_000)]))).toThrow(/no end record/);
    expect(() => find(Buffer.concat([good, good]))).toThrow(/bytes were added/);
  });

  it('refuses an archive that some readers end at one record and some at another', () => {
    // The comment of the first is the second.
    const inner = craftZip([{ name: 'other' }]);
    expect(() => crafted({ end: { comment: inner } })).toThrow(/two end records/);
    expect(() => crafted({ end: { comment: Buffer.concat([END, Buffer.alloc(40, 1)]) } })).toThrow(
      /bytes after its end/,
    );
    // Too short to be one.
    expect(() => crafted({ end: { comment: Buffer.concat([END, Buffer.alloc(5)]) } })).not.toThrow();
  });

  it('takes an end record within a stored file for what it is', () => {
    const nested = craftZip([{ name: 'nested.zip', data: craftZip(FILES) }]);
    expect(find(nested).entryCount).toBe(1);
  });

  it.each([0, 1, 21])('refuses %d bytes', (length) => {
    expect(() => find(Buffer.alloc(length))).toThrow(/no end record/);
  });

  it('refuses a locator whose record would be in front of the file', () => {
    const locator = Buffer.concat([u32(0x07064b50), Buffer.alloc(16)]);
    expect(() => find(Buffer.concat([locator, craftZip([])]))).toThrow(/zip64 end record is missing/);
  });
});
