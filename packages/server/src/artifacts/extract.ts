import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { Crc64 } from '@runstead/contract/crc64';
import { Base64Decoder, InvalidBase64 } from './base64-decoder.ts';
import { RestTooLarge, StringValueExtractor } from './json-extract.ts';

export interface ExtractJob {
  /** The request's body, as received. */
  bodyFile: string;
  /** Where to put the package. */
  packageFile: string;
}

export interface ExtractResult {
  /** The body without the package; not yet parsed. */
  json: string;
  package?: { digest: string; crc64: string; bytes: number };
  /** What the caller has to mend; nothing else is set then. */
  fault?: string;
}

/** Small enough for texts of it to be collected with the youngest objects: larger ones pile up for longer. */
const READ_BYTES = 64 * 1024;
/** Far above any configuration a person writes, far below what would hurt. */
const REST_LIMIT_BYTES = 4 * 1024 * 1024;

/**
 * Splits the body of a create or update into configuration and package, hashing the package on the way.
 * Synchronous and long: for a worker thread.
 */
export function extract({ bodyFile, packageFile }: ExtractJob): ExtractResult {
  const body = openSync(bodyFile, 'r');
  let target: number | undefined;
  try {
    const file = openSync(packageFile, 'wx', 0o600);
    target = file;
    const sha256 = createHash('sha256');
    const crc64 = new Crc64();
    let bytes = 0;
    const decoder = new Base64Decoder((piece) => {
      sha256.update(piece);
      crc64.update(piece);
      bytes += piece.length;
      for (let written = 0; written < piece.length; ) written += writeSync(file, piece, written);
    });
    const extractor = new StringValueExtractor(
      ['codeConfiguration', 'zipFile'],
      (piece) => decoder.push(piece),
      REST_LIMIT_BYTES,
    );
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const count = readSync(body, buffer);
      if (count === 0) break;
      extractor.push(buffer.subarray(0, count));
    }
    if (extractor.repeated) throw new InvalidBase64('it stands in the body more than once');
    decoder.end();
    if (bytes === 0) {
      // An empty text is how some clients leave a field out.
      rmSync(packageFile);
      return { json: extractor.rest() };
    }
    fsyncSync(file);
    return {
      json: extractor.rest(),
      package: { digest: sha256.digest('hex'), crc64: crc64.digest(), bytes },
    };
  } catch (error) {
    rmSync(packageFile, { force: true });
    if (error instanceof InvalidBase64) {
      return {
        json: '',
        fault: `codeConfiguration.zipFile must be a ZIP archive in base64: ${error.message}`,
      };
    }
    if (error instanceof RestTooLarge) return { json: '', fault: error.message };
    throw error;
  } finally {
    closeSync(body);
    if (target !== undefined) closeSync(target);
  }
}
