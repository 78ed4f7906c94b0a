import type { CodeFromFileOptions, CodeOptions, PackageFile } from '../code-package.ts';
import type { CodeConfigurationInput } from '../wire.ts';
import { callAndWait } from './call.ts';

/** Code packages in blocking form; as `@runstead/client/code`, without `onProgress`. */

type WithoutProgress<Options> = Omit<Options, 'onProgress'>;

/** A folder, or a single file, as a code package. */
export function codeFromFile(
  path: string,
  options: WithoutProgress<CodeFromFileOptions>,
): CodeConfigurationInput {
  return call('codeFromFile', [path, options], codeFromFile) as CodeConfigurationInput;
}

/** A ZIP archive that is there already. */
export function codeFromZipFile(path: string, options: CodeOptions): CodeConfigurationInput {
  return call('codeFromZipFile', [path, options], codeFromZipFile) as CodeConfigurationInput;
}

/** A ZIP archive in a bucket; the server fetches it. */
export function codeFromOss(bucket: string, object: string, options: CodeOptions): CodeConfigurationInput {
  return call('codeFromOss', [bucket, object, options], codeFromOss) as CodeConfigurationInput;
}

/** Packs a folder, or a single file under its own name, without sending it anywhere. */
export function zipFolder(path: string): { zip: Buffer; files: PackageFile[] } {
  const { zip, files } = call('zipFolder', [path], zipFolder) as { zip: Uint8Array; files: PackageFile[] };
  // Between threads a buffer becomes what it is underneath.
  return { zip: Buffer.from(zip.buffer, zip.byteOffset, zip.byteLength), files };
}

// biome-ignore lint/complexity/noBannedTypes: as `captureStackTrace` takes it
function call(method: string, args: readonly unknown[], called: Function): unknown {
  return callAndWait({ type: 'code' }, method, args, called);
}
