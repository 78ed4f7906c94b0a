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
  caller: string | undefined;
  runtimeId: string | undefined;
  runtimeName: string | undefined;
  endpointName: string | undefined;
  version: number | undefined;
  instanceId: string | undefined;
  /** The key that was presented; absent: anonymous, or known only to the agent. */
  keyId: string | undefined;
  /** Never the session id itself. */
  sessionHash: string | undefined;
  /** How long it waited for a slot. */
  queueMs: number | undefined;
  /** When the connection that answered was there, whether kept or new. */
  connectMs: number | undefined;
  /** When the first byte of the agent's answer came. */
  firstByteMs: number | undefined;
  totalMs: number;
  /** Of the bodies, as they travelled between client and gateway. */
  bytesIn: number;
  bytesOut: number;
  /** How often it was sent to an instance again. */
  retries: number | undefined;
  /** Of the answer; 0 while there is none. */
  status: number;
  /** The code of the platform's error. */
  errorCode: string | undefined;
  outcome: CallOutcome;
}

/** Has a place for everything from the start: an object that grows is copied time and again. */
export function newCallRecord(requestId: string, method: string): CallRecord {
  return {
    requestId,
    method,
    caller: undefined,
    runtimeId: undefined,
    runtimeName: undefined,
    endpointName: undefined,
    version: undefined,
    instanceId: undefined,
    keyId: undefined,
    sessionHash: undefined,
    queueMs: undefined,
    connectMs: undefined,
    firstByteMs: undefined,
    totalMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    retries: undefined,
    status: 0,
    errorCode: undefined,
    outcome: 'refused',
  };
}
