import { randomFillSync } from 'node:crypto';

/** Enough that the crypto call, about 4 µs, is made once in some hundred ids. */
const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/**
 * Random bytes as lower-case hex, from a pool that is filled anew when it runs out: a twentieth of the price of a crypto call each.
 * For ids, never for secrets: what was handed out stays in memory for a while.
 * @param bytes at most 4096
 */
export function randomHex(bytes: number): string {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const text = pool.toString('hex', used, used + bytes);
  used += bytes;
  return text;
}
