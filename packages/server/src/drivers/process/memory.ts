import { readFile } from 'node:fs/promises';

/**
 * What processes take of the machine's memory, in bytes: each its own and its part of what it shares with others
 * (proportional set size). Undefined where the system does not tell: without /proc, or of processes of somebody else.
 */
export async function memoryOfProcesses(pids: readonly number[]): Promise<number | undefined> {
  let bytes: number | undefined;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => undefined);
    const kib = /^Pss:\s+(\d+) kB/m.exec(text ?? '')?.[1];
    if (kib !== undefined) bytes = (bytes ?? 0) + Number(kib) * 1024;
  }
  return bytes;
}
