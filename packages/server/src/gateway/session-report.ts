import type { SessionRoute, UpMessage } from '../feed/messages.ts';
import type { Session } from './session.ts';

export interface SessionReportOptions {
  send: (message: UpMessage) => void;
  /** Monotonic ms. */
  now: () => number;
  /** ms since 1970. */
  clock: () => number;
}

/** Far enough below the second that bindings may be behind. */
const FLUSH_MS = 500;

/** Tells the control process what becomes of sessions: each once per message, with what is true of it then. */
export class SessionReport {
  readonly #options: SessionReportOptions;
  readonly #changed = new Set<Session>();
  readonly #ended = new Set<string>();
  #flushing: NodeJS.Timeout | undefined;

  constructor(options: SessionReportOptions) {
    this.#options = options;
  }

  /** It was bound or used. */
  changed(session: Session): void {
    if (session.isUntold) return;
    session.isUntold = true;
    this.#ended.delete(session.hash);
    this.#changed.add(session);
    this.#flushLater();
  }

  /** It is bound no more. */
  ended(session: Session): void {
    session.isUntold = false;
    this.#changed.delete(session);
    this.endedBefore(session.hash);
  }

  /** One that this gateway does not know. */
  endedBefore(hash: string): void {
    this.#ended.add(hash);
    this.#flushLater();
  }

  /** Says at once what is still to be said. */
  flush(): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (this.#changed.size === 0 && this.#ended.size === 0) return;
    const clockMs = this.#options.clock();
    const behindMs = clockMs - this.#options.now();
    const lastUsedMs = (session: Session) =>
      session.openCalls > 0 ? clockMs : Math.round(session.lastUsedMs + behindMs);
    const changed = [...this.#changed].map((session) => toRoute(session, lastUsedMs(session)));
    this.#options.send({ type: 'sessions', changed, ended: [...this.#ended] });
    for (const session of this.#changed) session.isUntold = false;
    this.#changed.clear();
    this.#ended.clear();
  }

  #flushLater(): void {
    this.#flushing ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }
}

function toRoute(session: Session, lastUsedMs: number): SessionRoute & { openCalls: number } {
  return {
    hash: session.hash,
    runtimeId: session.runtimeId,
    endpointName: session.endpointName,
    ...(session.keyId !== undefined && { keyId: session.keyId }),
    version: session.version,
    instanceId: session.instance!.id,
    createdMs: session.createdMs,
    lastUsedMs,
    openCalls: session.openCalls,
  };
}
