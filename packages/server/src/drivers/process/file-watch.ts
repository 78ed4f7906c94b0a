import { type FSWatcher, statSync, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A file that did not grow in so many looks is left alone until it is written again. */
const QUIET_LOOKS = 5;

/**
 * Looks at a file again and again while somebody writes it; one that nobody writes costs nothing. The kernel says when a
 * quiet file is written, once: to be told of each write would cost more than the writes do.
 *
 * Where the kernel does not say so (another machine writes, or it watches as many files as it may), nothing is seen:
 * whoever must know looks from time to time as well.
 * @param everyMs between two looks; also how soon the first one is
 * @param look what is done at each at which it has changed; the next one waits for it. Hears how many bytes a second were
 * written since the one before
 * @returns what ends it
 */
export function watchFile(
  path: string,
  everyMs: number,
  look: (size: number, pace: number) => Promise<void> | void,
): () => void {
  let watcher: FSWatcher | undefined;
  let isOver = false;
  let size = sizeOf(path);

  const rest = () => {
    if (isOver) return;
    try {
      watcher = watch(path, { persistent: false });
      watcher.once('change', follow).once('error', leave);
    } catch {
      return; // See above.
    }
    // Written between the last look and now.
    if (sizeOf(path) !== size) void follow();
  };
  const leave = () => {
    watcher?.close();
    watcher = undefined;
  };
  const follow = async () => {
    if (watcher === undefined) return;
    leave();
    let lookedAt = performance.now();
    for (let quiet = 0; quiet < QUIET_LOOKS; quiet++) {
      await delay(everyMs, undefined, { ref: false });
      if (isOver) return;
      const [sizeNow, at] = [sizeOf(path), performance.now()];
      const [grown, sinceMs] = [sizeNow - size, at - lookedAt];
      [size, lookedAt] = [sizeNow, at];
      if (grown === 0) continue;
      quiet = -1;
      await look(size, (1000 * grown) / sinceMs);
    }
    rest();
  };
  rest();
  return () => {
    isOver = true;
    leave();
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
