import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** What the kernel says of the processes of this machine. Linux only: without /proc every look finds nothing. */

/** Living processes that were started with this variable in their environment. */
export function processesWith(variable: string, value: string): number[] {
  const wanted = `${variable}=${value}`;
  return livingProcesses().filter((pid) => (read(`/proc/${pid}/environ`) ?? '').split('\0').includes(wanted));
}

/** A variable in the environment that a process shows; undefined when it is not there. */
export function variableOf(pid: number, name: string): string | undefined {
  const pairs = (read(`/proc/${pid}/environ`) ?? '').split('\0');
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** What the server marks everything with that it starts for a data folder: fixed by that folder's real path. */
export function dataMark(data: string): string {
  return createHash('sha256').update(realpathSync(data)).digest('hex').slice(0, 16);
}

export function childrenOf(parent: number): number[] {
  return livingProcesses().filter((pid) => Number(statFields(pid)?.[1]) === parent);
}

export function commandOf(pid: number): string {
  return (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

/** Whether a process of this number runs; unburied remains do not count. */
export function isAlive(pid: number): boolean {
  const state = statFields(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** The moment the kernel started it, in its own ticks. */
export function startTicksOf(pid: number): string {
  const ticks = statFields(pid)?.[19];
  if (ticks === undefined) throw new Error(`no process has the number ${pid}`);
  return ticks;
}

/** TCP ports of any address that this process listens on. */
export function listeningPorts(pid: number): number[] {
  const sockets = new Set(
    list(`/proc/${pid}/fd`).map((name) => /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${name}`))?.[1]),
  );
  const ports = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    (read(table) ?? '')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // 0A is LISTEN; the tenth field is the socket's inode.
      .filter((fields) => fields[3] === '0A' && sockets.has(fields[9]))
      .map((fields) => Number.parseInt(fields[1]!.split(':').at(-1)!, 16)),
  );
  return [...new Set(ports)].sort((a, b) => a - b);
}

export const hasProc = existsSync('/proc/self/stat');

function livingProcesses(): number[] {
  return list('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isAlive(pid));
}

/** The fields after the program's name: state, parent, group, session, … */
function statFields(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  // The name stands in brackets and may hold anything, brackets too.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // Gone, or not ours.
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
