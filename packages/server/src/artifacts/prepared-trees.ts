import { readdir, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type PreparedTree, treesToEvict } from '../domain/eviction.ts';
import type { Log } from '../observe/log.ts';
import type { DataFolders } from './folders.ts';
import { preparedOf, setAside, setAsideOthers } from './let-go.ts';
import { said } from './measure.ts';
import type { PackageThread } from './package-thread.ts';
import { removeTree } from './remove-tree.ts';

export interface PreparedTreesOptions {
  folders: DataFolders;
  thread: Pick<PackageThread, 'run'>;
  /** What all of them may take on the disk together. */
  limitBytes: number;
  /**
   * Which packages of a runtime instances run from. `all`: something is on its way up, or not known, and nothing of the
   * runtime may be touched. Read, then asked: the answer must be as of the moment it is called.
   */
  packagesInUse: (runtimeId: string) => Promise<() => ReadonlySet<string> | 'all'>;
  log: Log;
}

/**
 * What is prepared, held to a limit. Packages stay as long as a version refers to them; what is made of them can be made
 * again, and so may go when nobody has used it for long.
 */
export interface PreparedTrees {
  /**
   * Resolves when nothing of the runtime is being taken away. To be asked when the start already counts as one: until it
   * is over, nothing of the runtime is.
   */
  atRest(runtimeId: string): Promise<void>;
  /** An instance is started from it: it is the one that was used last. */
  used(instanceId: string, runtimeId: string, digest: string): void;
  /** The instance is gone: until now it used what it was started from. */
  unused(instanceId: string): void;
  /** Does work that takes something of the runtime away, one at a time. */
  exclusively<T>(runtimeId: string, work: () => Promise<T>): Promise<T>;
  /** Looks whether there is too much, in the background; asked while it looks, it looks once more. */
  look(): void;
  /** Begins nothing more; resolves when what is under way is over. */
  close(): Promise<void>;
}

export function createPreparedTrees(options: PreparedTreesOptions): PreparedTrees {
  const { folders, thread, limitBytes, packagesInUse, log } = options;
  /** Records of starts, `starts/<runtimeId>/<key>`: made from what is prepared, and made again as easily. */
  const starts = join(dirname(folders.code), 'starts');
  const busy = new Map<string, Promise<unknown>>();
  /** Packages that were used since this server began, as `<runtimeId>/<digest>`: whatever they are made of is there. */
  const known = new Set<string>();
  /** What instances of this server were started from. */
  const homes = new Map<string, string>();
  /** As measured; most never change. */
  const sizes = new Map<string, number>();
  let looking: Promise<void> | undefined;
  let again = false;
  let closed = false;

  const atRest = async (runtimeId: string) => {
    for (let other = busy.get(runtimeId); other; other = busy.get(runtimeId)) await other.catch(() => {});
  };

  const exclusively: PreparedTrees['exclusively'] = async (runtimeId, work) => {
    // Not by `atRest`: between the last look and the beginning nothing may be awaited, or two would begin at once.
    for (let other = busy.get(runtimeId); other; other = busy.get(runtimeId)) await other.catch(() => {});
    const mine = work();
    busy.set(runtimeId, mine);
    try {
      return await mine;
    } finally {
      busy.delete(runtimeId);
    }
  };

  const treesThere = async (): Promise<PreparedTree[]> => {
    const trees: PreparedTree[] = [];
    for (const runtimeId of await readdir(folders.code)) {
      let lastUseMs = 0;
      for (const { digest, folders: own } of await preparedOf(folders, runtimeId)) {
        const touched = await stat(join(folders.code, runtimeId, digest)).catch(() => undefined);
        const usedAtMs = touched?.mtimeMs ?? 0;
        lastUseMs = Math.max(lastUseMs, usedAtMs);
        trees.push({ runtimeId, digest, folders: own, usedAtMs });
      }
      // Which package a record is of does not show; it goes as late as the last of them.
      for (const key of await recordsOf(runtimeId))
        trees.push({ runtimeId, folders: [join(starts, runtimeId, key)], usedAtMs: lastUseMs });
    }
    return trees;
  };

  const recordsOf = async (runtimeId: string): Promise<string[]> => {
    const names = await readdir(join(starts, runtimeId)).catch(() => []);
    return names.filter((name) => !name.endsWith('.tmp'));
  };

  const sizesOf = async (trees: readonly PreparedTree[]): Promise<ReadonlyMap<string, number>> => {
    const there = new Set(trees.flatMap((tree) => tree.folders));
    for (const folder of sizes.keys()) if (!there.has(folder)) sizes.delete(folder);
    for (const folder of there) {
      if (closed) break;
      if (!sizes.has(folder)) sizes.set(folder, (await thread.run('measure', folder)).bytes);
    }
    return sizes;
  };

  const keepToLimit = async (): Promise<void> => {
    const trees = await treesThere();
    const bytes = await sizesOf(trees);
    const asks = new Map<string, () => ReadonlySet<string> | 'all'>();
    for (const { runtimeId } of trees)
      if (!asks.has(runtimeId)) asks.set(runtimeId, await packagesInUse(runtimeId));
    if (closed) return;
    const isInUse = ({ runtimeId, digest }: PreparedTree) => {
      const used = asks.get(runtimeId)!();
      if (used === 'all') return true;
      return digest === undefined ? used.size > 0 : used.has(digest);
    };
    for (const tree of treesToEvict({ trees, bytes, limitBytes, isInUse })) await evict(tree, isInUse);
  };

  const evict = async (tree: PreparedTree, isInUse: (tree: PreparedTree) => boolean): Promise<void> => {
    const { runtimeId, digest } = tree;
    // What a start counts as from now on waits for this; what counts as one already keeps it from being begun.
    const aside = await exclusively(runtimeId, async () => {
      if (closed || isInUse(tree)) return [];
      if (digest === undefined) return [await setAside(tree.folders[0]!, log)];
      const others = (await preparedOf(folders, runtimeId)).map((other) => other.digest);
      known.delete(`${runtimeId}/${digest}`);
      return setAsideOthers(folders, runtimeId, new Set(others.filter((other) => other !== digest)), log);
    });
    for (const path of aside) if (path !== undefined) await removeTree(path, log);
    if (aside.length === 0) return;
    const limit = said(limitBytes);
    log.info(
      { agentRuntimeId: runtimeId, package: digest?.slice(0, 12) },
      `what was prepared was removed, as all of it may take ${limit}; it is made again when it is wanted`,
    );
  };

  /** The time of the folder is when it was used last: it outlives the server. One that is gone needs none. */
  const touch = (home: string) => utimes(home, new Date(), new Date()).catch(() => {});

  const look = () => {
    if (closed) return;
    again = looking !== undefined;
    if (again) return;
    looking = keepToLimit()
      .catch((error: unknown) => {
        if (!closed) log.warn({ err: error }, 'what is prepared could not be held to its limit');
      })
      .finally(() => {
        looking = undefined;
        if (again) look();
      });
  };

  return {
    atRest,
    exclusively,
    look,

    used(instanceId, runtimeId, digest) {
      const home = join(folders.code, runtimeId, digest);
      homes.set(instanceId, home);
      // Nobody's start waits for it.
      const touched = touch(home);
      const key = `${runtimeId}/${digest}`;
      if (known.has(key)) return;
      known.add(key);
      void touched.then(look);
    },

    unused(instanceId) {
      const home = homes.get(instanceId);
      homes.delete(instanceId);
      if (home !== undefined) void touch(home);
    },

    async close() {
      closed = true;
      await looking;
    },
  };
}
