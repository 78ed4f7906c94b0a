import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

/** A body on the disk. */
export interface Spooled {
  /** Its path; whoever asked for the body removes it. */
  file: string;
  /** Hex SHA-256 of its bytes, as received. */
  sha256: string;
}

/**
 * Writes a request's body to a file of its own, at the pace of the disk, hashing it on the way: a large one is not read
 * again for that.
 * @throws BodyTooLarge after `limitBytes`; what was written is removed
 */
export async function spool(body: Readable, folder: string, limitBytes: number): Promise<Spooled> {
  const file = join(folder, `${randomUUID()}.body`);
  const target = createWriteStream(file, { flags: 'wx', mode: 0o600 });
  const sha256 = createHash('sha256');
  let bytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > limitBytes) return done(new BodyTooLarge(`The body is larger than ${limitBytes} bytes`));
      sha256.update(chunk);
      done(null, chunk);
    },
  });
  try {
    await pipeline(body, meter, target);
    return { file, sha256: sha256.digest('hex') };
  } catch (error) {
    // A file that was still being opened when the body broke off comes into being after that.
    if (!target.closed) await new Promise<void>((resolve) => target.once('close', resolve));
    await rm(file, { force: true });
    throw error;
  }
}
