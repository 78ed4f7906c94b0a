import { IncomingMessage, ServerResponse, STATUS_CODES, request as sendRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { RunsteadError } from '@runstead/contract';
import { newRequestId } from '../observe/request-id.ts';
import { ClientGone, type Lease } from './admit.ts';
import { type Dial, isListenerInDoubt } from './connect.ts';
import { domainOf } from './domains.ts';
import { answerError } from './errors.ts';
import { addressOf, agentFields, isOwnShortage, shortage, unreachable } from './forward.ts';
import { letIn } from './handle-request.ts';
import { answerFields } from './headers.ts';
import { checkHost } from './host-check.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { fieldValues, type RequestHead, readHead } from './request-head.ts';
import { isDataPlane, resolve } from './resolve.ts';

/** What a client may send before it was let in; WebSocket clients send nothing. */
const EARLY_BYTES = 64 * 1024;
/** How long one end may go on after the other has said it is done. */
const HALF_CLOSED_MS = 30_000;

/**
 * A request whose `Upgrade` is passed over when it only offers HTTP/2: several clients send that with every first
 * request, body and all, and expect it to be ignored (RFC 9113 section 3.1 dropped it). Node would hand all of them
 * over as raw connections.
 */
export class GatewayRequest extends IncomingMessage {
  /** Not initialised here: Node's constructor already assigns `upgrade`. */
  declare private wasOffered: boolean | undefined;

  // Node assigns this when it has read the head, and asks afterwards.
  get upgrade(): boolean {
    return this.wasOffered === true && !/^\s*h2c\s*$/i.test(this.headers.upgrade ?? '');
  }

  set upgrade(value: boolean) {
    this.wasOffered = value;
  }
}

/**
 * Passes an upgraded connection (WebSocket or other, RFC 9110 section 7.8) between client and agent, after the same
 * steps as any call. The slot is held until both ends have closed. Does not throw.
 */
export async function handleUpgrade(
  parts: GatewayParts,
  request: IncomingMessage,
  client: Socket,
  early: Buffer,
): Promise<void> {
  client.on('error', () => client.destroy());
  client.setTimeout(0);
  // Earlier calls on this connection are still being answered: raw bytes now would end up inside their answers.
  if (parts.connections.openCalls(client) > 0) {
    client.destroy();
    return;
  }
  const head = readHead(request);
  const open = parts.connections.beginCall(client);
  client.once('close', () => open.end());
  const call: Call = {
    id: newRequestId(),
    startedMs: performance.now(),
    signal: open.signal,
    crossOrigin: undefined,
    answerExtras: [],
  };
  // Read from the start, since only reading shows that a client hung up while it waits.
  const waiting = collectEarly(client, early);
  const domain = domainOf(parts.domains, head.fields);
  try {
    const caller = checkHost(parts.hostPolicy, head);
    call.crossOrigin = caller.crossOrigin;
    const target = resolve(head.target, domain);
    if (target.kind === 'bad-path') throw new RunsteadError('ERR_BAD_REQUEST', target.reason);
    if (target.kind !== 'invocation') {
      throw new RunsteadError('ERR_NOT_FOUND', `Nothing to upgrade to: ${head.target} does not exist`);
    }
    const invocation = await letIn(parts, call, head, caller, target);
    await pass(parts, call, head, invocation, request, client, waiting);
  } catch (error) {
    if (error instanceof ClientGone || client.destroyed) {
      client.destroy();
      return;
    }
    const response = responseOn(request, client);
    answerError(response, error, {
      requestId: call.id,
      dataPlane: isDataPlane(head.target, domain),
      crossOrigin: call.crossOrigin,
      extras: call.answerExtras,
      log: parts.log,
    });
  }
}

/** Resolves when both ends have closed; rejects if the agent cannot be reached, before anything was answered. */
async function pass(
  parts: GatewayParts,
  call: Call,
  head: RequestHead,
  invocation: Invocation,
  request: IncomingMessage,
  client: Socket,
  waiting: EarlyBytes,
): Promise<void> {
  let { lease } = invocation;
  const upgradeTo = fieldValues(head.fields, 'upgrade').join(', ');
  try {
    for (let attempt = 1; ; attempt++) {
      const fields = agentFields(call, head, invocation, lease, [
        'connection',
        'Upgrade',
        'upgrade',
        upgradeTo,
      ]);
      const dialled = await dial(parts, call, head, invocation.rest, lease, fields);
      if (dialled.kind === 'gone') throw new ClientGone();
      if (dialled.kind === 'upgraded') {
        const { answer, agent, first } = dialled;
        client.write(switchingProtocols(answer, call));
        if (first.length > 0) client.write(first);
        for (const chunk of waiting.take()) agent.write(chunk);
        await joined(client, agent);
        return;
      }
      if (dialled.kind === 'refused') {
        const { answer } = dialled;
        const response = responseOn(request, client);
        response.writeHead(
          answer.statusCode ?? 502,
          answer.statusMessage,
          answerFields({
            fields: answer.rawHeaders,
            status: answer.statusCode ?? 502,
            requestId: call.id,
            origin: 'agent',
            crossOrigin: call.crossOrigin,
            extras: call.answerExtras,
          }),
        );
        await piped(answer, response, call.signal);
        return;
      }
      // As for any call: what was never connected may be tried elsewhere, everything else is an error.
      if (dialled.connected) throw unreachable(dialled.error);
      if (isOwnShortage(dialled.error)) throw shortage(dialled.error);
      parts.admission.markUnreachable(lease, dialled.error.message, isListenerInDoubt(dialled.error));
      lease.release();
      if (attempt === 3) throw unreachable(dialled.error);
      lease = await parts.admission.admit(invocation.destination, call.signal, 'again');
    }
  } finally {
    lease.release();
  }
}

type Dialled =
  | { kind: 'upgraded'; answer: IncomingMessage; agent: Duplex; first: Buffer }
  | { kind: 'refused'; answer: IncomingMessage }
  | { kind: 'failed'; error: NodeJS.ErrnoException; connected: boolean }
  | { kind: 'gone' };

function dial(
  parts: GatewayParts,
  call: Call,
  head: RequestHead,
  path: string,
  lease: Lease,
  headers: string[],
): Promise<Dialled> {
  return new Promise((resolve) => {
    let connected = false;
    const options: Dial = {
      ...addressOf(lease),
      ...parts.pools.own(lease.instance),
      unwanted: call.signal,
      method: head.method,
      path,
      headers,
    };
    const upstream = sendRequest(options);
    const onGone = () => {
      resolve({ kind: 'gone' });
      upstream.destroy();
    };
    call.signal.addEventListener('abort', onGone, { once: true });
    if (call.signal.aborted) onGone();
    const settle = (dialled: Dialled) => {
      call.signal.removeEventListener('abort', onGone);
      resolve(dialled);
    };
    // Handed over connected.
    upstream.on('socket', () => {
      connected = true;
    });
    upstream.on('upgrade', (answer, agent, first) => {
      agent.on('error', () => agent.destroy());
      settle({ kind: 'upgraded', answer, agent, first });
    });
    upstream.on('response', (answer) => settle({ kind: 'refused', answer }));
    upstream.on('error', (error) => settle({ kind: 'failed', error, connected }));
    upstream.on('close', () => {
      settle({ kind: 'failed', error: new Error('the connection was closed'), connected });
    });
    upstream.end();
  });
}

function switchingProtocols(answer: IncomingMessage, call: Call): string {
  const fields = answerFields({
    fields: answer.rawHeaders,
    status: 101,
    requestId: call.id,
    origin: 'agent',
    crossOrigin: call.crossOrigin,
    extras: call.answerExtras,
  });
  fields.push('connection', 'Upgrade', 'upgrade', answer.headers.upgrade ?? '');
  let text = `HTTP/1.1 101 ${STATUS_CODES[101]}\r\n`;
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return `${text}\r\n`;
}

/** Both directions at once; resolves when both connections have closed, however they did. */
function joined(client: Duplex, agent: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    for (const [one, other] of [
      [client, agent],
      [agent, client],
    ] as const) {
      one.pipe(other);
      one.once('end', () => {
        const timer = setTimeout(() => {
          client.destroy();
          agent.destroy();
        }, HALF_CLOSED_MS).unref();
        one.once('close', () => clearTimeout(timer));
      });
      one.once('close', () => {
        // Closed without having ended: reset, or cut off. The other end must not take it for the end of a message.
        if (!one.readableEnded) other.destroy();
        else if (!other.writableEnded) other.end();
        if (--open === 0) resolve();
      });
    }
    // Either may have gone before anybody listened.
    if (client.destroyed) agent.destroy();
    if (agent.destroyed) client.destroy();
  });
}

function piped(answer: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const onGone = () => answer.destroy();
    signal.addEventListener('abort', onGone, { once: true });
    answer.on('error', () => {});
    answer.on('close', () => {
      signal.removeEventListener('abort', onGone);
      if (!answer.readableEnded) response.destroy();
      resolve();
    });
    answer.pipe(response);
  });
}

/** Node's writer on a connection that was taken from its server; the answer is the last one on it. */
function responseOn(request: IncomingMessage, client: Socket): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.on('error', () => {});
  response.assignSocket(client);
  response.once('finish', () => client.destroySoon());
  return response;
}

interface EarlyBytes {
  /** What came so far; from now on the connection is the caller's to read. */
  take(): Buffer[];
}

function collectEarly(client: Socket, first: Buffer): EarlyBytes {
  const chunks = first.length > 0 ? [first] : [];
  let size = first.length;
  const onData = (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size > EARLY_BYTES) client.pause();
  };
  // Whoever closes even one direction before the agent has answered is not waiting for it.
  const onEnd = () => client.destroy();
  client.on('data', onData);
  client.on('end', onEnd);
  return {
    take: () => {
      client.pause();
      client.removeListener('data', onData);
      client.removeListener('end', onEnd);
      return chunks;
    },
  };
}
