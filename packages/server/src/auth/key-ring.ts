import { createHash, timingSafeEqual } from 'node:crypto';
import type { CredentialKey, Key, PlatformKey } from './keys.ts';

export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/**
 * The keys there are, in memory. Keys presented are looked up by their hash, which says nothing of the key to whoever
 * measures time, and compared once more in constant time.
 */
export class KeyRing {
  #platform = new Map<string, PlatformKey>();
  #byId = new Map<string, PlatformKey>();
  #byAccessKeyId = new Map<string, PlatformKey>();
  #credentials = new Map<string, CredentialKey>();
  /** Names of the fields in which keys of a credential come, by credential. */
  #headers = new Map<string, Set<string>>();
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(keys: readonly Key[] = [], now: () => number = Date.now) {
    this.#now = now;
    this.replace(keys);
  }

  replace(keys: readonly Key[]): void {
    this.#platform = new Map();
    this.#byId = new Map();
    this.#byAccessKeyId = new Map();
    this.#credentials = new Map();
    this.#headers = new Map();
    for (const key of keys) {
      if (key.kind === 'credential') {
        this.#credentials.set(key.sha256, key);
        const headers = this.#headers.get(key.credentialName) ?? new Set();
        this.#headers.set(key.credentialName, headers.add(key.headerName ?? 'authorization'));
        continue;
      }
      this.#byId.set(key.id, key);
      this.#byAccessKeyId.set(key.accessKeyId, key);
      if (key.sha256 !== undefined) this.#platform.set(key.sha256, key);
    }
  }

  /** The platform key in its `rsk_…` form. */
  byApiKey(apiKey: string): PlatformKey | undefined {
    return this.#valid(found(this.#platform, apiKey));
  }

  byAccessKeyId(accessKeyId: string): PlatformKey | undefined {
    return this.#valid(this.#byAccessKeyId.get(accessKeyId));
  }

  byId(id: string): PlatformKey | undefined {
    return this.#valid(this.#byId.get(id));
  }

  credentialKey(apiKey: string): CredentialKey | undefined {
    return this.#valid(found(this.#credentials, apiKey));
  }

  /** In which fields, in lower case, keys of a credential may come. */
  credentialHeaders(credentialName: string): Iterable<string> {
    return this.#headers.get(credentialName) ?? [];
  }

  #valid<K extends Key>(key: K | undefined): K | undefined {
    if (key?.expiresAt !== undefined && Date.parse(key.expiresAt) <= this.#now()) return undefined;
    return key;
  }
}

function found<K extends { sha256?: string | undefined }>(
  keys: ReadonlyMap<string, K>,
  presented: string,
): K | undefined {
  const sha256 = hashKey(presented);
  const key = keys.get(sha256);
  return key?.sha256 !== undefined && timingSafeEqual(Buffer.from(key.sha256), Buffer.from(sha256))
    ? key
    : undefined;
}
