import { readFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessInfo } from '../processes.ts';

const PAGE = 4096;
const MIB = 1024 * 1024;

/**
 * The memory that processes take together, in bytes: what several share counts once. Undefined while it is certainly
 * not more than `limitBytes`: what they have in memory is told at once, and only to divide what they share has
 * the kernel to look at every page.
 */
export function memoryBeyond(processes: readonly ProcessInfo[], limitBytes: number): number | undefined {
  const resident = sum(processes.map(({ pid }) => residentBytes(pid)));
  if (resident <= limitBytes) return undefined;
  const proportional = sum(processes.map(({ pid }) => proportionalBytes(pid) ?? residentBytes(pid)));
  return proportional > limitBytes ? proportional : undefined;
}

/** The second number of statm, in pages. Where those are larger than 4 KiB too little is told, never too much. */
function residentBytes(pid: number): number {
  return Number(readOrEmpty(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE;
}

function proportionalBytes(pid: number): number | undefined {
  const kib = /^Pss:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`))?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** Bytes on the disk below some folders; counting ends once they are more than `limitBytes`. Follows no link. */
export async function diskUsage(folders: readonly string[], limitBytes: number): Promise<number> {
  let bytes = 0;
  const open = [...folders];
  for (let folder = open.pop(); folder !== undefined && bytes <= limitBytes; folder = open.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) open.push(path);
      const found = await lstat(path).catch(() => undefined);
      bytes += (found?.blocks ?? 0) * 512;
    }
  }
  return bytes;
}

/** `OOM: used 512 of 512 MiB` */
export function outOfMemory(usedBytes: number, limitBytes: number): string {
  return `OOM: used ${Math.ceil(usedBytes / MIB)} of ${Math.round(limitBytes / MIB)} MiB`;
}

export function outOfDisk(usedBytes: number, limitBytes: number): string {
  return `disk: its home and temporary files took more than ${Math.round(limitBytes / MIB)} MiB (${Math.ceil(usedBytes / MIB)} MiB); RUNSTEAD_INSTANCE_DISK is the limit`;
}

export function outOfProcesses(count: number, limit: number): string {
  return `processes: it had ${count} of ${limit}; RUNSTEAD_INSTANCE_PROCESSES is the limit`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
