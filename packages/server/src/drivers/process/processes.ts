import { execFile, execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * One process of this machine. Numbers are used again, so `pid` alone names nobody for long; with the moment the kernel
 * started it, it does, until the machine boots again.
 */
export interface ProcessId {
  pid: number;
  /** Field 22 of /proc/PID/stat; on macOS the start time as `ps` prints it. */
  startTicks: string;
}

export interface ProcessInfo extends ProcessId {
  parentPid: number;
  groupId: number;
  /** 0 where unknown. */
  sessionId: number;
  /** The marks the driver put into its environment; undefined also when the environment is not ours to read. */
  instanceId: string | undefined;
  dataMark: string | undefined;
}

export const INSTANCE_MARK = 'RUNSTEAD_INSTANCE_ID';
export const RUNTIME_MARK = 'RUNSTEAD_RUNTIME_ID';
export const DATA_MARK = 'RUNSTEAD_DATA_MARK';

const hasProc = process.platform === 'linux';

/** When the process of this number was started; undefined if there is none, or only its unburied remains. */
export function startTicksOf(pid: number): string | undefined {
  if (!hasProc) return startTimeByPs(pid);
  const stat = readStat(pid);
  return stat && !stat.dead ? stat.startTicks : undefined;
}

export function isAlive(id: ProcessId): boolean {
  return startTicksOf(id.pid) === id.startTicks;
}

let knownBootId: string | undefined;

/** Changes with every boot: start times of different boots are not comparable. */
export function bootId(): string {
  knownBootId ??= hasProc
    ? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    : execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'latin1' }).trim();
  return knownBootId;
}

/**
 * Signals this process and no other that may have its number by now.
 * @returns false when it is gone, or belongs to somebody this server may not signal
 */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  return isAlive(id) && send(id.pid, signal);
}

/** Signals the whole group of a living leader; the group's number is safe as long as the leader lives. */
export function signalGroup(leader: ProcessId, signal: NodeJS.Signals): boolean {
  return isAlive(leader) && send(-leader.pid, signal);
}

function send(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch {
    return false; // ESRCH: gone since. EPERM: has become another user's.
  }
}

let coming: Promise<ProcessInfo[]> | undefined;

/**
 * All living processes, as they are at some moment after the call. Calls of one tick share one look: twenty instances
 * that stop together do not each walk through /proc.
 */
export function listProcesses(): Promise<ProcessInfo[]> {
  coming ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    coming = undefined;
    return hasProc ? listByProc() : listByPs();
  });
  return coming;
}

/**
 * The processes of one instance: those that bear its mark, the group and session of its leader while that lives, what
 * descends from any of these, and those in `seen` that still live: a process may have wiped its environment.
 */
export function membersOf(
  table: ProcessInfo[],
  instance: {
    instanceId: string;
    dataMark: string;
    /** Another mark that stands for it. */
    bornAs?: string | undefined;
    leader?: ProcessId | undefined;
    seen?: ProcessId[];
  },
): ProcessInfo[] {
  const { leader } = instance;
  const marks = [instance.instanceId, instance.bornAs].filter((it) => it !== undefined);
  const isLed =
    leader !== undefined && table.some((it) => it.pid === leader.pid && it.startTicks === leader.startTicks);
  const seen = new Map(instance.seen?.map((it) => [it.pid, it.startTicks]));
  const members = table.filter(
    (it) =>
      (it.dataMark === instance.dataMark && it.instanceId !== undefined && marks.includes(it.instanceId)) ||
      (isLed && (it.groupId === leader.pid || it.sessionId === leader.pid)) ||
      seen.get(it.pid) === it.startTicks,
  );
  const pids = new Set(members.map((it) => it.pid));
  for (let before = -1; before !== pids.size; ) {
    before = pids.size;
    for (const it of table) if (pids.has(it.parentPid)) pids.add(it.pid);
  }
  pids.delete(process.pid);
  return table.filter((it) => pids.has(it.pid));
}

/**
 * Kills what `find` picks, again and again until it finds nothing: a process may fork while it is being killed.
 * Those that cannot be signalled are given up after a second and returned.
 */
export async function killAll(
  find: (table: ProcessInfo[], seen: ProcessId[]) => ProcessInfo[],
): Promise<ProcessInfo[]> {
  const seen = new Map<number, ProcessId>();
  const refusals = new Map<number, number>();
  for (let pauseMs = 1; ; pauseMs = Math.min(50, pauseMs * 2)) {
    const left = find(await listProcesses(), [...seen.values()]);
    for (const it of left) {
      seen.set(it.pid, it);
      if (!signalProcess(it, 'SIGKILL') && isAlive(it)) refusals.set(it.pid, (refusals.get(it.pid) ?? 0) + 1);
    }
    if (left.every((it) => (refusals.get(it.pid) ?? 0) > 20)) return left;
    await delay(pauseMs);
  }
}

function listByProc(): ProcessInfo[] {
  const table: ProcessInfo[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const stat = readStat(pid);
    if (!stat || stat.dead) continue;
    table.push({ pid, ...stat, ...marksIn(readText(`/proc/${pid}/environ`) ?? '', '\0') });
  }
  return table;
}

function readStat(pid: number) {
  const text = readText(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The second field is the program's name in brackets and may hold anything, brackets too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    dead: fields[0] === 'Z' || fields[0] === 'X',
    parentPid: Number(fields[1]),
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    startTicks: fields[19] ?? '',
  };
}

function marksIn(environment: string, separator: string) {
  const value = (name: string) => {
    const start = `${separator}${environment}`.indexOf(`${separator}${name}=`);
    if (start < 0) return undefined;
    const end = environment.indexOf(separator, start);
    return environment.slice(start + name.length + 1, end < 0 ? undefined : end);
  };
  return { instanceId: value(INSTANCE_MARK), dataMark: value(DATA_MARK) };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // Gone, or not ours.
  }
}

// macOS and other systems without /proc. Unverified.

async function listByPs(): Promise<ProcessInfo[]> {
  const [states, commands] = await Promise.all([
    ps(['-axww', '-o', 'pid=,ppid=,pgid=,stat=,lstart=']),
    ps(['-axEww', '-o', 'pid=,command=']),
  ]);
  const marks = new Map(
    commands.split('\n').map((line) => {
      const [, pid, rest] = /^\s*(\d+)\s(.*)$/.exec(line) ?? [];
      return [Number(pid), marksIn(rest ?? '', ' ')] as const;
    }),
  );
  const table: ProcessInfo[] = [];
  for (const line of states.split('\n')) {
    const [pid, parentPid, groupId, state, ...started] = line.trim().split(/\s+/);
    if (!pid || state?.startsWith('Z')) continue;
    table.push({
      pid: Number(pid),
      parentPid: Number(parentPid),
      groupId: Number(groupId),
      sessionId: 0,
      startTicks: started.join(' '),
      instanceId: marks.get(Number(pid))?.instanceId,
      dataMark: marks.get(Number(pid))?.dataMark,
    });
  }
  return table;
}

function ps(args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { env: { LC_ALL: 'C' }, maxBuffer: 64 * 1024 * 1024 };
    execFile('/bin/ps', args, options, (_error, stdout) => resolve(stdout));
  });
}

function startTimeByPs(pid: number): string | undefined {
  try {
    const output = execFileSync('/bin/ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'latin1',
      env: { LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [state, ...started] = output.trim().split(/\s+/);
    return state === undefined || state === '' || state.startsWith('Z') ? undefined : started.join(' ');
  } catch {
    return undefined;
  }
}
