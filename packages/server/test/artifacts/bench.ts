import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ZipFile } from 'yazl';
import { type DataFolders, openDataFolders } from '../../src/artifacts/folders.ts';
import type { InstallRules } from '../../src/artifacts/install/rules.ts';
import { createPackageThread, type PackageThread } from '../../src/artifacts/package-thread.ts';
import { removeAll } from '../../src/artifacts/remove-tree.ts';

/** The settings' own limits, on a disk that may be as full as it likes. */
export const RULES: Readonly<InstallRules> = {
  allowScripts: 'build',
  diskBytes: 2 * 1024 ** 3,
  diskEntries: 500_000,
  processes: 256,
  freeSpaceReserveBytes: 0,
};

/** A data folder and the package thread that works on it. */
export interface ArtifactBench {
  dataDir: string;
  folders: DataFolders;
  thread: PackageThread;
  dispose(): Promise<void>;
}

/** @param given a folder that exists; it is emptied in the end */
export function openBench(given?: string): ArtifactBench {
  const dataDir = given ?? mkdtempSync(join(tmpdir(), 'runstead-artifacts-'));
  const thread = createPackageThread();
  return {
    dataDir,
    folders: openDataFolders(dataDir),
    thread,
    async dispose() {
      await thread.close();
      await removeAll(dataDir);
    },
  };
}

/** An ordinary package, as a packing tool makes it. */
export async function packageOf(files: Record<string, string | Buffer>): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, content] of Object.entries(files)) {
    // One time for all, so that the same files give the same bytes.
    zip.addBuffer(Buffer.from(content), name, { mtime: new Date(2026, 0, 1), mode: 0o100644 });
  }
  zip.end();
  const pieces: Buffer[] = [];
  for await (const piece of zip.outputStream as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Everything below a folder: path → text of a file, `/` for a folder. */
export function tree(folder: string, prefix = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      found[`${prefix}${name}/`] = '/';
      Object.assign(found, tree(path, `${prefix}${name}/`));
    } else found[`${prefix}${name}`] = readFileSync(path, 'utf8');
  }
  return found;
}

/** What is left of work under way anywhere in the folders where code and dependencies lie. */
export function halfMade({ code, deps, incoming }: DataFolders): string[] {
  const inside = (folder: string) =>
    existsSync(folder)
      ? readdirSync(folder, { withFileTypes: true }).filter((item) => item.isDirectory())
      : [];
  const found: string[] = readdirSync(incoming);
  for (const folder of [code, deps]) {
    for (const runtime of inside(folder)) {
      for (const item of inside(join(folder, runtime.name))) {
        if (item.name.endsWith('.tmp')) found.push(join(runtime.name, item.name));
      }
    }
  }
  return found;
}

/** Waits for a condition, checked every few milliseconds. */
export async function until(what: string, condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`);
    await delay(5);
  }
}
