import { RunsteadError } from '@runstead/contract';
import { newRequestId } from '../observe/request-id.ts';
import { ClientGone, type Lease } from './admit.ts';
import { newCallRecord } from './call-record.ts';
import { chooseVersion } from './choose.ts';
import { passToControl } from './control-proxy.ts';
import { authenticate } from './credentials.ts';
import { dateNow } from './date-now.ts';
import { domainOf } from './domains.ts';
import { answerError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { forward } from './forward.ts';
import { platformFields } from './headers.ts';
import { type Caller, isPreflight, preflightFields } from './host-check.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { takeBody } from './request-body.ts';
import { isDataPlane, type Resolved } from './resolve.ts';
import { upgradeWanted } from './upgrade.ts';

/**
 * Start here: what happens to a request, step by step (docs/request-path.md). Every step before forwarding takes
 * plain values. Does not throw.
 */
export async function handleRequest(parts: GatewayParts, exchange: Exchange): Promise<void> {
  const { head, memory } = exchange;
  const call = openCall(exchange);
  const { record } = call;
  const domain = domainOf(parts.domains, head.fields);
  const upgradeTo = upgradeWanted(exchange);
  // Declined, it would leave both ends in doubt about what the next bytes are.
  if (upgradeTo !== undefined) exchange.closeAfter();
  try {
    const caller = memory.callerOf(parts.hostPolicy, head, exchange.wire.section.host);
    call.crossOrigin = caller.crossOrigin;
    if (isPreflight(head, caller)) return answerPreflight(call, exchange, caller);

    const target = memory.resolve(head.target, domain);
    if (target.kind === 'bad-path') throw new RunsteadError('ERR_BAD_REQUEST', target.reason);
    if (upgradeTo !== undefined && target.kind !== 'invocation') {
      throw new RunsteadError('ERR_NOT_FOUND', `Nothing to upgrade to: ${head.target} does not exist`);
    }
    if (target.kind === 'health') return answerHealth(parts, call, exchange);
    if (target.kind === 'control') return await passToControl(parts, call, exchange);

    const invocation = await letIn(parts, call, exchange, caller, target);
    const outcome = await forward(parts, call, exchange, invocation, upgradeTo);
    record.outcome =
      outcome.kind === 'client-gone'
        ? 'client-gone'
        : outcome.kind === 'answered' && outcome.whole
          ? 'answered'
          : 'cut';
    if (outcome.kind === 'answered') record.status = outcome.status;
    if (outcome.kind === 'upgraded') {
      record.outcome = 'answered';
      record.status = 101;
    }
  } catch (error) {
    if (error instanceof ClientGone) {
      record.outcome = 'client-gone';
      return;
    }
    const told = answerError(exchange, error, {
      requestId: call.id,
      dataPlane: isDataPlane(head.target, domain),
      crossOrigin: call.crossOrigin,
      extras: call.answerExtras,
      log: parts.log,
    });
    record.status = told.status;
    record.errorCode = told.code;
  } finally {
    account(parts, call, exchange);
  }
}

/** What is known of a call when it is over. */
function account(parts: GatewayParts, call: Call, exchange: Exchange): void {
  const { record } = call;
  record.totalMs = performance.now() - call.startedMs;
  record.bytesIn = exchange.body.received;
  record.bytesOut = exchange.sent;
  if (record.runtimeId !== undefined && parts.log.isLevelEnabled('debug')) parts.log.debug(record, 'call');
}

/**
 * Authenticate → choose version → admit.
 * @throws RunsteadError and ClientGone, as the steps do
 */
async function letIn(
  parts: GatewayParts,
  call: Call,
  exchange: Exchange,
  caller: Caller,
  target: Extract<Resolved, { kind: 'invocation' }>,
): Promise<Invocation> {
  if (!parts.table.installed) await routesKnown(parts);
  const { head, memory } = exchange;
  const { method, fields } = head;
  const said = { method, target: head.target, fields, host: caller.hostname };
  const before = parts.table.byName(target.runtimeName);
  let principal = authenticate(parts.door, said, before);
  // Before a version is chosen and a slot taken: what takes the client's time must not take an instance's.
  const taken = takeBody(exchange, parts.settings.bodyLimitBytes);
  const body = taken instanceof Promise ? await taken : taken;
  const runtime = parts.table.byName(target.runtimeName);
  // Meanwhile the name may have gone to another runtime, or this one to another workspace or credential.
  if (runtime !== before) principal = authenticate(parts.door, said, runtime);
  const { runtimeName, endpointName } = target;
  const names = { runtimeName, endpointName, isPrivate: memory.isPrivate(parts.privateAccess, head, caller) };
  const destination = chooseVersion(runtime, names, parts.random());
  const { record } = call;
  record.runtimeId = destination.runtimeId;
  record.runtimeName = runtimeName;
  record.endpointName = endpointName;
  record.version = destination.version;
  if (principal.keyId !== undefined) record.keyId = principal.keyId;
  const admitted = parts.admission.admit(destination, call.signal);
  let lease: Lease;
  if (admitted instanceof Promise) {
    const sinceMs = performance.now();
    lease = await admitted;
    record.queueMs = performance.now() - sinceMs;
  } else lease = admitted;
  return { destination, principal, lease, body, rest: target.rest, host: caller.host };
}

/** A gateway that has just started listens before it knows its routes; nothing may be called unknown until then. */
const FIRST_ROUTES_MS = 5000;

async function routesKnown(parts: GatewayParts): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new RunsteadError('ERR_UNAVAILABLE', 'The server is starting and does not know its runtimes yet', {
            retryAfterSeconds: 1,
          }),
        ),
      FIRST_ROUTES_MS,
    );
  });
  try {
    await Promise.race([parts.firstRoutes, late]);
  } finally {
    clearTimeout(timer);
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
  };
}

function answerPreflight(call: Call, exchange: Exchange, caller: Caller): void {
  exchange.answer(
    204,
    [
      'date',
      dateNow(),
      ...preflightFields(exchange.head, caller.crossOrigin!),
      ...platformFields({ requestId: call.id, status: 204, origin: 'platform', crossOrigin: undefined }),
    ],
    '',
  );
}

function answerHealth(parts: GatewayParts, call: Call, exchange: Exchange): void {
  const { method } = exchange.head;
  if (method !== 'GET' && method !== 'HEAD') {
    throw new RunsteadError('ERR_METHOD_NOT_ALLOWED', `${method} is not allowed here; use GET or HEAD`);
  }
  if (!parts.isFeedOpen()) throw new RunsteadError('ERR_UNAVAILABLE', 'The control process is gone');
  const body = '{"status":"ok"}';
  exchange.answer(
    200,
    [
      'content-type',
      'application/json; charset=utf-8',
      'content-length',
      String(body.length),
      'date',
      dateNow(),
      ...platformFields({
        requestId: call.id,
        status: 200,
        origin: 'platform',
        crossOrigin: call.crossOrigin,
      }),
    ],
    body,
  );
}
