import { invocationPath, RunsteadError } from '@runstead/contract';
import { LOCAL_KEY_ID } from '../auth/key-book.ts';
import { DEFAULT_AFFINITY } from '../domain/affinity.ts';
import { nearNames } from '../domain/near-names.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import type { Lease } from './admit.ts';
import { pageFields } from './agent-pages.ts';
import type { CallRecord } from './call-record.ts';
import { chooseVersion, type Destination, findEndpoint } from './choose.ts';
import { anybody, authenticate, type Principal } from './credentials.ts';
import { domainOf } from './domains.ts';
import type { Exchange } from './exchange.ts';
import { lines } from './headers.ts';
import type { Caller } from './host-check.ts';
import type { Call, GatewayParts, Invocation } from './parts.ts';
import { type RequestBody, takeBody } from './request-body.ts';
import type { Resolved } from './resolve.ts';
import { presented, type SessionCall } from './session-call.ts';
import { traceFields } from './trace-context.ts';

const NO_FIELDS: readonly string[] = [];

/** A call at the door. */
interface Entry {
  parts: GatewayParts;
  call: Call;
  exchange: Exchange;
  caller: Caller;
  target: Extract<Resolved, { kind: 'invocation' }>;
}

/**
 * Authenticate → count → choose version → admit.
 * @throws RunsteadError and ClientGone, as the steps do; the promise, too
 */
export function letIn(
  parts: GatewayParts,
  call: Call,
  exchange: Exchange,
  caller: Caller,
  target: Entry['target'],
): Invocation | Promise<Invocation> {
  const entry = { parts, call, exchange, caller, target };
  return parts.table.installed ? identified(entry) : routesKnown(parts).then(() => identified(entry));
}

/** From authentication on. */
function identified(entry: Entry): Invocation | Promise<Invocation> {
  const { parts, exchange, target } = entry;
  const runtime = parts.table.byName(target.runtimeName);
  const principal = identify(entry, runtime);
  parts.rates.count(runtime, principal.keyId);
  // Before a version is chosen and a slot taken: what takes the client's time must not take an instance's.
  const body = takeBody(exchange, parts.settings.bodyLimitBytes);
  if (!(body instanceof Promise)) return chosen(entry, runtime, principal, body);
  return body.then((whole) => {
    // Meanwhile the name may have gone to another runtime, or this one to another workspace or credential.
    const now = parts.table.byName(target.runtimeName);
    return chosen(entry, now, now === runtime ? principal : identify(entry, now), whole);
  });
}

function identify(
  { parts: { door }, exchange: { head, wire }, caller: { hostname } }: Entry,
  runtime: RuntimeRoute | undefined,
): Principal {
  return (
    anybody(door, wire.section, hostname, runtime) ??
    authenticate(
      door,
      { method: head.method, target: head.target, fields: head.fields, host: hostname },
      runtime,
    )
  );
}

/** From the choice of a version on. */
function chosen(
  entry: Entry,
  runtime: RuntimeRoute | undefined,
  principal: Principal,
  body: RequestBody,
): Invocation | Promise<Invocation> {
  const { parts, call, exchange, caller, target } = entry;
  const { runtimeName, endpointName } = target;
  const { record } = call;
  if (runtime) {
    record.runtimeId = runtime.runtimeId;
    record.runtimeName = runtime.name;
  }
  if (principal.keyId !== undefined) record.keyId = principal.keyId;
  const { section } = exchange.wire;
  const isPrivate = exchange.memory.isPrivate(parts.privateAccess, section, caller, call.from!);
  const session = runtime && sessionOf(parts, call, exchange, caller, runtime, endpointName, principal);
  const destination = choose(parts, principal, runtime, { runtimeName, endpointName, isPrivate, session });
  record.endpointName = endpointName;
  record.version = destination.version;
  const held = section.text.length + (body.kind === 'whole' ? body.bytes.length : 0);
  const lease = parts.admission.admit(destination, call.signal, 'first', held);
  if (!(lease instanceof Promise)) return admitted(entry, destination, principal, body, lease);
  return queued(parts, record, lease).then((later) => admitted(entry, destination, principal, body, later));
}

function admitted(
  { parts, call, exchange, caller, target }: Entry,
  destination: Destination,
  principal: Principal,
  body: RequestBody,
  lease: Lease,
): Invocation {
  const { record } = call;
  const { session } = destination;
  if (session?.session) record.sessionHash = session.session.hash;
  record.queueMs ??= 0;
  record.instanceId = lease.instance.id;
  for (const part of pageFields(caller)) call.answerExtras.push(part);
  const trace = exchange.wire.section.has('traceparent') ? exchange.head.fields : NO_FIELDS;
  const added =
    exchange.memory.forwardedLinesOf(call.from!) +
    lines(traceFields(trace, { sampled: parts.settings.traceSampled }));
  return { destination, principal, lease, body, rest: target.rest, added };
}

/** @throws RunsteadError ERR_BAD_REQUEST */
function sessionOf(
  { sessions, domains, settings }: GatewayParts,
  call: Call,
  { wire: { section } }: Exchange,
  { host }: Caller,
  runtime: RuntimeRoute,
  endpointName: string,
  { keyId }: Principal,
): SessionCall | undefined {
  const endpoint = findEndpoint(runtime, endpointName);
  if (!endpoint) return undefined;
  const affinity = endpoint.affinity ?? DEFAULT_AFFINITY;
  if (affinity.by === 'nothing') return undefined;
  const by = presented(
    affinity,
    section.only(affinity.by === 'cookie' ? 'cookie' : affinity.field.toLowerCase()),
  );
  if (by === undefined) return undefined;
  const owner = { runtimeId: runtime.runtimeId, endpointName, keyId };
  return sessions.callOf(owner, by, call.answerExtras, () => ({
    path: domainOf(domains, section.host) ? '/' : invocationPath(runtime.name, endpointName),
    secure: call.from!.proto === 'https' || isPublicHttps(settings.publicUrl, host),
  }));
}

/** Whether a call came by way of the public address, and that over TLS: a proxy in front may speak plainly to us. */
function isPublicHttps(publicUrl: string | undefined, host: string): boolean {
  const prefix = 'https://';
  return publicUrl?.startsWith(prefix) === true && new URL(publicUrl).host === host.toLowerCase();
}

/** Who is at this machine may know what there is. @throws RunsteadError as `chooseVersion` */
function choose(
  { table, random }: GatewayParts,
  { keyId }: Principal,
  runtime: RuntimeRoute | undefined,
  names: Pick<Destination, 'runtimeName' | 'endpointName' | 'isPrivate' | 'session'>,
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
