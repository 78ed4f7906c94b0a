import { createHash, timingSafeEqual } from 'node:crypto';
import { RunsteadError } from '@runstead/contract';
import type { KeyRoute } from '../feed/messages.ts';
import { fieldValues } from './request-head.ts';

/** Who calls, as far as the data plane asks. */
export interface Principal {
  /** Undefined: anonymous, or known only to the agent. */
  keyId: string | undefined;
  /** Whether `Authorization` is the agent's to read. A platform credential stops here. */
  forwardAuthorization: boolean;
}

/** Platform keys: everything that begins like one must be one. */
const PLATFORM_BEARER = /^\s*bearer\s+(rsk_.*?)\s*$/is;

/** The keys the gateway recognises; it holds hashes only. */
export class KeyRing {
  #keys: { id: string; hash: Buffer }[] = [];

  replace(keys: readonly KeyRoute[]): void {
    this.#keys = keys.map((key) => ({ id: key.id, hash: Buffer.from(key.sha256, 'hex') }));
  }

  /** The id of a known key. Every comparison takes the same time, whichever key it is and however far it agrees. */
  find(key: string): string | undefined {
    const presented = createHash('sha256').update(key).digest();
    let found: string | undefined;
    for (const { id, hash } of this.#keys) {
      if (hash.length === presented.length && timingSafeEqual(hash, presented)) found = id;
    }
    return found;
  }
}

/**
 * Tells who calls an agent. OpenAI clients always send some key, so a bearer that is not a platform key belongs to
 * the agent and passes.
 * @throws RunsteadError ERR_UNAUTHORIZED for an unknown platform key, ERR_BAD_REQUEST for several `Authorization` fields.
 */
export function authenticate(keys: KeyRing, fields: readonly string[]): Principal {
  const values = fieldValues(fields, 'authorization');
  // With two of them the one that is checked might not be the one the agent reads.
  if (values.length > 1) throw new RunsteadError('ERR_BAD_REQUEST', 'Authorization may be sent only once');
  const key = values.length === 1 ? PLATFORM_BEARER.exec(values[0]!)?.[1] : undefined;
  if (key === undefined) return { keyId: undefined, forwardAuthorization: true };
  const keyId = keys.find(key);
  if (keyId === undefined) {
    throw new RunsteadError(
      'ERR_UNAUTHORIZED',
      'InvalidAccessKeyId.NotFound: the API key is not known here; send a key of this server as ' +
        '"Authorization: Bearer rsk_…", or none',
    );
  }
  return { keyId, forwardAuthorization: false };
}
