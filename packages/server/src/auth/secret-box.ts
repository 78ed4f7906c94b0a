import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Keeps secrets that must be read again (HMAC keys, agents' variables) unreadable in the database and its copies. */
export interface SecretBox {
  /** @param purpose what the secret belongs to, such as an id: it opens there only */
  seal(secret: string, purpose: string): string;
  /** @throws Error when the text was sealed for something else, with another key, or changed since */
  open(sealed: string, purpose: string): string;
  /** A key of 32 bytes for something else: always the same for one purpose, and telling nothing of the box's own. */
  derive(purpose: string): Uint8Array;
}

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Which way of sealing: what a later one reads, it must be able to tell from this. */
const PREFIX = 'sealed1:';

export function createSecretBox(key: Uint8Array): SecretBox {
  return {
    derive: (purpose) => new Uint8Array(hkdfSync('sha256', key, '', purpose, KEY_BYTES)),
    seal(secret, purpose) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(purpose));
      const bytes = Buffer.concat([
        nonce,
        cipher.update(secret, 'utf8'),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
      return PREFIX + bytes.toString('base64url');
    },
    open(sealed, purpose) {
      if (!sealed.startsWith(PREFIX)) throw new Error('a secret of the database is not sealed');
      const bytes = Buffer.from(sealed.slice(PREFIX.length), 'base64url');
      try {
        const nonce = bytes.subarray(0, NONCE_BYTES);
        const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(purpose));
        decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
        const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch (error) {
        // The cipher's own words name neither.
        throw new Error('a secret of the database cannot be opened: it was sealed with another key', {
          cause: error,
        });
      }
    },
  };
}

/**
 * The box of a data folder: its key lies in a file of its own, for the owner alone, and is made when it is missing.
 * @throws Error when the file is there but holds no key
 */
export function openSecretBox(file: string): SecretBox {
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const fresh = `${file}.${process.pid}.tmp`;
    const text = `${randomBytes(KEY_BYTES).toString('base64')}\n`;
    writeFileSync(fresh, text, { mode: 0o600, flush: true });
    renameSync(fresh, file);
    // The name too: a key that a power cut takes leaves a database nobody can read.
    const folder = openSync(dirname(file), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
  chmodSync(file, 0o600);
  const key = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (key.length !== KEY_BYTES) {
    throw new Error(
      `${file} holds no key. Put back the file that belongs to this data folder: without it the secrets in the database cannot be read.`,
    );
  }
  return createSecretBox(key);
}
