import type { HealthCheckConfiguration } from '@runstead/contract';
import { StartFailure } from '../driver.ts';
import type { Ending } from './identity.ts';
import { healthPath, type Seen } from './readiness.ts';
import { isLoopback, type Listener } from './sockets.ts';

/** The agent ended while it was being waited for. */
export function endedEarly(ending: Ending, afterMs: number, seen: Seen, lastLines: string[]): StartFailure {
  const phase = seen.lastOpen ? 'probe' : 'start';
  const after = `after ${seconds(afterMs)}`;
  if (ending.reason !== undefined)
    return new StartFailure(phase, 'killed-by-signal', `${ending.reason} ${after}`, lastLines);
  return ending.signal
    ? new StartFailure(phase, 'killed-by-signal', `killed by ${ending.signal} ${after}`, lastLines)
    : new StartFailure(phase, 'exited', `exited with code ${ending.code ?? 'unknown'} ${after}`, lastLines);
}

/**
 * The agent still runs but was not ready in time.
 * @param opened what its processes listen on; undefined where the system does not say
 */
export function notReadyInTime(
  facts: { agentPort: number; port: number; health: HealthCheckConfiguration; timeoutMs: number },
  seen: Seen,
  opened: Listener[] | undefined,
  lastLines: string[],
): StartFailure {
  const within = `within ${seconds(facts.timeoutMs)}`;
  if (seen.lastOpen) {
    const { detail } = seen.lastOpen;
    const saw = detail.startsWith('HTTP ') ? ` answered ${detail}` : `: ${detail}`;
    const message = `GET ${healthPath(facts.health)}${saw} (last of ${seen.attempts} tries) ${within}`;
    return new StartFailure('probe', 'probe-failing', message, lastLines);
  }
  const instead = opened ? `; ${listensOn(facts, opened)}` : '';
  const message = `port ${facts.agentPort} was never opened ${within}${instead}`;
  return new StartFailure('probe', 'port-never-opened', message, lastLines);
}

function listensOn(facts: { agentPort: number; port: number }, opened: Listener[]): string {
  if (opened.length === 0) return 'the process runs but it listens on no port';
  const unreachable = opened.find((it) => it.port === facts.port && !isLoopback(it.address));
  if (unreachable) {
    return `the process listens on ${unreachable.address} alone, and must listen on 127.0.0.1`;
  }
  const ports = [...new Set(opened.map((it) => it.port))].sort((a, b) => a - b);
  const list = ports.join(' and ');
  // A program without our preload, such as one in Go.
  return ports.includes(facts.agentPort)
    ? `the process listens on ${list} itself, and must listen on the port in its variable PORT`
    : `the process listens on ${list}`;
}

/** `0.31 s`, `2.1 s`, `120 s` */
export function seconds(ms: number): string {
  const value = ms / 1000;
  const digits = value < 1 ? 2 : value < 10 ? 1 : 0;
  return `${Number(value.toFixed(digits))} s`;
}
