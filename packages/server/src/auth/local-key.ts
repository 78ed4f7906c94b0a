import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type KeySecrets, newKeySecrets } from './key-secrets.ts';

/**
 * Reads the local key, the one that the first start makes so that clients on the same machine need no configuration:
 * readable by the folder's owner alone, whatever mode it was found in. A key of an earlier release stays what it is and
 * gets the access key that it lacks.
 * @throws Error when the file is there but holds no key
 */
export function openLocalKey(file: string): KeySecrets {
  if (!existsSync(file)) return write(file, newKeySecrets());
  chmodSync(file, 0o600);
  let found: Partial<KeySecrets>;
  try {
    found = (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as Partial<KeySecrets>;
  } catch {
    found = {};
  }
  const { apiKey, accessKeyId, accessKeySecret } = found;
  if (typeof apiKey !== 'string' || !apiKey.startsWith('rsk_')) {
    throw new Error(`${file} holds no local key. Remove the file, and the next start makes a new one.`);
  }
  if (isText(accessKeyId) && isText(accessKeySecret)) return { apiKey, accessKeyId, accessKeySecret };
  return write(file, { ...newKeySecrets(), apiKey });
}

function write(file: string, key: KeySecrets): KeySecrets {
  const fresh = `${file}.${process.pid}.tmp`;
  writeFileSync(fresh, `${JSON.stringify(key, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(fresh, file);
  return key;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
