import type { IncomingMessage, ServerResponse } from 'node:http';
import { RunsteadError } from '@runstead/contract';
import { LOCAL_KEY_ID } from '../auth/key-book.ts';
import { nearNames } from '../domain/near-names.ts';
import { isPrivateCall } from '../domain/private-access.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import { newRequestId } from '../observe/request-id.ts';
import { accountFor, endingOf } from './account.ts';
import { ClientGone, type Lease } from './admit.ts';
import { onlyAgentsHere, pageFields } from './agent-pages.ts';
import { type CallRecord, newCallRecord } from './call-record.ts';
import { chooseVersion, type Destination } from './choose.ts';
import { passToControl } from './control-proxy.ts';
import { authenticate, type Principal } from './credentials.ts';
import { domainOf } from './domains.ts';
import { answerError } from './errors.ts';
import { forward } from './forward.ts';
import { forwardedFields, isPassedOn, provenance } from './forwarded.ts';
import { platformFields } from './headers.ts';
import { type Caller, checkHost, isPreflight, preflightFields, withoutPort } from './host-check.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { discardRest, type RequestBody, takeBody } from './request-body.ts';
import { type RequestHead, readHead } from './request-head.ts';
import { isDataPlane, type Resolved, resolve } from './resolve.ts';
import { traceFields } from './trace-context.ts';

/**
 * Start here: what happens to a request, step by step (docs/request-path.md). Every step before forwarding takes
 * plain values. Does not throw.
 */
export async function handleRequest(
  parts: GatewayParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const head = readHead(request);
  const call = openCall(parts, head, request, response);
  const domain = domainOf(parts.domains, head.fields);
  try {
    const caller = checkHost(parts.hostPolicy, head);
    call.crossOrigin = caller.crossOrigin;
    call.from = provenance(parts.isTrustedProxy, head, caller.host);
    call.record.caller = call.from.caller;
    if (isPreflight(head, caller)) return answerPreflight(call, head, caller, response);

    const target = resolve(head.target, domain);
    if (target.kind === 'bad-path') throw new RunsteadError('ERR_BAD_REQUEST', target.reason);
    if (target.kind === 'control' && caller.agentsOnly) throw onlyAgentsHere(caller.host);
    if (target.kind === 'health') return answerHealth(parts, call, head, response);
    if (target.kind === 'control') return await passToControl(parts, call, head, request, response);

    let body: RequestBody | undefined;
    const invocation = await letIn(parts, call, head, caller, target, async () => {
      body = await takeBody(request, head, parts.settings.bodyLimitBytes);
    });
    const { instance, outcome } = await forward(
      parts,
      call,
      { head, request, response, body: body! },
      invocation,
    );
    const isWhole = outcome.kind === 'answered' && outcome.whole;
    accountFor(parts, call, {
      outcome: outcome.kind === 'client-gone' ? 'client-gone' : isWhole ? 'answered' : 'cut',
      ...(outcome.kind === 'answered' && { status: outcome.status }),
    });
    parts.log.debug(
      {
        requestId: call.id,
        agentRuntimeId: instance.runtimeId,
        version: instance.version,
        instanceId: instance.id,
        keyId: invocation.principal.keyId,
        outcome: outcome.kind,
        status: outcome.kind === 'answered' ? outcome.status : undefined,
        durationMs: Math.round(performance.now() - call.startedMs),
      },
      'call',
    );
  } catch (error) {
    if (isDataPlane(head.target, domain)) accountFor(parts, call, endingOf(error));
    if (error instanceof ClientGone) return;
    if (parts.connections.stopping) response.shouldKeepAlive = false;
    answerError(response, error, {
      requestId: call.id,
      dataPlane: isDataPlane(head.target, domain),
      crossOrigin: call.crossOrigin,
      extras: call.answerExtras,
      log: parts.log,
    });
    discardRest(request);
  }
}

/**
 * The steps that calls and upgrades share: authenticate → choose version → admit.
 * @param prepare done before a version is chosen and a slot taken: what takes the client's time must not take an
 * instance's, and routes may change meanwhile
 * @throws RunsteadError and ClientGone, as the steps do
 */
export async function letIn(
  parts: GatewayParts,
  call: Call,
  head: RequestHead,
  caller: Caller,
  target: Extract<Resolved, { kind: 'invocation' }>,
  prepare?: () => Promise<void>,
): Promise<Invocation> {
  if (!parts.table.installed) await routesKnown(parts);
  const identify = (runtime: RuntimeRoute | undefined) =>
    authenticate(parts.door, { ...head, host: withoutPort(caller.host) }, runtime);
  const before = parts.table.byName(target.runtimeName);
  let principal = identify(before);
  await prepare?.();
  const runtime = parts.table.byName(target.runtimeName);
  // Meanwhile the name may have gone to another runtime, or this one to another workspace or credential.
  if (runtime !== before) principal = identify(runtime);
  const { runtimeName, endpointName } = target;
  const { record } = call;
  if (runtime) {
    record.runtimeId = runtime.runtimeId;
    record.runtimeName = runtime.name;
  }
  if (principal.keyId !== undefined) record.keyId = principal.keyId;
  const names = { runtimeName, endpointName, isPrivate: isPrivate(parts, call, head, caller) };
  const destination = choose(parts, principal, runtime, names);
  record.endpointName = endpointName;
  record.version = destination.version;
  const admitted = parts.admission.admit(destination, call.signal);
  const lease = admitted instanceof Promise ? await queued(parts, record, admitted) : admitted;
  record.queueMs ??= 0;
  record.instanceId = lease.instance.id;
  call.answerExtras.push(...pageFields(caller));
  const trace = traceFields(head.fields, { sampled: parts.settings.traceSampled });
  const added = [...forwardedFields(call.from!), ...trace];
  return { destination, principal, lease, rest: target.rest, added };
}

/** Who is at this machine may know what there is. @throws RunsteadError as `chooseVersion` */
function choose(
  { table, random }: GatewayParts,
  { keyId }: Principal,
  runtime: RuntimeRoute | undefined,
  names: { runtimeName: string; endpointName: string; isPrivate: boolean },
): Destination {
  try {
    return chooseVersion(runtime, names, random());
  } catch (error) {
    if (keyId !== LOCAL_KEY_ID || !(error instanceof RunsteadError) || error.code !== 'ERR_NOT_FOUND')
      throw error;
    const near = runtime
      ? nearNames(
          names.endpointName,
          runtime.endpoints.map(({ name }) => name),
        )
      : nearNames(names.runtimeName, table.names());
    if (near.length === 0) throw error;
    const told = near.map((name) => `'${name}'`).join(', ');
    throw new RunsteadError('ERR_NOT_FOUND', `${error.message}; did you mean ${told}?`);
  }
}

/** Waits for a slot, and notes for how long. */
async function queued({ metrics }: GatewayParts, record: CallRecord, slot: Promise<Lease>): Promise<Lease> {
  const sinceMs = performance.now();
  metrics.now.waiting++;
  try {
    return await slot;
  } finally {
    metrics.now.waiting--;
    record.queueMs = performance.now() - sinceMs;
  }
}

/** A trusted proxy may vouch for an address, but not that a caller is on this machine: that only a connection proves. */
function isPrivate(
  { privateAccess }: GatewayParts,
  { from }: Call,
  { fields }: RequestHead,
  { host }: Caller,
): boolean {
  const call = { host: withoutPort(host), peer: from!.caller, isPassedOn: isPassedOn(fields) };
  return isPrivateCall(privateAccess, call);
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

function openCall(
  parts: GatewayParts,
  head: RequestHead,
  request: IncomingMessage,
  response: ServerResponse,
): Call {
  const open = parts.connections.beginCall(request.socket);
  parts.metrics.now.requests++;
  response.once('close', () => {
    parts.metrics.now.requests--;
    open.end();
  });
  // A client that hangs up is noticed on its connection, for every call on it.
  request.on('error', () => {});
  response.on('error', () => {});
  const id = newRequestId();
  return {
    id,
    startedMs: performance.now(),
    record: newCallRecord(id, head.method),
    signal: open.signal,
    crossOrigin: undefined,
    from: undefined,
    answerExtras: [],
  };
}

function answerPreflight(call: Call, head: RequestHead, caller: Caller, response: ServerResponse): void {
  response.writeHead(204, [
    ...preflightFields(head, caller.crossOrigin!),
    ...platformFields({ requestId: call.id, status: 204, origin: 'platform', crossOrigin: undefined }),
  ]);
  response.end();
}

function answerHealth(parts: GatewayParts, call: Call, head: RequestHead, response: ServerResponse): void {
  if (head.method !== 'GET' && head.method !== 'HEAD') {
    throw new RunsteadError('ERR_METHOD_NOT_ALLOWED', `${head.method} is not allowed here; use GET or HEAD`);
  }
  if (!parts.isFeedOpen()) throw new RunsteadError('ERR_UNAVAILABLE', 'The control process is gone');
  const body = '{"status":"ok"}';
  response.writeHead(200, [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(body.length),
    ...platformFields({
      requestId: call.id,
      status: 200,
      origin: 'platform',
      crossOrigin: call.crossOrigin,
    }),
  ]);
  response.end(body);
}
