import type { SessionRoute, UpMessage } from '../feed/messages.ts';
import type { Log } from '../observe/log.ts';
import type { SessionRecord, Store } from '../store/store.ts';

export interface SessionKeeperOptions {
  store: Store;
  /** Ids of the instances that there are. */
  instanceIds: () => string[];
  log: Log;
}

export type SessionKeeper = ReturnType<typeof createSessionKeeper>;

/**
 * Keeps what the gateway says of sessions, so that the next gateway knows them, as long as their instance lives. Writes
 * are made one after the other, in the order they were heard of.
 */
export function createSessionKeeper({ store, instanceIds, log }: SessionKeeperOptions) {
  let tail: Promise<void> = Promise.resolve();
  /** By hash, of those that have any. */
  const openCalls = new Map<string, number>();

  const inTurn = (write: () => Promise<void>): Promise<void> => {
    tail = tail.then(write).catch((error: unknown) => {
      log.error({ err: error }, 'sessions could not be written down');
    });
    return tail;
  };

  return {
    /** Sessions were bound, used, moved or ended. */
    hear({ changed, ended }: Pick<Extract<UpMessage, { type: 'sessions' }>, 'changed' | 'ended'>): void {
      for (const hash of ended) openCalls.delete(hash);
      for (const { hash, openCalls: count } of changed) {
        if (count > 0) openCalls.set(hash, count);
        else openCalls.delete(hash);
      }
      void inTurn(() => {
        // An instance may have ended since the gateway said so.
        const living = new Set(instanceIds());
        const records = changed.filter(({ instanceId }) => living.has(instanceId)).map(toRecord);
        return store.saveSessions(records, ended);
      });
    },

    /** An instance is gone, and what was bound to it is bound no more. */
    instanceGone(): void {
      void inTurn(() => store.keepSessionsOf(instanceIds()));
    },

    /** The gateway is gone, and its calls with it. */
    forgetCalls(): void {
      openCalls.clear();
    },

    openCallsOf: (hash: string): number => openCalls.get(hash) ?? 0,

    /** Forgets one that was ended; resolves when that is written. */
    ended: (hash: string): Promise<void> => inTurn(() => store.saveSessions([], [hash])),

    /** What a gateway has to know that has just connected. */
    async forGateway(): Promise<SessionRoute[]> {
      await inTurn(() => store.keepSessionsOf(instanceIds()));
      return (await store.sessions()).map(toRoute);
    },

    /** Resolves when all that was heard is written. */
    written: (): Promise<void> => tail,
  };
}

function toRecord({ hash, createdMs, lastUsedMs, ...session }: SessionRoute): SessionRecord {
  return {
    id: hash,
    runtimeId: session.runtimeId,
    endpointName: session.endpointName,
    keyId: session.keyId,
    version: session.version,
    instanceId: session.instanceId,
    createdAt: new Date(createdMs).toISOString(),
    lastUsedAt: new Date(lastUsedMs).toISOString(),
  };
}

function toRoute({ id, keyId, createdAt, lastUsedAt, ...session }: SessionRecord): SessionRoute {
  return {
    ...session,
    hash: id,
    ...(keyId !== undefined && { keyId }),
    createdMs: Date.parse(createdAt),
    lastUsedMs: Date.parse(lastUsedAt),
  };
}
