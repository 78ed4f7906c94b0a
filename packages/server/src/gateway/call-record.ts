/** How a call ended, as the gateway saw it. */
export type CallOutcome =
  /** The agent's answer went out whole. */
  | 'answered'
  /** The agent's answer broke off, or was cut, after it had begun. */
  | 'cut'
  /** The platform answered in the agent's place: refused, not let in, or no agent to be had. */
  | 'refused'
  /** The client hung up before it had an answer, or all of it. */
  | 'client-gone';

/** What is known of one call; the steps fill it in as they learn it. Times are monotonic ms since the call began. */
export interface CallRecord {
  requestId: string;
  method: string;
  /** Address of the caller; `unknown` if a trusted proxy does not say. */
  caller?: string;
  runtimeId?: string;
  runtimeName?: string;
  endpointName?: string;
  version?: number;
  instanceId?: string;
  /** The key that was presented; absent: anonymous, or known only to the agent. */
  keyId?: string;
  /** Never the session id itself. */
  sessionHash?: string;
  /** How long it waited for a slot. */
  queueMs?: number;
  /** When the connection that answered was there, whether kept or new. */
  connectMs?: number;
  /** When the first byte of the agent's answer came. */
  firstByteMs?: number;
  totalMs: number;
  /** Of the bodies, as they travelled between client and gateway. */
  bytesIn: number;
  bytesOut: number;
  /** How often it was sent to an instance again. */
  retries?: number;
  /** Of the answer; 0 while there is none. */
  status: number;
  /** The code of the platform's error. */
  errorCode?: string;
  outcome: CallOutcome;
}

export function newCallRecord(requestId: string, method: string): CallRecord {
  return { requestId, method, totalMs: 0, bytesIn: 0, bytesOut: 0, status: 0, outcome: 'refused' };
}
