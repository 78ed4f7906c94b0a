import { hashKey, KeyRing } from './key-ring.ts';
import type { KeySecrets } from './key-secrets.ts';
import type { Key, PlatformKey } from './keys.ts';

/** All keys there are: those that are given with the server, and those that were made. */
export class KeyBook {
  /** For authenticating; always the keys that were read last. */
  readonly ring = new KeyRing();
  readonly #given: readonly PlatformKey[];
  readonly #readMade: () => Promise<Key[]>;
  #all: readonly Key[];
  #reading: Promise<void> = Promise.resolve();

  constructor(given: readonly PlatformKey[], readMade: () => Promise<Key[]>) {
    this.#given = given;
    this.#readMade = readMade;
    this.#all = given;
  }

  get all(): readonly Key[] {
    return this.#all;
  }

  /** Ids of the keys that nobody made and nobody can revoke. */
  get givenIds(): string[] {
    return this.#given.map(({ id }) => id);
  }

  /** Reads anew which keys were made. One after the other: what an earlier look saw must not undo a later one. */
  read(): Promise<void> {
    const turn = this.#reading
      .catch(() => {})
      .then(async () => {
        this.#all = [...this.#given, ...(await this.#readMade())];
        this.ring.replace(this.#all);
      });
    this.#reading = turn;
    return turn;
  }
}

/** Of the key that the first start makes, for whoever may read the data folder. */
export const LOCAL_KEY_ID = 'local';

/** Keys that are there without anybody having made them: this machine's, and the pair given by configuration. */
export function givenKeys(
  local: KeySecrets,
  configured: { accessKeyId: string | undefined; accessKeySecret: string | undefined },
): PlatformKey[] {
  const { accessKeyId, accessKeySecret } = configured;
  const { apiKey, ...pair } = local;
  const whole = { kind: 'platform', role: 'admin', workspaces: 'all' } as const;
  return [
    { ...whole, id: LOCAL_KEY_ID, sha256: hashKey(apiKey), ...pair },
    ...(accessKeyId !== undefined && accessKeySecret !== undefined
      ? [{ ...whole, id: 'configured', accessKeyId, accessKeySecret }]
      : []),
  ];
}
