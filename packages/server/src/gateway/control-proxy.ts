import { RunsteadError } from '@runstead/contract';
import type { Exchange } from './exchange.ts';
import { answerLines, controlRequestLines } from './headers.ts';
import type { Call, GatewayParts } from './parts.ts';
import { type Outcome, relay } from './relay.ts';
import { takeBody } from './request-body.ts';
import { isStaleConnection } from './send-again.ts';

/**
 * Passes a control-plane request to the control process, re-framed: that process sees what the gateway's reader
 * understood, never the client's bytes. Sizes are its own affair; nothing is held here but what is in passage.
 * @throws RunsteadError ERR_UNAVAILABLE when the control process does not answer; ClientGone
 */
export async function passToControl(parts: GatewayParts, call: Call, exchange: Exchange): Promise<void> {
  const { head, wire } = exchange;
  const body = await takeBody(exchange, Number.POSITIVE_INFINITY);
  const fields = controlRequestLines({
    section: wire.section,
    requestId: call.id,
    peer: call.from!.caller,
    framing: body.framing,
    withoutExpect: wire.minor === 0,
  });
  let mayReuse = body.kind === 'whole';
  for (;;) {
    const outcome = await new Promise<Outcome>((resolve) =>
      relay({
        exchange,
        pool: parts.control,
        mayReuse,
        head: `${head.method} ${head.target} HTTP/1.1\r\n${fields}\r\n`,
        method: head.method,
        body,
        pace: parts.bulkPace,
        clock: parts.clock,
        record: call.record,
        startedMs: call.startedMs,
        user: {
          answerLines: ({ section, status }) =>
            answerLines({
              section,
              status,
              requestId: call.id,
              origin: 'platform',
              crossOrigin: call.crossOrigin,
            }),
          relayed: resolve,
        },
      }),
    );
    if (outcome.kind === 'stopped') {
      throw new RunsteadError('ERR_UNAVAILABLE', outcome.reason, { retryAfterSeconds: 1 });
    }
    if (outcome.kind !== 'not-connected' && outcome.kind !== 'broken') return;
    // As toward agents: repeated once, only if a kept connection had been closed while idle.
    if (!mayReuse || !isStaleConnection(outcome, head.method, body)) {
      parts.log.warn({ err: outcome.error, requestId: call.id }, 'control process did not answer');
      throw new RunsteadError(
        'ERR_UNAVAILABLE',
        `The control process does not answer (${outcome.error.code ?? outcome.error.message}); calls to agents go on`,
        { cause: outcome.error, retryAfterSeconds: 1 },
      );
    }
    mayReuse = false;
  }
}
