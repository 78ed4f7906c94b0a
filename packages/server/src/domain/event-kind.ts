export const EVENT_KINDS = ['deploy', 'scale', 'exit'] as const;
/** `deploy`: a phase of an attempt. `scale`: an instance was started or stopped, and why. `exit`: one ended by itself. */
export type EventKind = (typeof EVENT_KINDS)[number];

export function eventKind(phase: string): EventKind {
  if (phase === 'scale' || phase === 'stop') return 'scale';
  return phase === 'exit' ? 'exit' : 'deploy';
}
