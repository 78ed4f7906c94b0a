import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * Lets others see an environment as that of a process: /proc/PID/environ shows the memory it was first in, which nothing
 * of a process that waits points to any more. As far as there is room, the marks of the platform first. Where the
 * system does not allow it, the mark that the process was born with remains, and it is found by that.
 */
export function showEnvironment(pid: number, environment: Readonly<Record<string, string>>): void {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    const [start, end] = [Number(fields[47]), Number(fields[48])];
    const text = Buffer.alloc(end! - start!);
    const isMark = (pair: Buffer) => pair.toString('latin1', 0, 9) === 'RUNSTEAD_';
    const pairs = Object.entries(environment).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
    let size = 0;
    const fits = (pair: Buffer) => size + pair.length <= text.length;
    for (const pair of [...pairs.filter(isMark), ...pairs.filter((it) => !isMark(it))])
      if (fits(pair)) size += pair.copy(text, size);
    const memory = openSync(`/proc/${pid}/mem`, 'r+');
    try {
      writeSync(memory, text, 0, text.length, start!);
    } finally {
      closeSync(memory);
    }
  } catch {
    // Another user's namespace, or a system that keeps processes from each other.
  }
}
