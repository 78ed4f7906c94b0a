/** Where in a deploy something went wrong. */
export type Phase = 'fetch' | 'unpack' | 'install' | 'start' | 'probe';

/** A deploy that cannot go on: the phase, what happened, and the last lines somebody's program wrote about it. */
export class PhaseFailure extends Error {
  override readonly name = 'PhaseFailure';
  readonly phase: Phase;
  readonly lastLines: readonly string[];

  constructor(
    phase: Phase,
    message: string,
    lastLines: readonly string[] = [],
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.phase = phase;
    this.lastLines = lastLines;
  }
}

const REASON_MAX = 4000;

/** One line for `statusReason`: phase, what happened, and the agent's own words. */
export function statusReason({
  phase,
  message,
  lastLines,
}: Pick<PhaseFailure, 'phase' | 'message' | 'lastLines'>): string {
  const said = lastLines.map((line) => line.trim()).filter((line) => line !== '');
  const head = `${phase}: ${message}`;
  if (said.length === 0) return head.slice(0, REASON_MAX);
  // Should the lines be too many, the newest say most.
  const room = REASON_MAX - head.length - 20;
  let tail = said.join(' | ');
  if (tail.length > room) tail = `… ${tail.slice(-Math.max(0, room))}`;
  return `${head}; last lines: ${tail}`;
}
