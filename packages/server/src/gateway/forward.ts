import { type ErrorCode, RunsteadError } from '@runstead/contract';
import type { ResponseHead } from '../http/response-head.ts';
import type { Lease } from './admit.ts';
import { isListenerInDoubt } from './connect.ts';
import type { Exchange } from './exchange.ts';
import { agentRequestLines, answerLines, lines } from './headers.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { type Outcome, type RelayUser, relay } from './relay.ts';
import { tooLarge } from './request-body.ts';
import { isDeath, isReplayable, isStaleConnection } from './send-again.ts';
import { splice } from './splice.ts';
import { isEventStream, streamEndEvent } from './stream-end.ts';

/** A call may meet instances that are just going away; more than this many in a row is not that any more. */
const MAX_REFUSALS = 3;
/** How often a call that may be repeated is, after instances died over it. */
const MAX_DEATHS = 2;

/** Whoever has a call forwarded. One of the two is called, once. */
export interface ForwardUser {
  forwarded(outcome: Outcome): void;
  /**
   * @param error RunsteadError ERR_AGENT_UNREACHABLE, ERR_PAYLOAD_TOO_LARGE, ERR_UNAVAILABLE, and whatever `admit`
   * throws; nothing was sent to the client
   */
  notForwarded(error: unknown): void;
}

/** What is forwarded, and for whom. */
export interface ForwardOptions {
  parts: GatewayParts;
  call: Call;
  exchange: Exchange;
  invocation: Invocation;
  /** The protocol that the client wants to go on in; undefined: none. */
  upgradeTo: string | undefined;
  user: ForwardUser;
}

/** Has an agent answer a call and gives its slot back. Does not throw. */
export function forward(options: ForwardOptions): void {
  const forwarding = new Forwarding(options);
  try {
    forwarding.attempt();
  } catch (error) {
    forwarding.fail(error);
  }
}

/** One call on its way to agents. Nearly always the first attempt is the last, and then nothing waits for anything. */
class Forwarding implements RelayUser {
  readonly #options: ForwardOptions;
  #lease: Lease;
  readonly #framing: readonly string[];
  #mayReuse: boolean;
  #refusals = 0;
  #deaths = 0;
  /** It is counted among what streams. */
  #isStream = false;

  constructor(options: ForwardOptions) {
    const { invocation, upgradeTo } = options;
    const { body, lease } = invocation;
    this.#options = options;
    this.#lease = lease;
    this.#framing =
      upgradeTo === undefined
        ? body.framing
        : ['connection', 'Upgrade', 'upgrade', upgradeTo, ...body.framing];
    // A body that cannot be sent twice, and an upgrade, must not meet a connection which was closed while idle.
    this.#mayReuse = body.kind === 'whole' && upgradeTo === undefined;
  }

  attempt(): void {
    const { parts, call, exchange, invocation, upgradeTo } = this.#options;
    const { head } = exchange;
    const { record } = call;
    const { instance } = this.#lease;
    record.instanceId = instance.id;
    record.version = instance.version;
    this.#lease.holder = exchange;
    const pool = parts.pools.of(instance);
    const fields = agentLines(call, exchange, invocation, pool.authority, this.#framing);
    relay({
      exchange,
      pool,
      mayReuse: this.#mayReuse,
      head: `${head.method} ${invocation.rest} HTTP/1.1\r\n${fields}\r\n`,
      method: head.method,
      body: invocation.body,
      clock: parts.clock,
      record,
      startedMs: call.startedMs,
      mayUpgrade: upgradeTo !== undefined,
      user: this,
    });
  }

  answerLines(answer: ResponseHead): string {
    const { call, parts } = this.#options;
    if (answer.status >= 200 && answer.length < 0 && isEventStream(answer.section.value('content-type'))) {
      this.#isStream = true;
      parts.metrics.now.streams++;
    }
    return answerLines({
      section: answer.section,
      status: answer.status,
      requestId: call.id,
      origin: 'agent',
      crossOrigin: call.crossOrigin,
      extras: call.answerExtras,
    });
  }

  lastWords({ section }: ResponseHead, reason: string, code: ErrorCode): Buffer | undefined {
    const { call, invocation } = this.#options;
    return streamEndEvent({
      contentType: section.value('content-type'),
      contentEncoding: section.value('content-encoding'),
      path: invocation.rest,
      reason,
      code,
      requestId: call.id,
    });
  }

  relayed(outcome: Outcome): void {
    if (this.#isStream) this.#options.parts.metrics.now.streams--;
    this.#isStream = false;
    if (outcome.kind === 'answered' || outcome.kind === 'client-gone') this.#over(outcome);
    else this.#goOn(outcome).catch((error) => this.fail(error));
  }

  /** What becomes of a call after an attempt that was not answered. @throws what `notForwarded` is told */
  async #goOn(outcome: Exclude<Outcome, { kind: 'answered' | 'client-gone' }>): Promise<void> {
    const { parts, call, exchange, invocation } = this.#options;
    const { head } = exchange;
    const { record } = call;
    const { body, destination } = invocation;
    switch (outcome.kind) {
      case 'upgraded': {
        const { answer, connection, first } = outcome;
        const spliced = splice({ exchange, connection, first, head: this.#switchingProtocols(answer) });
        this.#lease.holder = spliced;
        record.status = 101;
        parts.metrics.now.streams++;
        await spliced.over;
        parts.metrics.now.streams--;
        this.#over(outcome);
        return;
      }
      case 'too-large':
        if (!exchange.begun) throw tooLarge(parts.settings.bodyLimitBytes, 'more came');
        this.#over(outcome);
        return;
      case 'stopped':
        throw new RunsteadError('ERR_UNAVAILABLE', outcome.reason, { retryAfterSeconds: 1 });
      // Nothing was sent, so any request may be repeated, elsewhere: this instance is not there.
      case 'not-connected':
        if (isOwnShortage(outcome.error)) throw shortage(outcome.error);
        parts.admission.markUnreachable(this.#lease, outcome.error.message, isListenerInDoubt(outcome.error));
        this.#lease.release();
        record.retries = (record.retries ?? 0) + 1;
        if (++this.#refusals === MAX_REFUSALS) throw unreachable(outcome.error);
        this.#lease = await parts.admission.admit(destination, call.signal, 'again');
        break;
      // No byte of an answer reached the client. If the connection had been closed while it was idle, and the whole
      // body is still at hand, the request is sent again over a new connection, once.
      case 'broken': {
        const wasStale = this.#mayReuse && isStaleConnection(outcome, head.method, body);
        this.#mayReuse = false;
        if (!wasStale) {
          // The instance died over it: only what may be done twice is, by whichever instance has its turn.
          if (!isReplayable(head, body) || !isDeath(outcome.error) || ++this.#deaths > MAX_DEATHS) {
            throw unreachable(outcome.error);
          }
          this.#lease.release();
        }
        record.retries = (record.retries ?? 0) + 1;
        if (!wasStale) this.#lease = await parts.admission.admit(destination, call.signal, 'again');
      }
    }
    this.attempt();
  }

  #switchingProtocols(answer: ResponseHead): string {
    const upgrade = lines(['connection', 'Upgrade', 'upgrade', answer.section.upgrade ?? '']);
    return `HTTP/1.1 101 Switching Protocols\r\n${this.answerLines(answer)}${upgrade}\r\n`;
  }

  #over(outcome: Outcome): void {
    this.#lease.release();
    this.#options.user.forwarded(outcome);
  }

  fail(error: unknown): void {
    this.#lease.release();
    this.#options.user.notForwarded(error);
  }
}

/** The fields of a call as its instance gets them. */
function agentLines(
  call: Call,
  { wire }: Exchange,
  { added, principal }: Invocation,
  agentHost: string,
  framing: readonly string[],
): string {
  return agentRequestLines({
    section: wire.section,
    requestId: call.id,
    added,
    agentHost,
    consumed: principal.consumed,
    framing,
    withoutExpect: wire.minor === 0,
  });
}

/** Whether a connection could not be made for want of something of ours; the instance is not to blame. */
function isOwnShortage(error: NodeJS.ErrnoException): boolean {
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EADDRNOTAVAIL', 'EAGAIN'].includes(error.code ?? '');
}

function shortage(error: NodeJS.ErrnoException): RunsteadError {
  return new RunsteadError(
    'ERR_UNAVAILABLE',
    `The gateway has no connection left to reach the agent (${error.code})`,
    { cause: error, retryAfterSeconds: 1 },
  );
}

function unreachable(error: NodeJS.ErrnoException): RunsteadError {
  return new RunsteadError('ERR_AGENT_UNREACHABLE', `The agent ${describeBreak(error)}`, { cause: error });
}

function describeBreak(error: NodeJS.ErrnoException): string {
  if (error.syscall === 'connect') return `could not be reached (${error.message})`;
  if (error.code === 'ERR_ANSWER_MALFORMED')
    return `answered with something that is not valid HTTP: ${error.message}`;
  if (error.code === 'ETIMEDOUT') return `did not answer: ${error.message}`;
  if (error.message === 'the connection was closed') return 'closed the connection before it answered';
  return `broke off before it answered (${error.message})`;
}
