import type { SecretBox } from '../auth/secret-box.ts';
import type { RuntimeSpec } from '../domain/runtime.ts';
import { type SpecSecrets, takeSecrets, withSecrets } from '../domain/spec-secrets.ts';

/**
 * A configuration as it lies in a row: its secrets are sealed, all in one and for their runtime alone; what queries look
 * for (`systemTags`) can be read.
 */
type KeptSpec = RuntimeSpec & { sealed?: string };

export function toSpecText(box: SecretBox, runtimeId: string, spec: RuntimeSpec): string {
  const { open, secrets } = takeSecrets(spec);
  const kept: KeptSpec = secrets ? { ...open, sealed: box.seal(JSON.stringify(secrets), runtimeId) } : open;
  return JSON.stringify(kept);
}

/** @throws Error when it was sealed with another key, or for another runtime */
export function fromSpecText(box: SecretBox, runtimeId: string, text: string): RuntimeSpec {
  const { sealed, ...open } = JSON.parse(text) as KeptSpec;
  if (sealed === undefined) return open;
  return withSecrets(open, JSON.parse(box.open(sealed, runtimeId)) as SpecSecrets);
}

/** Whether the secrets of a row are sealed, or are there for all to see. */
export function hasPlainSecrets(text: string): boolean {
  return takeSecrets(JSON.parse(text) as RuntimeSpec).secrets !== undefined;
}
