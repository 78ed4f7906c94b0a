import { readFileSync } from 'node:fs';
import { listProcesses } from '../processes.ts';

/**
 * The agent's number as this machine counts. Bubblewrap's own process has one child, which is the first process of the
 * sandbox; the agent is the second, and its parent knows of it by no other name than 2.
 * @param launcher bubblewrap's own process
 * @returns undefined while it is not there, and when it is gone
 */
export async function agentInside(launcher: number): Promise<number | undefined> {
  for (const first of await childrenOf(launcher)) {
    for (const pid of await childrenOf(first)) if (numberInside(pid) === '2') return pid;
  }
  return undefined;
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = readText(`/proc/${pid}/task/${pid}/children`);
  if (text !== undefined) return text.split(' ').filter(Boolean).map(Number);
  // A kernel without that list, or no such process.
  return (await listProcesses()).filter((it) => it.parentPid === pid).map((it) => it.pid);
}

/** The innermost of a process's numbers. */
function numberInside(pid: number): string | undefined {
  return /^NSpid:.*\t(\d+)$/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1];
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
