import type { HealthCheckConfiguration } from '@runstead/contract';
import { StartFailure } from '../driver.ts';
import { endingOf } from '../process/identity.ts';
import { healthPath, type Seen } from '../process/readiness.ts';
import { isLoopback, type Listener } from '../process/sockets.ts';
import { seconds } from '../process/start-failure.ts';

/** How a container ended. */
export interface ContainerEnding {
  code?: number;
  signal?: string;
  /** `OOM: used 64 of 64 MiB` */
  outOfMemory?: string;
}

/** The share of its memory at which a container that was killed is taken to have been killed for it. */
const NEARLY_ALL = 0.85;

/**
 * Reads what the engine says of a container's end.
 * @param seen shortly before, since not every engine hears of it when the kernel kills for want of memory:
 *   `killedForMemory`, that it did so; `usedBytes`, the most memory that was taken
 */
export function containerEnding(
  state: { ExitCode: number; OOMKilled?: boolean },
  memoryMiB: number,
  seen: { killedForMemory: boolean; usedBytes: number },
): ContainerEnding {
  const ending = endingOf(state.ExitCode);
  const used = seen.usedBytes / 1024 / 1024;
  const wasKilled = ending.signal === 'SIGKILL';
  const isCertain = state.OOMKilled === true || (wasKilled && seen.killedForMemory);
  if (!isCertain && !(wasKilled && used >= NEARLY_ALL * memoryMiB)) return ending;
  const shown = isCertain ? memoryMiB : Math.min(memoryMiB, Math.round(used));
  return { ...ending, outOfMemory: `OOM: used ${shown} of ${memoryMiB} MiB` };
}

/** The container ended while it was being waited for. */
export function endedEarly(
  ending: ContainerEnding,
  program: string | undefined,
  afterMs: number,
  seen: Seen,
  lastLines: string[],
): StartFailure {
  const phase = seen.lastOpen ? 'probe' : 'start';
  const after = `after ${seconds(afterMs)}`;
  if (ending.outOfMemory !== undefined)
    return new StartFailure(phase, 'killed-by-signal', `${ending.outOfMemory} ${after}`, lastLines);
  if (ending.signal)
    return new StartFailure(phase, 'killed-by-signal', `killed by ${ending.signal} ${after}`, lastLines);
  const missing = program === undefined ? undefined : notStarted(program, lastLines);
  if (missing !== undefined) return new StartFailure('start', 'cannot-start', missing);
  return new StartFailure(
    phase,
    'exited',
    `exited with code ${ending.code ?? 'unknown'} ${after}`,
    lastLines,
  );
}

/** The engine's small first process says on the agent's output what it could not start. */
function notStarted(program: string, lastLines: string[]): string | undefined {
  const last = lastLines.at(-1) ?? '';
  const why =
    /^(?:ERROR \(catatonit:\d+\): failed to exec pid1|\[FATAL tini \(\d+\)\] exec .+ failed): (.+)$/.exec(
      last,
    )?.[1];
  return why === undefined ? undefined : whyNot(program, why);
}

/** @param why the system's words: `No such file or directory`, `Permission denied` */
function whyNot(program: string, why: string): string {
  if (/permission denied/i.test(why))
    return `${program} is not executable; run it through its interpreter or chmod +x it`;
  if (!/no such file|not found/i.test(why))
    return `the program ${JSON.stringify(program)} cannot be started: ${why}`;
  if (/\s/.test(program)) {
    const words = JSON.stringify(program.trim().split(/\s+/));
    return `there is no program called "${program}"; give the command one word per element: ${words}`;
  }
  return `the program "${program}" is neither in the package nor in the image`;
}

/** The engine refuses to create or to start it. @param said the engine's words */
export function notCreated(program: string | undefined, said: string): StartFailure {
  const isMissing = /executable file not found|exec: .*(no such file|permission denied)/i.test(said);
  const message =
    program !== undefined && isMissing
      ? whyNot(program, said)
      : `the container engine refuses the start: ${said}`;
  return new StartFailure('start', 'cannot-start', message);
}

/**
 * The container still runs but was not ready in time.
 * @param opened what listens in it; undefined where the system does not say
 */
export function notReadyInTime(
  facts: { agentPort: number; health: HealthCheckConfiguration; timeoutMs: number },
  seen: Seen,
  opened: Listener[] | undefined,
  lastLines: string[],
): StartFailure {
  const within = `within ${seconds(facts.timeoutMs)}`;
  const isOpen = opened?.some(({ port, address }) => port === facts.agentPort && !isLoopback(address));
  // Some engines accept connections for a port that nobody has opened yet.
  if (seen.lastOpen && isOpen !== false) {
    const { detail } = seen.lastOpen;
    const saw = detail.startsWith('HTTP ') ? ` answered ${detail}` : `: ${detail}`;
    const message = `GET ${healthPath(facts.health)}${saw} (last of ${seen.attempts} tries) ${within}`;
    return new StartFailure('probe', 'probe-failing', message, lastLines);
  }
  const instead = opened ? `; ${listensOn(facts.agentPort, opened)}` : '';
  const message = `port ${facts.agentPort} was never opened ${within}${instead}`;
  return new StartFailure('probe', 'port-never-opened', message, lastLines);
}

function listensOn(agentPort: number, opened: Listener[]): string {
  if (opened.length === 0) return 'the process runs but it listens on no port';
  const unreachable = opened.find((it) => it.port === agentPort);
  if (unreachable)
    return `the process listens on ${unreachable.address} alone, and in a container it must listen on 0.0.0.0`;
  const ports = [...new Set(opened.map((it) => it.port))].sort((a, b) => a - b);
  return `the process listens on ${ports.join(' and ')}`;
}
