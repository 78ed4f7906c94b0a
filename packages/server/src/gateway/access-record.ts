import type { CallRecord } from './call-record.ts';

/** Which calls are written down: none, those that did not go well, or all. */
export type AccessLog = 'off' | 'errors' | 'all';

/**
 * Whether a call is written down. Those that did not go well always are, unless it is off.
 * @param share of those that went well, in [0,1]
 * @param point in [0,1): where on that share the call falls
 */
export function isWritten(which: AccessLog, share: number, record: CallRecord, point: number): boolean {
  if (which === 'off') return false;
  const wentWell = record.outcome === 'answered' && record.status < 400;
  return !wentWell || (which === 'all' && point < share);
}

/**
 * A call as one line of JSON, without its end of line. Times are in ms. It has no path, query, field or body: nothing in
 * it lets anybody in, and a session is told by its hash.
 * @param time when it ended, as `timeOf` writes it
 */
export function accessLine(record: CallRecord, time: string): string {
  const { totalMs, bytesIn, bytesOut, status, outcome } = record;
  // By hand, since this is once a call: a third of what JSON.stringify takes.
  let line = `{"time":"${time}","requestId":"${record.requestId}"`;
  if (record.caller !== undefined) line += `,"caller":${JSON.stringify(record.caller)}`;
  line += `,"method":${JSON.stringify(record.method)}`;
  line += text('agentRuntimeId', record.runtimeId);
  line += text('agentRuntimeName', record.runtimeName);
  line += text('endpointName', record.endpointName);
  if (record.version !== undefined) line += `,"version":${record.version}`;
  line += text('instanceId', record.instanceId);
  line += text('keyId', record.keyId);
  line += text('sessionHash', record.sessionHash);
  line += millis('queueMs', record.queueMs);
  line += millis('connectMs', record.connectMs);
  line += millis('firstByteMs', record.firstByteMs);
  line += millis('totalMs', totalMs);
  line += `,"bytesIn":${bytesIn},"bytesOut":${bytesOut}`;
  if (record.retries !== undefined) line += `,"retries":${record.retries}`;
  line += `,"status":${status}`;
  line += text('errorCode', record.errorCode);
  return `${line},"outcome":"${outcome}"}`;
}

/** What nothing has to be escaped in: ids, names and codes. */
const PLAIN = /^[\w.:-]*$/;

function text(name: string, value: string | undefined): string {
  if (value === undefined) return '';
  return `,"${name}":${PLAIN.test(value) ? `"${value}"` : JSON.stringify(value)}`;
}

/** To a hundredth of a millisecond. */
function millis(name: string, ms: number | undefined): string {
  return ms === undefined ? '' : `,"${name}":${Math.round(ms * 100) / 100}`;
}

/** @returns writes a time, in ms since 1970, as ISO 8601; of a second all but the last digits are made once */
export function timeOf(): (ms: number) => string {
  let second = Number.NaN;
  let start = '';
  return (ms) => {
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      second = now;
      start = new Date(now * 1000).toISOString().slice(0, -4);
    }
    return `${start}${String(Math.floor(ms) - now * 1000).padStart(3, '0')}Z`;
  };
}
