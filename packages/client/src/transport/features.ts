import type { Caller } from '../caller.ts';
import type { Target } from '../config/target.ts';

/** What a server can do beyond the contract, as its answers say: a comma list. */
const FEATURES_HEADER = 'x-runstead-features';

export function noteFeatures({ memory }: Caller, { baseUrl }: Target, response: Response): void {
  const value = response.headers.get(FEATURES_HEADER);
  if (value === null) return;
  memory.features.set(new URL(baseUrl).origin, new Set(value.split(',').map((name) => name.trim())));
}

/** Whether a server does the work once for one `Idempotency-Key`. Known of every Runstead, and a Runstead key is for no other. */
export function honoursIdempotencyKeys(caller: Caller, target: Target): boolean {
  return isRunstead(caller, target, 'idempotency-key');
}

/** Whether a server is a Runstead, which deletes what lies under a runtime along with it. */
export function isRunstead({ memory }: Caller, { credential, baseUrl }: Target, feature?: string): boolean {
  if (credential.kind === 'apiKey' && credential.apiKey.startsWith('rsk_')) return true;
  const features = memory.features.get(new URL(baseUrl).origin);
  return features !== undefined && (feature === undefined || features.has(feature));
}
