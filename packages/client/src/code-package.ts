import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { crc64 } from '@runstead/contract/crc64';
import { listFiles, type PackageFile } from './code/list-files.ts';
import { type OnProgress, zipFiles } from './code/zip.ts';
import { ValueError } from './errors.ts';
import type { CodeConfigurationInput, Language } from './wire.ts';

export type { PackageFile } from './code/list-files.ts';
export type { OnProgress } from './code/zip.ts';

/** Code packages for `create` and `update` (contract: code packages). Node only: this reads files. */

export interface CodeOptions {
  language: Language;
  /** Program and arguments, one word each. Absent: the server finds it in the package. */
  command?: readonly string[] | undefined;
}

export interface CodeFromFileOptions extends CodeOptions {
  onProgress?: OnProgress | undefined;
}

/** Base64 makes it 4/3 as long, and a JavaScript string ends at 512 Mi characters; the rest is left to the JSON. */
const MAX_INLINE_BYTES = 350 * 1024 * 1024;

/**
 * A folder, or a single file, as a code package.
 * @throws ValueError for a path that is missing, empty or holds what cannot be packed
 * @example codeConfiguration: await codeFromFile('./agent', { language: 'nodejs20', command: ['node', 'server.js'] })
 */
export async function codeFromFile(
  path: string,
  { onProgress, ...options }: CodeFromFileOptions,
): Promise<CodeConfigurationInput> {
  const { zip } = await zipFolder(path, { onProgress });
  return inlineCode(zip, options);
}

/**
 * A ZIP archive that is there already.
 * @throws ValueError for a file that is missing, empty or no ZIP archive
 */
export async function codeFromZipFile(path: string, options: CodeOptions): Promise<CodeConfigurationInput> {
  let zip: Buffer;
  try {
    zip = await readFile(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  // A local file header; an archive without entries begins with its end record, PK\5\6.
  if (zip.toString('latin1', 0, 4) === 'PK\x05\x06') throw new ValueError(`${path} holds no files`);
  if (zip.toString('latin1', 0, 4) !== 'PK\x03\x04') throw new ValueError(`${path} is not a ZIP archive`);
  return inlineCode(zip, options);
}

/** A ZIP archive in a bucket; the server fetches it. */
export function codeFromOss(bucket: string, object: string, options: CodeOptions): CodeConfigurationInput {
  if (!bucket || !object) throw new ValueError('codeFromOss needs a bucket and an object');
  return { ...written(options), ossBucketName: bucket, ossObjectName: object };
}

export interface PackedFolder {
  /** The archive. The same files give the same bytes, whenever and wherever they were written. */
  zip: Buffer;
  /** What it holds, in its order. */
  files: PackageFile[];
}

/**
 * Packs a folder, or a single file under its own name, without sending it anywhere.
 * @throws ValueError as `codeFromFile`
 */
export async function zipFolder(
  path: string,
  { onProgress }: { onProgress?: OnProgress | undefined } = {},
): Promise<PackedFolder> {
  let root = resolve(path);
  let files: PackageFile[];
  try {
    const found = await stat(root);
    if (found.isDirectory()) {
      files = await listFiles(root);
    } else if (found.isFile()) {
      if (extname(root).toLowerCase() === '.zip') {
        throw new ValueError(`${path} is an archive already: use codeFromZipFile`);
      }
      files = [{ path: basename(root), size: found.size, executable: (found.mode & 0o111) !== 0 }];
      root = dirname(root);
    } else {
      throw new ValueError(`${path} is neither a file nor a folder`);
    }
  } catch (cause) {
    throw cause instanceof ValueError ? cause : unreadable(path, cause);
  }
  if (files.length === 0) throw new ValueError(`${path} holds no files to pack (ignored ones do not count)`);
  return { zip: await zipFiles(root, files, onProgress), files };
}

function inlineCode(zip: Buffer, options: CodeOptions): CodeConfigurationInput {
  if (zip.length > MAX_INLINE_BYTES) {
    throw new ValueError(
      `the package has ${zip.length} bytes, more than fit into a request (${MAX_INLINE_BYTES}): leave out what the ` +
        'agent does not need (.runsteadignore), or use codeFromOss',
    );
  }
  return { ...written(options), zipFile: zip.toString('base64'), checksum: crc64(zip) };
}

function written({ language, command }: CodeOptions): CodeConfigurationInput {
  return { language, ...(command !== undefined && { command: [...command] }) };
}

function unreadable(path: string, cause: unknown): ValueError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reason = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${message}`;
  return new ValueError(`${path} ${reason}`, { cause });
}
