import { describe, expect, it } from 'vitest';
import { Crc64, crc64 } from './crc64.ts';

describe('crc64', () => {
  it('gives the check value of CRC-64/XZ', () => {
    expect(crc64(Buffer.from('123456789'))).toBe('11051210869376104954');
  });

  it('is 0 for no bytes', () => {
    expect(crc64(new Uint8Array())).toBe('0');
  });

  it('does not depend on how the bytes are cut', () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 131) % 256));
    const whole = crc64(bytes);
    for (const cut of [1, 3, 7, 8, 9, 64, 999]) {
      const running = new Crc64();
      for (let i = 0; i < bytes.length; i += cut) running.update(bytes.subarray(i, i + cut));
      expect(running.digest()).toBe(whole);
    }
  });

  it('agrees with the bit-by-bit definition', () => {
    const bitwise = (bytes: Uint8Array) => {
      let crc = 0xffffffffffffffffn;
      for (const byte of bytes) {
        crc ^= BigInt(byte);
        for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0xc96c5795d7870f42n : crc >> 1n;
      }
      return (crc ^ 0xffffffffffffffffn).toString();
    };
    for (let length = 0; length < 40; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 89 + length * 7) % 256));
      expect(crc64(bytes)).toBe(bitwise(bytes));
    }
  });
});
