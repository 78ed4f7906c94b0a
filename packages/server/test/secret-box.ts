import { createSecretBox, type SecretBox } from '../src/auth/secret-box.ts';

/** The box of tests that have no data folder of their own to keep a key in. */
export const testBox: SecretBox = createSecretBox(Buffer.alloc(32, 7));
