import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectPlace } from '../../domain/runtime.ts';
import { shown } from '../zip-bytes.ts';
import { notFetched, type OpenObject } from './open-object.ts';

const READ_BYTES = 64 * 1024;
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** On macOS: no link anywhere in the path (open(2)). Linux has no such flag, but a way to open below an open folder. */
const O_NOFOLLOW_ANY = process.platform === 'darwin' ? 0x2000_0000 : 0;

/** An open folder, and the path under which what is in it is reached without going its way again. */
interface Folder {
  handle: FileHandle;
  path: string;
}

/**
 * Opens `<root>/<bucket>/<object>` without following a link anywhere below the root: every folder is opened from the
 * one above, which is open already, so nothing that is exchanged meanwhile leads outside. Regular files only, and
 * nothing else is even opened; a link count of more than one does not matter.
 * @returns undefined when there is no folder for the bucket
 * @throws PhaseFailure
 */
export async function openLocalObject(
  root: string,
  { bucket, object }: ObjectPlace,
): Promise<OpenObject | undefined> {
  const parts = object.split('/');
  const opened = await openRoot(root);
  if (!opened) return undefined;
  let folder = opened;
  try {
    const bucketFolder = await stepInto(folder, bucket, `bucket ${shown(bucket)}`);
    if (!bucketFolder) return undefined;
    folder = bucketFolder;
    if (parts.includes('')) {
      throw notFetched(`object ${shown(object)} has an empty part ("//"), which no file in a folder has`);
    }
    for (const part of parts.slice(0, -1)) {
      const next = await stepInto(folder, part, `folder ${shown(part)} of object ${shown(object)}`);
      if (!next) throw noSuchObject(bucket, object);
      folder = next;
    }
    const file = await openFile(folder, parts.at(-1)!, object);
    if (!file) throw noSuchObject(bucket, object);
    return await asOpenObject(file, object);
  } finally {
    await folder.handle.close();
  }
}

async function openRoot(root: string): Promise<Folder | undefined> {
  const what = "the data folder's buckets";
  // Where the data folder lies is the operator's affair, links on the way included.
  const path = await realpath(root).catch(unlessAbsent(what));
  if (path === undefined) return undefined;
  const handle = await open(path, O_RDONLY | O_DIRECTORY).catch(unlessAbsent(what));
  return handle && { handle, path: pathOf(handle, path) };
}

/** Into a folder of a folder, which is closed. @returns undefined, and nothing is closed, when there is none */
async function stepInto(folder: Folder, name: string, what: string): Promise<Folder | undefined> {
  const path = join(folder.path, name);
  const found = await look(path, what);
  if (!found) return undefined;
  if (!found.isDirectory()) throw notFetched(`${what} is no folder in the data folder's buckets`);
  const handle = await openWithoutLinks(path, O_DIRECTORY, what);
  if (!handle) return undefined;
  await folder.handle.close();
  return { handle, path: pathOf(handle, path) };
}

async function openFile(folder: Folder, name: string, object: string): Promise<FileHandle | undefined> {
  const what = `object ${shown(object)}`;
  const path = join(folder.path, name);
  const found = await look(path, what);
  if (!found) return undefined;
  if (found.isDirectory()) throw notFetched(`${what} is a folder; pack it, and name the ZIP archive`);
  if (!found.isFile()) throw notFetched(notRegular(what));
  // Should it have become a pipe by now, opening does not wait for somebody to write.
  const handle = await openWithoutLinks(path, O_NONBLOCK, what);
  if (!handle) return undefined;
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw notFetched(notRegular(what));
}

/** What is there by a name, itself and not what it leads to. */
async function look(path: string, what: string) {
  const found = await lstat(path).catch(unlessAbsent(what));
  if (found?.isSymbolicLink()) throw notFetched(`${what} is a link, and links are not followed`);
  return found;
}

function openWithoutLinks(path: string, flags: number, what: string): Promise<FileHandle | undefined> {
  return open(path, O_RDONLY | O_NOFOLLOW | O_NOFOLLOW_ANY | flags).catch(unlessAbsent(what));
}

/** Names too long for the file system, too, are names of nothing. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

function unlessAbsent(what: string) {
  return (error: NodeJS.ErrnoException): undefined => {
    if (ABSENT.has(error.code!)) return undefined;
    if (error.code === 'ELOOP') throw notFetched(`${what} is a link, and links are not followed`, error);
    if (error.code === 'ENXIO') throw notFetched(notRegular(what), error);
    // Of the system's own words only the code: the others show the server's folders.
    throw notFetched(`${what} cannot be read by the server: the system answers ${error.code}`, error);
  };
}

function notRegular(what: string): string {
  return `${what} is no regular file`;
}

/** On Linux a name below an open folder is looked up in that very folder, wherever it has been moved (proc(5)). */
function pathOf(handle: FileHandle, path: string): string {
  return process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path;
}

async function asOpenObject(file: FileHandle, object: string): Promise<OpenObject> {
  const before = await file.stat();
  return {
    size: undefined,
    bytes: pieces(file),
    async complete() {
      const after = await file.stat();
      if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
        throw notFetched(
          `object ${shown(object)} was written to while it was read; put it in place by renaming, and try again`,
        );
      }
    },
    close: () => file.close(),
  };
}

async function* pieces(file: FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(buffer);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

function noSuchObject(bucket: string, object: string) {
  return notFetched(`object ${shown(object)} does not exist in bucket ${shown(bucket)} of the data folder`);
}
