/** What was prepared for one package of one runtime, or made of the starts of its agents. */
export interface PreparedTree {
  runtimeId: string;
  /** The package's digest; absent: the record of a start, of whichever package. */
  digest?: string;
  /** When an instance was last started from it, in ms since 1970. */
  usedAtMs: number;
  /** Folders it consists of; trees of a runtime may share some. */
  folders: readonly string[];
}

export interface TreesThere {
  trees: readonly PreparedTree[];
  /** Of each folder. */
  bytes: ReadonlyMap<string, number>;
  limitBytes: number;
  /** An instance runs from it, or something is under way for its runtime. */
  isInUse: (tree: PreparedTree) => boolean;
}

/** Which trees go so that the rest keeps to the limit: those that were not used for longest; never one in use. */
export function treesToEvict({ trees, bytes, limitBytes, isInUse }: TreesThere): PreparedTree[] {
  const users = new Map<string, number>();
  for (const { folders } of trees)
    for (const folder of folders) users.set(folder, (users.get(folder) ?? 0) + 1);
  let total = [...users.keys()].reduce((sum, folder) => sum + (bytes.get(folder) ?? 0), 0);
  const going: PreparedTree[] = [];
  for (const tree of [...trees].sort((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (total <= limitBytes) break;
    if (isInUse(tree)) continue;
    going.push(tree);
    for (const folder of tree.folders) {
      const left = users.get(folder)! - 1;
      users.set(folder, left);
      if (left === 0) total -= bytes.get(folder) ?? 0;
    }
  }
  return going;
}
