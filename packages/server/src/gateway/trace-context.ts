import { randomHex } from '../observe/random-hex.ts';

/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): a call that is part of a trace stays in it, any other begins
 * one here. The gateway records no spans, so it takes no place of its own in a trace.
 */

export interface TraceOptions {
  /** Whether traces that begin here say that they are sampled. */
  sampled: boolean;
  /** Default: good random bytes, as lower-case hex. */
  random?: (bytes: number) => string;
}

const PARENT = 'traceparent';
const STATE = 'tracestate';

/** Whether a field, in lower case, is replaced by what `traceFields` says. */
export function isTraceField(name: string): boolean {
  return name === PARENT || name === STATE;
}

/**
 * The trace that a request belongs to, as names and values by turns: a `traceparent` that can be read, with its
 * `tracestate` as it came; else one that begins here, without (section 4.3: what cannot be read is not passed on).
 */
export function traceFields(fields: readonly string[], options: TraceOptions): string[] {
  let parent: string | undefined;
  let parents = 0;
  const states: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const { length } = fields[at]!;
    // Of a call's fields few have one of these lengths.
    if (length !== PARENT.length && length !== STATE.length) continue;
    const name = fields[at]!.toLowerCase();
    if (name === PARENT) {
      parent = fields[at + 1]!;
      parents++;
    } else if (name === STATE) states.push(STATE, fields[at + 1]!);
  }
  if (parents !== 1 || !isTraceParent(parent!)) return [PARENT, newTraceParent(options)];
  return [PARENT, parent!, ...states];
}

/** `version "-" trace-id "-" parent-id "-" flags`; later versions may go on after another `-` (section 4.2). */
const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_PARENT = '0'.repeat(16);
/** What is kept is sent on to agents; no version known is longer than 55 characters. */
const LENGTH_MAX = 512;

function isTraceParent(value: string): boolean {
  if (value.length > LENGTH_MAX) return false;
  const [, version, trace, parent, more] = TRACE_PARENT.exec(value) ?? [];
  if (version === undefined || version === 'ff') return false;
  if (version === '00' && more !== undefined) return false;
  return trace !== NO_TRACE && parent !== NO_PARENT;
}

function newTraceParent({ sampled, random = randomHex }: TraceOptions): string {
  const ids = random(24);
  const trace = ids.slice(0, 32);
  const parent = ids.slice(32);
  // Once in 2^64 calls.
  if (trace === NO_TRACE || parent === NO_PARENT) return newTraceParent({ sampled });
  return `00-${trace}-${parent}-${sampled ? '01' : '00'}`;
}
