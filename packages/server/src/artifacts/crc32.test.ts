import { describe, expect, it } from 'vitest';
import { crc32, crc32ByTable } from './crc32.ts';

describe.each([
  ['crc32', crc32],
  ['crc32ByTable', crc32ByTable],
])('%s', (_name, checksum) => {
  it('gives the check value that catalogues of CRCs list', () => {
    expect(checksum(Buffer.from('123456789'))).toBe(0xcbf43926);
    expect(checksum(Buffer.alloc(0))).toBe(0);
  });

  it('goes on from the bytes before', () => {
    expect(checksum(Buffer.from('56789'), checksum(Buffer.from('1234')))).toBe(0xcbf43926);
  });
});
