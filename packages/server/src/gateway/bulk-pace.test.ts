import { describe, expect, it } from 'vitest';
import { BulkPace } from './bulk-pace.ts';

const MIB = 1024 * 1024;

describe('BulkPace', () => {
  it('lets everything pass while no call is open', () => {
    const pace = new BulkPace(
      () => false,
      () => 0,
    );
    for (let i = 1; i < 100; i++) expect(pace.delayMs(MIB, i * MIB)).toBe(0);
  });

  it('lets small bodies pass while calls are open', () => {
    const pace = new BulkPace(
      () => true,
      () => 0,
    );
    for (let i = 0; i < 100; i++) expect(pace.delayMs(65_536, 65_536)).toBe(0);
  });

  it('takes a moment between two calls for part of the calls', () => {
    let now = 1000;
    let open = true;
    const pace = new BulkPace(
      () => open,
      () => now,
    );
    expect(pace.delayMs(MIB, 2 * MIB)).toBe(0);
    open = false;
    now += 10;
    expect(pace.delayMs(MIB, 3 * MIB)).toBeGreaterThan(50);
    now += 300;
    expect(pace.delayMs(MIB, 4 * MIB)).toBe(0);
    expect(pace.delayMs(MIB, 5 * MIB)).toBe(0);
  });

  it('shares 12 MiB a second among all large bodies while calls are open', () => {
    let now = 1000;
    const pace = new BulkPace(
      () => true,
      () => now,
    );
    expect(pace.delayMs(MIB, 2 * MIB)).toBe(0);
    expect(pace.delayMs(MIB, 2 * MIB)).toBeCloseTo(1000 / 12);
    expect(pace.delayMs(MIB, 9 * MIB)).toBeCloseTo(2000 / 12);
    now += 60_000;
    expect(pace.delayMs(MIB, 9 * MIB)).toBe(0);
  });
});
