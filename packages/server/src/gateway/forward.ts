import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import { RunsteadError } from '@runstead/contract';
import type { Lease } from './admit.ts';
import { isListenerInDoubt } from './connect.ts';
import { agentRequestFields, answerFields } from './headers.ts';
import type { Instance } from './instances.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { isStaleConnection, type Outcome, relay } from './relay.ts';
import { type RequestBody, tooLarge } from './request-body.ts';
import type { RequestHead } from './request-head.ts';

/** A call may meet instances that are just going away; more than this many in a row is not that any more. */
const MAX_REFUSALS = 3;

/**
 * Has an agent answer a call and gives its slot back.
 * @throws RunsteadError ERR_AGENT_UNREACHABLE, ERR_PAYLOAD_TOO_LARGE, ERR_UNAVAILABLE, and whatever `admit` throws;
 * always before anything was sent to the client
 */
export async function forward(
  parts: GatewayParts,
  call: Call,
  message: { head: RequestHead; request: IncomingMessage; response: ServerResponse; body: RequestBody },
  invocation: Invocation,
): Promise<{ instance: Readonly<Instance>; outcome: Outcome }> {
  const { head, request, response, body } = message;
  let { lease } = invocation;
  // A body that cannot be sent twice must not meet a connection which was closed while idle.
  let pooled = body.kind === 'whole';
  let refusals = 0;
  try {
    for (;;) {
      const outcome = await relay({
        request,
        response,
        body,
        signal: call.signal,
        dial: {
          ...addressOf(lease),
          ...(pooled ? parts.pools.kept(lease.instance) : parts.pools.own(lease.instance)),
          method: head.method,
          path: invocation.rest,
          headers: agentFields(call, head, invocation, lease, body.framing),
        },
        answerFields: (answer) => {
          if (parts.connections.stopping) response.shouldKeepAlive = false;
          return answerFields({
            fields: answer.rawHeaders,
            status: answer.statusCode ?? 502,
            requestId: call.id,
            origin: 'agent',
            crossOrigin: call.crossOrigin,
            extras: call.answerExtras,
          });
        },
      });
      switch (outcome.kind) {
        case 'answered':
        case 'client-gone':
          return { instance: lease.instance, outcome };
        case 'too-large':
          if (response.headersSent) return { instance: lease.instance, outcome };
          throw tooLarge(parts.settings.bodyLimitBytes, 'more came');
        // Nothing was sent, so any request may be repeated, elsewhere: this instance is not there.
        case 'not-connected': {
          if (isOwnShortage(outcome.error)) throw shortage(outcome.error);
          parts.admission.markUnreachable(lease, outcome.error.message, isListenerInDoubt(outcome.error));
          lease.release();
          if (++refusals === MAX_REFUSALS) throw unreachable(outcome.error);
          lease = await parts.admission.admit(invocation.destination, call.signal, 'again');
          break;
        }
        // No byte of an answer reached the client. Only if the connection had been closed while it was idle, and the
        // whole body is still at hand, is the request sent again, over a new connection; so it happens once.
        case 'broken':
          if (!pooled || !isStaleConnection(outcome, head.method, body)) throw unreachable(outcome.error);
          pooled = false;
      }
    }
  } finally {
    lease.release();
  }
}

/** The fields of a call as its instance gets them. */
export function agentFields(
  call: Call,
  head: RequestHead,
  invocation: Invocation,
  lease: Lease,
  framing: readonly string[],
): string[] {
  const { host, port } = lease.instance;
  return agentRequestFields({
    fields: head.fields,
    requestId: call.id,
    added: invocation.added,
    agentHost: `${isIPv6(host) ? `[${host}]` : host}:${port}`,
    consumed: invocation.principal.consumed,
    framing,
  });
}

export function addressOf(lease: Lease): { host: string; port: number } {
  return { host: lease.instance.host, port: lease.instance.port };
}

/** Whether a connection could not be made for want of something of ours; the instance is not to blame. */
export function isOwnShortage(error: NodeJS.ErrnoException): boolean {
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EADDRNOTAVAIL', 'EAGAIN'].includes(error.code ?? '');
}

export function shortage(error: NodeJS.ErrnoException): RunsteadError {
  return new RunsteadError(
    'ERR_UNAVAILABLE',
    `The gateway has no connection left to reach the agent (${error.code})`,
    { cause: error, retryAfterSeconds: 1 },
  );
}

export function unreachable(error: NodeJS.ErrnoException): RunsteadError {
  return new RunsteadError('ERR_AGENT_UNREACHABLE', `The agent ${describeBreak(error)}`, { cause: error });
}

function describeBreak(error: NodeJS.ErrnoException): string {
  const code = error.code ?? '';
  if (error.syscall === 'connect') return `could not be reached (${error.message})`;
  if (code.startsWith('HPE_')) return `answered with something that is not valid HTTP (${code})`;
  if (error.message === 'socket hang up') return 'closed the connection before it answered';
  return `broke off before it answered (${error.message})`;
}
