/** At most so many starts at once, first come first served; whoever gives up while waiting leaves the line. */
export interface StartLimit {
  /** @returns what to call when the start is over */
  acquire(signal: AbortSignal): Promise<() => void>;
}

export function createStartLimit(atOnce: number): StartLimit {
  let running = 0;
  const line: (() => void)[] = [];
  const release = () => {
    running--;
    line.shift()?.();
  };
  const take = () => {
    running++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      release();
    };
  };
  return {
    acquire(signal) {
      signal.throwIfAborted();
      if (running < atOnce) return Promise.resolve(take());
      return new Promise((resolve, reject) => {
        const enter = () => {
          signal.removeEventListener('abort', leave);
          resolve(take());
        };
        const leave = () => {
          line.splice(line.indexOf(enter), 1);
          reject(signal.reason as Error);
        };
        line.push(enter);
        signal.addEventListener('abort', leave, { once: true });
      });
    },
  };
}
