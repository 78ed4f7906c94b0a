import { RunsteadError } from '@runstead/contract';
import type { LineSink } from '../observe/line-sink.ts';
import { accessLine, isWritten, timeOf } from './access-record.ts';
import { ClientGone } from './admit.ts';
import type { CallRecord } from './call-record.ts';
import type { Metrics } from './metrics.ts';
import type { GatewaySettings } from './settings.ts';

/** The last step of every call: counts it and, where that is switched on, writes it down. Never throws, never waits. */
export type Account = (record: CallRecord, nowMs: number) => void;

export interface AccountOptions {
  settings: Pick<GatewaySettings, 'accessLog' | 'accessLogShare'>;
  metrics: Pick<Metrics, 'account'>;
  /** Where lines go. */
  sink: Pick<LineSink, 'write'>;
  /** In [0,1). */
  random: () => number;
  /** ms since 1970. */
  now: () => number;
}

export function accountant({ settings, metrics, sink, random, now }: AccountOptions): Account {
  const { accessLog, accessLogShare } = settings;
  if (accessLog === 'off') return (record, nowMs) => metrics.account(record, nowMs);
  const time = timeOf();
  return (record, nowMs) => {
    metrics.account(record, nowMs);
    if (isWritten(accessLog, accessLogShare, record, random())) sink.write(accessLine(record, time(now())));
  };
}

/** How a call ended; `status` and `errorCode` as in its record. */
export type Ending = Pick<CallRecord, 'outcome'> & Partial<Pick<CallRecord, 'status' | 'errorCode'>>;

/** Completes a call's record with its end, and accounts for it. To be called once. */
export function accountFor(
  { account }: { account: Account },
  { record, startedMs }: { record: CallRecord; startedMs: number },
  { outcome, status, errorCode }: Ending,
): void {
  const nowMs = performance.now();
  record.totalMs = nowMs - startedMs;
  record.outcome = outcome;
  if (status !== undefined) record.status = status;
  if (errorCode !== undefined) record.errorCode = errorCode;
  account(record, nowMs);
}

/** The end of a call that was answered with an error of the platform, or with nothing, as its client had left. */
export function endingOf(error: unknown): Ending {
  if (error instanceof ClientGone) return { outcome: 'client-gone' };
  const { code, status } =
    error instanceof RunsteadError ? error : new RunsteadError('ERR_INTERNAL_SERVER_ERROR', '');
  return { outcome: 'refused', status, errorCode: code };
}
