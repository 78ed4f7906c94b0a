import { createHash, timingSafeEqual } from 'node:crypto';

/** A key as it is kept: by its hash. */
export interface StoredKey {
  id: string;
  /** Hex SHA-256 of the whole key. */
  sha256: string;
}

export function hashKey(apiKey: string): string {
  return createHash('sha256').update(apiKey).digest('hex');
}

/** The key presented, if it is one of ours. Takes the same time for every wrong key. */
export function findKey(apiKey: string, keys: readonly StoredKey[]): StoredKey | undefined {
  const presented = Buffer.from(hashKey(apiKey), 'hex');
  let found: StoredKey | undefined;
  for (const key of keys) {
    if (timingSafeEqual(presented, Buffer.from(key.sha256, 'hex'))) found = key;
  }
  return found;
}
