import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';

/** What the kernel says of the processes of this machine; Linux only. */

export function livingProcesses() {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isAlive(pid));
}

/** Whether a process of this number runs; unburied remains do not count. */
export function isAlive(pid) {
  const state = statFields(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

export function childrenOf(parent) {
  return livingProcesses().filter((pid) => Number(statFields(pid)?.[1]) === parent);
}

export function commandOf(pid) {
  return (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

/** The variables a process was started with; empty when it is gone or not ours. */
export function environmentOf(pid) {
  const pairs = (read(`/proc/${pid}/environ`) ?? '').split('\0').filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

/** What the server marks everything with that it starts for a data folder. */
export function dataMark(data) {
  return createHash('sha256').update(realpathSync(data)).digest('hex').slice(0, 16);
}

/** The processes that were started for a data folder: agents, their wrappers, installers. */
export function processesOf(data) {
  const mark = dataMark(data);
  return livingProcesses().filter((pid) => environmentOf(pid).RUNSTEAD_DATA_MARK === mark);
}

/** Proportional set size, in MiB: what a process has for itself and its part of what it shares. */
export function memoryMiB(pid) {
  const kib = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
  return kib === undefined ? undefined : Number(kib) / 1024;
}

/** The fields after the program's name: state, parent, … The name stands in brackets and may hold anything. */
function statFields(pid) {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // Gone, or not ours.
  }
}
