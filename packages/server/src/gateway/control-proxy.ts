import type { IncomingMessage, ServerResponse } from 'node:http';
import { RunsteadError } from '@runstead/contract';
import { answerFields, controlRequestFields } from './headers.ts';
import type { Call, GatewayParts } from './parts.ts';
import { isStaleConnection, relay } from './relay.ts';
import { takeBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';

/**
 * Passes a control-plane request to the control process, re-framed: that process sees what the gateway's reader
 * understood, never the client's bytes. Sizes are its own affair; nothing is held here but what is in passage.
 * @throws RunsteadError ERR_UNAVAILABLE when the control process does not answer; ClientGone
 */
export async function passToControl(
  parts: GatewayParts,
  call: Call,
  head: RequestHead,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { socketPath, agent } = parts.control;
  const body = await takeBody(request, head, Number.POSITIVE_INFINITY);
  let pooled = body.kind === 'whole';
  for (;;) {
    const outcome = await relay({
      request,
      response,
      body,
      signal: call.signal,
      pace: parts.bulkPace,
      dial: {
        socketPath,
        agent: pooled ? agent : parts.pools.unpooled,
        method: head.method,
        path: head.target,
        headers: controlRequestFields({
          fields: head.fields,
          requestId: call.id,
          peer: call.from!.caller,
          framing: body.framing,
        }),
      },
      answerFields: (answer) => {
        if (parts.connections.stopping) response.shouldKeepAlive = false;
        return answerFields({
          fields: answer.rawHeaders,
          status: answer.statusCode ?? 502,
          requestId: call.id,
          origin: 'platform',
          crossOrigin: call.crossOrigin,
        });
      },
    });
    if (outcome.kind !== 'not-connected' && outcome.kind !== 'broken') return;
    // As toward agents: repeated once, only if a kept connection had been closed while idle.
    if (!pooled || !isStaleConnection(outcome, head.method, body)) {
      parts.log.warn({ err: outcome.error, requestId: call.id }, 'control process did not answer');
      throw new RunsteadError(
        'ERR_UNAVAILABLE',
        `The control process does not answer (${outcome.error.code ?? outcome.error.message}); calls to agents go on`,
        { cause: outcome.error, retryAfterSeconds: 1 },
      );
    }
    pooled = false;
  }
}
