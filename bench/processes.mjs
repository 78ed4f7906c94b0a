import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

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

/** Processor time that a process has had, in ms: its own and the system's for it, of all its threads. */
export function cpuMs(pid) {
  const fields = statFields(pid);
  if (!fields) throw new Error(`process ${pid} has gone`);
  return ticksToMs(fields[11]) + ticksToMs(fields[12]);
}

/** Processor time that the whole machine has spent on anything, in ms, what its host took away included. */
export function machineCpuMs() {
  const [, user, nice, system, , , irq, softirq, steal] = read('/proc/stat').split('\n', 1)[0].split(/\s+/);
  return [user, nice, system, irq, softirq, steal].reduce((sum, ticks) => sum + ticksToMs(ticks), 0);
}

/** Processor time that this process has had, with all that it started and that has ended. */
export function ownCpuMs() {
  return statFields('self')
    .slice(11, 15)
    .reduce((sum, ticks) => sum + ticksToMs(ticks), 0);
}

let ticksPerSecond;

function ticksToMs(ticks) {
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return (Number(ticks) / ticksPerSecond) * 1000;
}

/** The links of the kernel that show a process's listening socket on a port of 127.0.0.1, as routes tell them. */
export function listenerLinks(pid, port) {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const listeners = (read('/proc/net/tcp') ?? '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state]) => address === local && state === '0A')
    .map((fields) => `socket:[${fields[9]}]`);
  const links = readdirSync(`/proc/${pid}/fd`)
    .map((name) => ({ path: `/proc/${pid}/fd/${name}`, target: linkTarget(`/proc/${pid}/fd/${name}`) }))
    .filter(({ target }) => listeners.includes(target));
  if (links.length === 0) throw new Error(`process ${pid} does not listen on port ${port}`);
  return links;
}

function linkTarget(path) {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // Closed meanwhile.
  }
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
