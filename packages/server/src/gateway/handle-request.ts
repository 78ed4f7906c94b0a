import type { IncomingMessage, ServerResponse } from 'node:http';
import { invocationPath, RunsteadError } from '@runstead/contract';
import { DEFAULT_AFFINITY } from '../domain/affinity.ts';
import { isPrivateCall } from '../domain/private-access.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import { newRequestId } from '../observe/request-id.ts';
import { ClientGone } from './admit.ts';
import { chooseVersion, findEndpoint } from './choose.ts';
import { passToControl } from './control-proxy.ts';
import { authenticate, type Principal } from './credentials.ts';
import { domainOf } from './domains.ts';
import { answerError } from './errors.ts';
import { forward } from './forward.ts';
import { platformFields } from './headers.ts';
import { type Caller, checkHost, isPreflight, preflightFields, withoutPort } from './host-check.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { discardRest, type RequestBody, takeBody } from './request-body.ts';
import { fieldValues, type RequestHead, readHead } from './request-head.ts';
import { isDataPlane, type Resolved, resolve } from './resolve.ts';
import { presented, type SessionCall } from './session-call.ts';

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
  const call = openCall(parts, request, response);
  const domain = domainOf(parts.domains, head.fields);
  try {
    const caller = checkHost(parts.hostPolicy, head);
    call.crossOrigin = caller.crossOrigin;
    if (isPreflight(head, caller)) return answerPreflight(call, head, caller, response);

    const target = resolve(head.target, domain);
    if (target.kind === 'bad-path') throw new RunsteadError('ERR_BAD_REQUEST', target.reason);
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
    parts.log.debug(
      {
        requestId: call.id,
        agentRuntimeId: instance.runtimeId,
        version: instance.version,
        instanceId: instance.id,
        keyId: invocation.principal.keyId,
        sessionHash: invocation.destination.session?.session?.hash,
        outcome: outcome.kind,
        status: outcome.kind === 'answered' ? outcome.status : undefined,
        durationMs: Math.round(performance.now() - call.startedMs),
      },
      'call',
    );
  } catch (error) {
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
  const session = runtime && sessionOf(parts, call, head, caller, runtime, endpointName, principal);
  const names = { runtimeName, endpointName, isPrivate: isPrivate(parts, head, caller), session };
  const destination = chooseVersion(runtime, names, parts.random());
  const lease = await parts.admission.admit(destination, call.signal);
  if (session?.session && call.record) call.record.sessionHash = session.session.hash;
  return { destination, principal, lease, rest: target.rest, host: caller.host };
}

/** @throws RunsteadError ERR_BAD_REQUEST */
function sessionOf(
  { sessions, domains, settings }: GatewayParts,
  call: Call,
  head: RequestHead,
  { host }: Caller,
  runtime: RuntimeRoute,
  endpointName: string,
  { keyId }: Principal,
): SessionCall | undefined {
  const endpoint = findEndpoint(runtime, endpointName);
  if (!endpoint) return undefined;
  const by = presented(endpoint.affinity ?? DEFAULT_AFFINITY, head.fields);
  if (by === undefined) return undefined;
  const owner = { runtimeId: runtime.runtimeId, endpointName, keyId };
  return sessions.callOf(owner, by, call.answerExtras, () => ({
    path: domainOf(domains, head.fields) ? '/' : invocationPath(runtime.name, endpointName),
    secure: head.secure || isPublicHttps(settings.publicUrl, host),
  }));
}

/** Whether a call came by way of the public address, and that over TLS: a proxy in front may speak plainly to us. */
function isPublicHttps(publicUrl: string | undefined, host: string): boolean {
  const prefix = 'https://';
  return publicUrl?.startsWith(prefix) === true && new URL(publicUrl).host === host.toLowerCase();
}

/** What proxies say of themselves. None has to, so that its absence proves nothing. */
const PASSED_ON = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

function isPrivate(
  { privateAccess }: GatewayParts,
  { fields, peer }: RequestHead,
  { host }: Caller,
): boolean {
  const isPassedOn = PASSED_ON.some((name) => fieldValues(fields, name).length > 0);
  return isPrivateCall(privateAccess, { host: withoutPort(host), peer, isPassedOn });
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

function openCall(parts: GatewayParts, request: IncomingMessage, response: ServerResponse): Call {
  const open = parts.connections.beginCall(request.socket);
  response.once('close', () => open.end());
  // A client that hangs up is noticed on its connection, for every call on it.
  request.on('error', () => {});
  response.on('error', () => {});
  return {
    id: newRequestId(),
    startedMs: performance.now(),
    signal: open.signal,
    crossOrigin: undefined,
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
