import { RunsteadError } from '@runstead/contract';
import type { CustomDomain } from '../domain/custom-domains.ts';
import { newRequestId } from '../observe/request-id.ts';
import { accountFor, type Ending, endingOf } from './account.ts';
import { ClientGone } from './admit.ts';
import { onlyAgentsHere } from './agent-pages.ts';
import { newCallRecord } from './call-record.ts';
import { passToControl } from './control-proxy.ts';
import { domainOf } from './domains.ts';
import { answerError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { type ForwardUser, forward } from './forward.ts';
import { platformFields } from './headers.ts';
import { type Caller, isPreflight, preflightFields } from './host-check.ts';
import { letIn } from './let-in.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import type { Outcome } from './relay.ts';
import { isDataPlane } from './resolve.ts';
import { upgradeWanted } from './upgrade.ts';

/**
 * Start here: what happens to a request, step by step (docs/request-path.md). Every step before forwarding takes
 * plain values. Nothing waits that need not: a call whose body has come and for which a slot is free goes on at once.
 * Does not throw.
 */
export function handleRequest(parts: GatewayParts, exchange: Exchange): void {
  const handling = new Handling(parts, exchange);
  try {
    handling.begin()?.catch((error) => handling.notForwarded(error));
  } catch (error) {
    handling.notForwarded(error);
  }
}

class Handling implements ForwardUser {
  readonly #parts: GatewayParts;
  readonly #exchange: Exchange;
  readonly #call: Call;
  /** The runtime whose own domain was asked for. */
  readonly #domain: CustomDomain | undefined;
  readonly #upgradeTo: string | undefined;

  constructor(parts: GatewayParts, exchange: Exchange) {
    this.#parts = parts;
    this.#exchange = exchange;
    this.#call = openCall(exchange);
    this.#domain = domainOf(parts.domains, exchange.wire.section.host);
    this.#upgradeTo = upgradeWanted(exchange);
    parts.metrics.now.requests++;
    // Declined, it would leave both ends in doubt about what the next bytes are.
    if (this.#upgradeTo !== undefined) exchange.closeAfter();
  }

  /**
   * @returns a promise of the call's being on its way, if that takes waiting
   * @throws RunsteadError and ClientGone, as the steps do; the promise, too
   */
  begin(): Promise<void> | undefined {
    const parts = this.#parts;
    const exchange = this.#exchange;
    const call = this.#call;
    const { head, memory, wire } = exchange;
    const caller = memory.callerOf(parts.hostPolicy, head, wire.section);
    call.crossOrigin = caller.crossOrigin;
    call.from = memory.provenanceOf(parts.isTrustedProxy, head, caller);
    call.record.caller = call.from.caller;
    if (isPreflight(head, caller)) {
      answerPreflight(call, exchange, caller);
      return this.#over();
    }

    const target = memory.resolve(head.target, this.#domain);
    if (target.kind === 'bad-path') throw new RunsteadError('ERR_BAD_REQUEST', target.reason);
    if (this.#upgradeTo !== undefined && target.kind !== 'invocation') {
      throw new RunsteadError('ERR_NOT_FOUND', `Nothing to upgrade to: ${head.target} does not exist`);
    }
    if (target.kind === 'control' && caller.agentsOnly) throw onlyAgentsHere(caller.host);
    if (target.kind === 'health') {
      answerHealth(parts, call, exchange);
      return this.#over();
    }
    if (target.kind === 'control') return passToControl(parts, call, exchange).then(() => this.#over());

    const invocation = letIn(parts, call, exchange, caller, target);
    if (invocation instanceof Promise) return invocation.then((later) => this.#forward(later));
    return this.#forward(invocation);
  }

  #forward(invocation: Invocation): undefined {
    forward({
      parts: this.#parts,
      call: this.#call,
      exchange: this.#exchange,
      invocation,
      upgradeTo: this.#upgradeTo,
      user: this,
    });
  }

  forwarded(outcome: Outcome): void {
    account(this.#parts, this.#call, this.#exchange, endOf(outcome));
    this.#over();
  }

  notForwarded(error: unknown): void {
    const { id, crossOrigin, answerExtras } = this.#call;
    const { log } = this.#parts;
    const dataPlane = isDataPlane(this.#exchange.head.target, this.#domain);
    if (dataPlane) account(this.#parts, this.#call, this.#exchange, endingOf(error));
    this.#over();
    if (error instanceof ClientGone) return;
    answerError(this.#exchange, error, {
      requestId: id,
      dataPlane,
      crossOrigin,
      extras: answerExtras,
      log,
    });
  }

  #over(): undefined {
    this.#parts.metrics.now.requests--;
  }
}

function account(parts: GatewayParts, call: Call, exchange: Exchange, ending: Ending): void {
  call.record.bytesIn = exchange.body.received;
  call.record.bytesOut = exchange.sent;
  accountFor(parts, call, ending);
  if (parts.log.isLevelEnabled('debug')) parts.log.debug(call.record, 'call');
}

function endOf(outcome: Outcome): Ending {
  switch (outcome.kind) {
    case 'answered':
      return { outcome: outcome.whole ? 'answered' : 'cut', status: outcome.status };
    case 'upgraded':
      return { outcome: 'answered', status: 101 };
    case 'client-gone':
      return { outcome: 'client-gone' };
    default:
      return { outcome: 'cut' };
  }
}

function openCall({ head, hangUp }: Exchange): Call {
  const id = newRequestId();
  return {
    id,
    startedMs: performance.now(),
    signal: hangUp,
    crossOrigin: undefined,
    answerExtras: [],
    record: newCallRecord(id, head.method),
    from: undefined,
  };
}

function answerPreflight(call: Call, exchange: Exchange, caller: Caller): void {
  exchange.answer(204, [
    ...preflightFields(exchange.head, caller.crossOrigin!),
    ...platformFields({ requestId: call.id, status: 204, origin: 'platform', crossOrigin: undefined }),
  ]);
}

/** Not 5xx: whoever takes this server out of service for that would cut calls that are served. */
const UNATTENDED =
  '{"status":"degraded","reason":"the control process is gone; calls to agents go on until the next one has come"}';

function answerHealth(parts: GatewayParts, call: Call, exchange: Exchange): void {
  const { method } = exchange.head;
  if (method !== 'GET' && method !== 'HEAD') {
    throw new RunsteadError('ERR_METHOD_NOT_ALLOWED', `${method} is not allowed here; use GET or HEAD`);
  }
  const body = parts.isAttended() ? '{"status":"ok"}' : UNATTENDED;
  exchange.answer(
    200,
    platformFields({ requestId: call.id, status: 200, origin: 'platform', crossOrigin: call.crossOrigin }),
    body,
  );
}
