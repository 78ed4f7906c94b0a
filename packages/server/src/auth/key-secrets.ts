import { randomBytes } from 'node:crypto';

/** One key in its two forms: a bearer for people and scripts, an access key for clients that sign. */
export interface KeySecrets {
  /** `rsk_` and 32 characters. */
  apiKey: string;
  accessKeyId: string;
  accessKeySecret: string;
}

export function newKeySecrets(): KeySecrets {
  return { apiKey: `rsk_${random(24)}`, accessKeyId: newAccessKeyId(), accessKeySecret: random(30) };
}

/** Hexadecimal, since it stands unquoted in `Credential=…/…,` (contract: signing). */
export function newAccessKeyId(): string {
  return `rak${randomBytes(10).toString('hex')}`;
}

/** An API key of a credential, for the callers of runtimes that name it. */
export function newCredentialKey(): string {
  return `rck_${random(24)}`;
}

/** Whether a text reads like one of these keys, which must not be kept or repeated. */
export function isSecret(text: string): boolean {
  return /^r[sc]k_/i.test(text);
}

function random(bytes: number): string {
  return randomBytes(bytes).toString('base64url');
}
