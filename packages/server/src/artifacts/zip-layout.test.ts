import { describe, expect, it } from 'vitest';
import {
  bufferBytes,
  type CraftedEntry,
  craftZip,
  extraField,
  u32,
  u64,
} from '../../test/artifacts/craft-zip.ts';
import { crc32ByTable } from './crc32.ts';
import { ZipFault } from './zip-bytes.ts';
import { readEntries } from './zip-layout.ts';

function read(bytes: Buffer, maxEntries = 1000) {
  return readEntries(bufferBytes(bytes), maxEntries);
}
function readOne(entry: Partial<CraftedEntry>) {
  return read(craftZip([{ name: 'good' }, { name: 'bad', data: 'x'.repeat(50), ...entry }]));
}

const BIG = 0xffffffff;
const CRC = crc32ByTable(Buffer.from('x'.repeat(50)));
const descriptor = (...numbers: number[]) => Buffer.concat(numbers.map(u32));
/** Info-ZIP's Unicode Path field, for a header with the second name. */
const unicodeName = (name: string, raw = name) =>
  extraField(0x7075, Buffer.from([1]), u32(crc32ByTable(Buffer.from(raw))), Buffer.from(name));
const zip64 = (...numbers: number[]) => extraField(1, ...numbers.map(u64));

describe('readEntries', () => {
  it('lists entries in the order of the directory, wherever they stand', () => {
    const first = { name: 'first', data: 'one' };
    const second = { name: 'second', data: 'two', deflate: true };
    const bytes = craftZip([
      { ...first, central: { name: 'second', method: 8, offset: 38, ...crossed(second) } },
      { ...second, central: { name: 'first', method: 0, offset: 0, ...crossed(first) } },
    ]);
    const entries = read(bytes);
    expect(entries.map(({ name, headerOffset }) => [name, headerOffset])).toEqual([
      ['second', 38],
      ['first', 0],
    ]);
    expect(bytes.subarray(entries[1]!.dataOffset, entries[1]!.dataOffset + 3).toString()).toBe('one');
  });

  const good: [string, Partial<CraftedEntry>][] = [
    ['a signed descriptor', { descriptor: 'signed' }],
    ['a bare descriptor', { descriptor: 'bare' }],
    ['a descriptor with sizes of 8 bytes', { descriptor: 'signed64' }],
    ['a bare descriptor with sizes of 8 bytes', { descriptor: 'bare64' }],
    ['a descriptor written by hand', { descriptor: descriptor(CRC, 50, 50) }],
    ['a Unicode name in both headers', { both: { extra: unicodeName('bad') } }],
    ['a descriptor of deflated data', { descriptor: 'signed', deflate: true }],
    ['sizes both before and after the data', { descriptor: 'signed', local: { ...crossed('x'.repeat(50)) } }],
    ['a mark for sizes after the data, though they stand before it', { both: { flags: 0x808 } }],
    [
      'a zip64 field in its own header only',
      { local: { compressedSize: BIG, uncompressedSize: BIG, extra: zip64(50, 50) } },
    ],
    [
      'a zip64 field in both headers',
      { both: { compressedSize: BIG, uncompressedSize: BIG, extra: zip64(50, 50) } },
    ],
    ['a zip64 field with its place', { central: { offset: BIG, extra: zip64(34) } }],
    ['unknown extra fields', { both: { extra: extraField(0x9999, Buffer.from('anything')) } }],
  ];
  it.each(good)('accepts %s', (_what, entry) => {
    expect(readOne(entry)[1]).toMatchObject({ name: 'bad', uncompressedSize: 50 });
  });

  const bad: [string, Partial<CraftedEntry>, RegExp][] = [
    ['another name in front of the data', { local: { name: 'bed' } }, /another name in its own header/],
    ['a longer name in front of the data', { local: { name: 'badder' } }, /another name/],
    ['another method in front of the data', { local: { method: 8 } }, /another compression method/],
    ['another size in front of the data', { local: { uncompressedSize: 49 } }, /another size/],
    [
      'another compressed size in front of the data',
      { local: { compressedSize: 49 } },
      /another compressed size/,
    ],
    ['another checksum in front of the data', { local: { crc32: 1 } }, /another checksum/],
    [
      'sizes of zero without a mark that they follow',
      { local: { ...crossed('') } },
      /another compressed size/,
    ],
    ['encryption only in front of the data', { local: { flags: 0x801 } }, /another mark of encryption/],
    ['a masked header', { local: { flags: 0x2800 } }, /another mark of encryption/],
    ['encryption in both headers', { encrypted: true }, /is encrypted/],
    ['strong encryption', { both: { flags: 0x841 } }, /is encrypted/],
    ['strong encryption without the mark of any', { both: { flags: 0x840 } }, /is encrypted/],
    ['an encrypted directory', { both: { flags: 0x2800 } }, /is encrypted/],
    ['AES encryption', { both: { method: 99, flags: 0x801 } }, /is encrypted/],
    ['AES encryption without the mark of any', { both: { method: 99 } }, /is encrypted/],
    ['a patch', { both: { flags: 0x820 } }, /is a patch/],
    ['shrinking', { both: { method: 1 } }, /method 1;/],
    ['Deflate64', { both: { method: 9 } }, /method 9; only stored \(0\) and deflated \(8\)/],
    ['bzip2', { both: { method: 12 } }, /method 12;/],
    ['LZMA', { both: { method: 14 } }, /method 14;/],
    ['zstd', { both: { method: 93 } }, /method 93;/],
    ['another disk', { central: { disk: 1 } }, /another part/],
    ['stored data of two sizes', { central: { uncompressedSize: 49 } }, /its two sizes differ/],
    [
      'a size that no compressor reaches',
      { deflate: true, declaredSize: 1_000_000 },
      /no compressor does that/,
    ],
    ['a place past the end', { central: { offset: 5000 } }, /begin past the archive’s data/],
    ['a place in the directory', { central: { offset: 118 } }, /begin past the archive’s data/],
    ['a place where no header is', { central: { offset: 35 } }, /does not begin where the directory says/],
    ['data that run into the directory', { declaredSize: 60 }, /run past the archive’s data/],
    ['data that run past the end', { declaredSize: 60_000 }, /run past the archive’s data/],
    ['data that end too early', { declaredSize: 40 }, /10 bytes after entry 'bad' that belong to no entry/],
    [
      'bytes in front',
      { before: Buffer.from('hidden') },
      /6 bytes after entry 'good' that belong to no entry/,
    ],
    ['no descriptor where one is due', { descriptor: Buffer.alloc(0) }, /no sizes after its data/],
    ['a descriptor of another length', { descriptor: Buffer.alloc(13) }, /13 bytes after entry 'bad'/],
    [
      'a descriptor that was not announced',
      { descriptor: 'signed', both: { flags: 0x800 } },
      /another|16 bytes/,
    ],
    ['a descriptor that lies', { descriptor: Buffer.alloc(12) }, /other sizes after its data/],
    [
      'a descriptor with another checksum',
      { descriptor: descriptor(1, 50, 50) },
      /other sizes after its data/,
    ],
    ['a descriptor with another compressed size', { descriptor: descriptor(CRC, 49, 50) }, /other sizes/],
    ['a descriptor with another size', { descriptor: descriptor(CRC, 50, 49) }, /other sizes/],
    [
      'another name in front of the data, with one Unicode name for both',
      { both: { extra: unicodeName('bad') }, local: { name: 'bed', extra: unicodeName('bad', 'bed') } },
      /another name/,
    ],
    ['a descriptor without its signature', { descriptor: Buffer.alloc(16) }, /other sizes after its data/],
    [
      'a missing zip64 field: size',
      { central: { uncompressedSize: BIG } },
      /zip64 field that it does not have/,
    ],
    ['a missing zip64 field: compressed size', { central: { compressedSize: BIG } }, /does not have/],
    ['a missing zip64 field: place', { central: { offset: BIG } }, /does not have/],
    ['a missing zip64 field: disk', { central: { disk: 0xffff } }, /does not have/],
    ['a missing zip64 field in its own header', { local: { uncompressedSize: BIG } }, /does not have/],
    [
      'a zip64 field that is too short',
      { central: { compressedSize: BIG, uncompressedSize: BIG, extra: zip64(50) } },
      /does not have/,
    ],
    [
      'two zip64 fields',
      { central: { offset: BIG, extra: Buffer.concat([zip64(34), zip64(0)]) } },
      /two zip64 fields/,
    ],
    [
      'zip64 sizes that cannot be',
      { both: { compressedSize: BIG, uncompressedSize: BIG, extra: zip64(2 ** 62, 2 ** 62) } },
      /run past the archive’s data/,
    ],
    ['a zip64 place that cannot be', { central: { offset: BIG, extra: zip64(2 ** 63) } }, /begin past/],
    [
      'other zip64 sizes in front of the data',
      { local: { compressedSize: BIG, uncompressedSize: BIG, extra: zip64(49, 50) } },
      /another size/,
    ],
    [
      'extra fields that run past their end',
      { central: { extra: extraField(7, u32(0)).subarray(0, 6) } },
      /extra fields/,
    ],
    [
      'such extra fields in its own header',
      { local: { extra: extraField(7, u32(0)).subarray(0, 6) } },
      /extra fields/,
    ],
    ['a name that is no UTF-8', { both: { name: Buffer.from([0x62, 0xff]) } }, /marked as UTF-8 and is not/],
  ];
  it.each(bad)('refuses %s, and names the entry', (_what, entry, reason) => {
    expect(() => readOne(entry)).toThrow(ZipFault);
    expect(() => readOne(entry)).toThrow(reason);
    expect(() => readOne(entry)).toThrow(/entry '(bad|good|b)/);
  });

  it('refuses two entries that share their bytes', () => {
    const twin = { name: 'twin', data: 'x' };
    expect(() => read(craftZip([twin, { ...twin, central: { offset: 0 } }]))).toThrow(
      /entry 'twin' overlaps entry 'twin'/,
    );
  });

  it('refuses an entry that lies within the data of another', () => {
    const inner = craftZip([{ name: 'inner', data: 'payload' }]).subarray(0, 42);
    const bytes = craftZip([
      { name: 'outer', data: inner },
      { name: 'inner', data: 'payload', central: { offset: 35 } },
    ]);
    expect(() => read(bytes)).toThrow(/entry 'inner' overlaps entry 'outer'/);
  });

  it('refuses a bomb of entries that each begin in the one before and share its end', () => {
    // Each stored header is the first data of the entry before it, as in the bombs that overlap for their ratio.
    const kernel = craftZip([{ name: 'c', data: 'k'.repeat(100) }]);
    const b = craftZip([{ name: 'b', data: kernel.subarray(0, 131) }]);
    const a = craftZip([{ name: 'a', data: b.subarray(0, 162) }]);
    const fields = (data: Buffer) => crossed(data);
    const bytes = craftZip([
      { name: 'a', data: b.subarray(0, 162) },
      { name: 'b', central: { offset: 31, ...fields(kernel.subarray(0, 131)) } },
      { name: 'c', central: { offset: 62, ...fields(Buffer.alloc(100, 'k')) } },
    ]);
    expect(bytes.subarray(0, 193).equals(a.subarray(0, 193))).toBe(true);
    expect(() => read(bytes)).toThrow(/overlaps/);
  });

  it('refuses bytes before the first entry and before the directory, but for the marker of split archives', () => {
    const files = [{ name: 'a', data: 'x' }];
    const marker = Buffer.from('PK00');
    expect(() => read(craftZip([{ ...files[0]!, before: Buffer.alloc(7) }]))).toThrow(
      /7 bytes before its first entry/,
    );
    expect(() => read(craftZip([{ ...files[0]!, before: Buffer.from('PK01') }]))).toThrow(/4 bytes before/);
    expect(read(craftZip([{ ...files[0]!, before: marker }]))).toHaveLength(1);
    expect(() => read(craftZip(files, { beforeDirectory: marker }))).toThrow(/4 bytes after entry 'a'/);
    expect(() => read(craftZip([], { beforeDirectory: marker }))).not.toThrow();
    expect(() => read(craftZip([], { beforeDirectory: Buffer.alloc(5) }))).toThrow(/5 bytes before/);
  });

  it('refuses an entry count that lies, in either direction', () => {
    const files = [{ name: 'a'.repeat(60) }, { name: 'b' }];
    expect(() => read(craftZip(files, 3))).toThrow(/has 2 entries, and its end record counts 3/);
    expect(() => read(craftZip(files, 1))).toThrow(/more than the 1 entries/);
    expect(() => read(craftZip(files, 0))).toThrow(/more than the 0 entries/);
    expect(() => read(craftZip(files), 1)).toThrow(/2 entries; at most 1/);
  });

  it('reads names in UTF-8, in code page 437, as Unix writes them, and from a Unicode field', () => {
    const names = (entry: CraftedEntry) => read(craftZip([entry]))[0]!.name;
    const raw = Buffer.from([0x81]);
    expect(names({ name: 'ü' })).toBe('ü');
    expect(names({ name: '', both: { name: raw }, utf8: false, host: 0 })).toBe('ü');
    expect(names({ name: '', both: { name: raw }, utf8: false, host: 3 })).toBe('ü');
    expect(names({ name: '日本', utf8: false, host: 3 })).toBe('日本');
    expect(names({ name: '日本', utf8: false, host: 0 })).not.toBe('日本');
  });
});

/** What the directory says of other content. */
function crossed(content: CraftedEntry | Buffer | string) {
  const entry: CraftedEntry =
    typeof content === 'string' || Buffer.isBuffer(content) ? { name: 'x', data: content } : content;
  const { crc32, compressedSize, uncompressedSize } = read(craftZip([entry]))[0]!;
  return { crc32, compressedSize, uncompressedSize };
}
