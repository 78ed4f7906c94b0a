import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { ZipFile } from 'yazl';
import { ValueError } from '../errors.ts';
import type { PackageFile } from './list-files.ts';

/** Called after each file. Counts files and bytes before compression. */
export type OnProgress = (progress: {
  /** The file that was just packed. */
  path: string;
  files: number;
  totalFiles: number;
  bytes: number;
  totalBytes: number;
}) => void;

/** Regular files, `-rw-r--r--` and `-rwxr-xr-x`: whose they are and the packer's umask do not matter. */
const FILE_MODE = 0o100644;
const EXECUTABLE_MODE = 0o100755;

/**
 * Packs files in the order given. The same files give the same bytes (on one version of Node, whose zlib decides how
 * they are compressed).
 * @throws ValueError naming a file that cannot be read or changes meanwhile
 */
export async function zipFiles(
  root: string,
  files: readonly PackageFile[],
  onProgress?: OnProgress,
): Promise<Buffer> {
  // One date for every entry. The format holds local time: noon exists in every time zone, midnight does not. Without
  // `forceDosTimestamp` the same moment would be written in UTC as well, and differ by time zone.
  const date = { mtime: new Date(1980, 0, 1, 12), forceDosTimestamp: true };
  const zip = new ZipFile();
  const totalBytes = files.reduce((sum, file) => sum + file.size, 0);
  let packed = 0;
  let packedBytes = 0;
  let current = '';
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new ValueError(`${join(root, current)} cannot be packed: ${cause.message}`, { cause }));
    zip.on('error', fail);
    zip.outputStream.on('data', (chunk: Buffer) => chunks.push(chunk));
    zip.outputStream.on('error', fail);
    zip.outputStream.on('end', resolve);
    for (const file of files) {
      const options = { ...date, mode: file.executable ? EXECUTABLE_MODE : FILE_MODE, size: file.size };
      zip.addReadStreamLazy(file.path, options, (give) => {
        current = file.path;
        const content = createReadStream(join(root, file.path));
        // The zip writer pipes, and pipes hand no errors on.
        content.on('error', fail);
        content.on('end', () => {
          packed += 1;
          packedBytes += file.size;
          try {
            onProgress?.({
              path: file.path,
              files: packed,
              totalFiles: files.length,
              bytes: packedBytes,
              totalBytes,
            });
          } catch (error) {
            // Thrown from here it would end the process.
            reject(error);
          }
        });
        give(null, content);
      });
    }
    zip.end();
  });
  return Buffer.concat(chunks);
}
