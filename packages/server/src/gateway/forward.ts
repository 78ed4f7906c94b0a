import { RunsteadError } from '@runstead/contract';
import type { ResponseHead } from '../http/response-head.ts';
import { isListenerInDoubt } from './connect.ts';
import type { Exchange } from './exchange.ts';
import { agentRequestLines, answerLines, lines } from './headers.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { type Outcome, relay } from './relay.ts';
import { tooLarge } from './request-body.ts';
import { isDeath, isReplayable, isStaleConnection } from './send-again.ts';
import { splice } from './splice.ts';
import { streamEndEvent } from './stream-end.ts';

/** A call may meet instances that are just going away; more than this many in a row is not that any more. */
const MAX_REFUSALS = 3;
/** How often a call that may be repeated is, after instances died over it. */
const MAX_DEATHS = 2;

/**
 * Has an agent answer a call and gives its slot back.
 * @param upgradeTo the protocol that the client wants to go on in; undefined: none
 * @throws RunsteadError ERR_AGENT_UNREACHABLE, ERR_PAYLOAD_TOO_LARGE, ERR_UNAVAILABLE, and whatever `admit` throws;
 * always before anything was sent to the client
 */
export async function forward(
  parts: GatewayParts,
  call: Call,
  exchange: Exchange,
  invocation: Invocation,
  upgradeTo: string | undefined,
): Promise<Outcome> {
  const { head } = exchange;
  const { record } = call;
  const { body } = invocation;
  let { lease } = invocation;
  const framing =
    upgradeTo === undefined ? body.framing : ['connection', 'Upgrade', 'upgrade', upgradeTo, ...body.framing];
  // A body that cannot be sent twice, and an upgrade, must not meet a connection which was closed while idle.
  let mayReuse = body.kind === 'whole' && upgradeTo === undefined;
  let refusals = 0;
  let deaths = 0;
  try {
    for (;;) {
      record.instanceId = lease.instance.id;
      record.version = lease.instance.version;
      lease.holder = exchange;
      const pool = parts.pools.of(lease.instance);
      const outcome = await relay({
        exchange,
        pool,
        mayReuse,
        head: `${head.method} ${invocation.rest} HTTP/1.1\r\n${agentLines(call, exchange, invocation, pool.authority, framing)}\r\n`,
        method: head.method,
        body,
        clock: parts.clock,
        record,
        startedMs: call.startedMs,
        mayUpgrade: upgradeTo !== undefined,
        answerLines: (answer) => linesFor(call, answer),
        lastWords: ({ section }, reason, code) =>
          streamEndEvent({
            contentType: section.value('content-type'),
            contentEncoding: section.value('content-encoding'),
            path: invocation.rest,
            reason,
            code,
            requestId: call.id,
          }),
      });
      switch (outcome.kind) {
        case 'answered':
        case 'client-gone':
          return outcome;
        case 'upgraded': {
          const { answer, connection, first } = outcome;
          const spliced = splice({ exchange, connection, first, head: switchingProtocols(call, answer) });
          lease.holder = spliced;
          record.status = 101;
          parts.metrics.now.streams++;
          await spliced.over;
          parts.metrics.now.streams--;
          return outcome;
        }
        case 'too-large':
          if (exchange.begun) return outcome;
          throw tooLarge(parts.settings.bodyLimitBytes, 'more came');
        case 'stopped':
          throw new RunsteadError('ERR_UNAVAILABLE', outcome.reason, { retryAfterSeconds: 1 });
        // Nothing was sent, so any request may be repeated, elsewhere: this instance is not there.
        case 'not-connected': {
          if (isOwnShortage(outcome.error)) throw shortage(outcome.error);
          parts.admission.markUnreachable(lease, outcome.error.message, isListenerInDoubt(outcome.error));
          lease.release();
          record.retries = (record.retries ?? 0) + 1;
          if (++refusals === MAX_REFUSALS) throw unreachable(outcome.error);
          lease = await parts.admission.admit(invocation.destination, call.signal, 'again');
          break;
        }
        // No byte of an answer reached the client. If the connection had been closed while it was idle, and the whole
        // body is still at hand, the request is sent again over a new connection, once.
        case 'broken':
          if (mayReuse && isStaleConnection(outcome, head.method, body)) {
            mayReuse = false;
            record.retries = (record.retries ?? 0) + 1;
            break;
          }
          // The instance died over it: only what may be done twice is, by whichever instance has its turn.
          if (!isReplayable(head, body) || !isDeath(outcome.error) || ++deaths > MAX_DEATHS) {
            throw unreachable(outcome.error);
          }
          mayReuse = false;
          record.retries = (record.retries ?? 0) + 1;
          lease.release();
          lease = await parts.admission.admit(invocation.destination, call.signal, 'again');
      }
    }
  } finally {
    lease.release();
  }
}

function linesFor(call: Call, answer: ResponseHead): string {
  return answerLines({
    section: answer.section,
    status: answer.status,
    requestId: call.id,
    origin: 'agent',
    crossOrigin: call.crossOrigin,
    extras: call.answerExtras,
  });
}

function switchingProtocols(call: Call, answer: ResponseHead): string {
  const upgrade = lines(['connection', 'Upgrade', 'upgrade', answer.section.upgrade ?? '']);
  return `HTTP/1.1 101 Switching Protocols\r\n${linesFor(call, answer)}${upgrade}\r\n`;
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
