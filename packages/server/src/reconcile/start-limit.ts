/**
 * At most so many starts at once; whoever gives up while waiting leaves the line. Next is who waits for the runtime with
 * the fewest starts under way, and among those the one whose turn it is: a flood of one does not keep another waiting.
 */
export interface StartLimit {
  /**
   * @param owner the runtime that the start is for
   * @returns what to call when the start is over
   */
  acquire(signal: AbortSignal, owner: string): Promise<() => void>;
}

export function createStartLimit(atOnce: number): StartLimit {
  let running = 0;
  const runningOf = new Map<string, number>();
  /** Those that wait, by owner, each in the order they came. Owners stand in the order of their turns. */
  const lines = new Map<string, Set<() => void>>();

  const count = (owner: string, by: 1 | -1) => {
    running += by;
    const left = (runningOf.get(owner) ?? 0) + by;
    if (left === 0) runningOf.delete(owner);
    else runningOf.set(owner, left);
  };
  const next = (): string | undefined => {
    let best: string | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const owner of lines.keys()) {
      const own = runningOf.get(owner) ?? 0;
      if (own < fewest) [best, fewest] = [owner, own];
      if (own === 0) break;
    }
    return best;
  };
  const leave = (owner: string, enter: () => void) => {
    const line = lines.get(owner);
    line?.delete(enter);
    if (line?.size === 0) lines.delete(owner);
  };
  /** Whoever has had a turn comes after all others. */
  const goBehind = (owner: string) => {
    const line = lines.get(owner);
    if (!line) return;
    lines.delete(owner);
    lines.set(owner, line);
  };
  const take = (owner: string) => {
    count(owner, 1);
    goBehind(owner);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      count(owner, -1);
      goBehind(owner);
      const whose = next();
      if (whose === undefined) return;
      const [enter] = lines.get(whose)!;
      leave(whose, enter!);
      enter!();
    };
  };
  return {
    acquire(signal, owner) {
      signal.throwIfAborted();
      if (running < atOnce) return Promise.resolve(take(owner));
      return new Promise((resolve, reject) => {
        const enter = () => {
          signal.removeEventListener('abort', giveUp);
          resolve(take(owner));
        };
        const giveUp = () => {
          leave(owner, enter);
          reject(signal.reason as Error);
        };
        const line = lines.get(owner);
        if (line) line.add(enter);
        else lines.set(owner, new Set([enter]));
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
  };
}
