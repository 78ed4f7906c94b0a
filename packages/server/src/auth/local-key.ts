import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** The key that the first start makes, so that clients on the same machine need no configuration. */
export interface LocalKey {
  apiKey: string;
}

/**
 * Reads the local key, or makes one: readable by the folder's owner alone, whatever mode it was found in.
 * @throws Error when the file is there but holds no key
 */
export function openLocalKey(file: string): LocalKey {
  if (!existsSync(file)) {
    const key: LocalKey = { apiKey: `rsk_${randomBytes(24).toString('base64url')}` };
    const fresh = `${file}.${process.pid}.tmp`;
    writeFileSync(fresh, `${JSON.stringify(key, null, 2)}\n`, { mode: 0o600, flush: true });
    renameSync(fresh, file);
    return key;
  }
  chmodSync(file, 0o600);
  let key: unknown;
  try {
    key = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    key = undefined;
  }
  const apiKey = (key as Partial<LocalKey> | undefined)?.apiKey;
  if (typeof apiKey !== 'string' || !apiKey.startsWith('rsk_')) {
    throw new Error(`${file} holds no local key. Remove the file, and the next start makes a new one.`);
  }
  return { apiKey };
}
