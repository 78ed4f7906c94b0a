import type { SessionOwner } from '../domain/affinity.ts';
import type { Instance } from './instances.ts';

/** Why a session is no longer where it was. */
export type MoveReason = 'instance-gone' | 'drained' | 'version-gone' | 'evicted';

/** A caller's affinity id, and the instance it is bound to. */
export interface Session extends SessionOwner {
  readonly hash: string;
  /** Under what its calls find it at once; undefined while only a gateway before this one has seen its id. */
  alias: string | undefined;
  /** Where it is bound, or, while its first calls wait, where it is going to be. */
  version: number;
  /** Undefined: not bound (any more). */
  instance: Instance | undefined;
  /** Among the sessions of which it is, as long as it is bound. */
  held: Held | undefined;
  lost: MoveReason | undefined;
  /** It has ended: its id begins another. Calls of it may still be open. */
  isOver: boolean;
  /** Something about it is still to be told to the control process. */
  isUntold: boolean;
  /** Its calls that wait for a slot. */
  waiting: number;
  openCalls: number;
  /** Whether its caller has come again with what it was given; ids that callers choose are theirs from the start. */
  confirmed: boolean;
  /** ms since 1970. */
  readonly createdMs: number;
  /** Monotonic ms: when its last call ended; of no meaning while one is open. */
  lastUsedMs: number;
  /** It ends when it had no call for this long; as the version says that it was bound to. */
  idleMs: number;
}

/** Sessions bound to one instance. */
export interface Held {
  all: Set<Session>;
  /** Those without an open call, the one unused for longest first. */
  idle: Set<Session>;
  /** Of these, those whose cookie has not come back yet. */
  unconfirmed: Set<Session>;
}
