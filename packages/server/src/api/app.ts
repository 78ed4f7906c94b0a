import { Readable } from 'node:stream';
import { API_VERSION, errorTable, type OperationName, operations, RunsteadError } from '@runstead/contract';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { authenticate } from '../auth/authenticate.ts';
import { type ExtensionName, permissions, requirePermission } from '../auth/permissions.ts';
import type { Principal } from '../auth/principal.ts';
import { newRequestId, REQUEST_ID_HEADER } from '../observe/request-id.ts';
import { getAccessToken } from './access-token.ts';
import { audited } from './audit.ts';
import { readJsonBody, requireNoOtherBody } from './body.ts';
import type { Call, JsonBody } from './call.ts';
import type { ApiDeps } from './deps.ts';
import { addDocs, DOCS_CHALLENGE, docsFields, docsPaths, isDocs } from './docs.ts';
import { createEndpoint, deleteEndpoint, getEndpoint, listEndpoints, updateEndpoint } from './endpoints.ts';
import { asRunsteadError, failure, success } from './envelope.ts';
import { listEvents } from './events.ts';
import { listAuditEvents, readHealth, readMetrics } from './extensions.ts';
import { listInstances } from './instances.ts';
import { createKey, listKeys, revokeKey } from './keys.ts';
import { readLogs } from './logs.ts';
import { shortened } from './parse.ts';
import { createRuntime, deleteRuntime, getRuntime, listRuntimes, updateRuntime } from './runtimes.ts';
import { deleteSecret, listSecrets, setSecret } from './secrets.ts';
import { endSession, listSessions } from './sessions.ts';
import { createTurns } from './turns.ts';
import { unrouted } from './unrouted.ts';
import { listVersions, publishVersion } from './versions.ts';
import {
  createWorkspace,
  deleteWorkspace,
  getWorkspace,
  listWorkspaces,
  updateWorkspace,
} from './workspaces.ts';

type Handler = (call: Call) => Promise<unknown>;
type Name = OperationName | ExtensionName;

interface Route {
  name: Name;
  method: string;
  path: string;
  handler: Handler;
  /** Whether the handler reads the request's body. */
  readsBody: boolean;
  /** The handler gives a text, which is all of the answer. Errors have the envelope all the same. */
  isText?: true;
}

/** On every answer: what clients may rely on beyond the contract, by commas. */
export const FEATURES_HEADER = 'x-runstead-features';
const FEATURES = 'idempotency-key';

/** Operation → handler; path and method stand in the contract's table. */
const handlers: Record<keyof typeof operations, Handler> = {
  CreateAgentRuntime: createRuntime,
  GetAgentRuntime: getRuntime,
  UpdateAgentRuntime: updateRuntime,
  DeleteAgentRuntime: deleteRuntime,
  ListAgentRuntimes: listRuntimes,
  CreateAgentRuntimeEndpoint: createEndpoint,
  GetAgentRuntimeEndpoint: getEndpoint,
  UpdateAgentRuntimeEndpoint: updateEndpoint,
  DeleteAgentRuntimeEndpoint: deleteEndpoint,
  ListAgentRuntimeEndpoints: listEndpoints,
  ListAgentRuntimeVersions: listVersions,
  PublishRuntimeVersion: publishVersion,
  GetAccessToken: getAccessToken,
  CreateWorkspace: createWorkspace,
  ListWorkspaces: listWorkspaces,
  GetWorkspace: getWorkspace,
  UpdateWorkspace: updateWorkspace,
  DeleteWorkspace: deleteWorkspace,
};

/** Runstead's own, beside the contract's. */
export const extensions: Record<ExtensionName, Omit<Route, 'name' | 'readsBody'> & { readsBody?: true }> = {
  ListEvents: {
    method: 'GET',
    path: '/runstead/v1/runtimes/{agentRuntimeId}/events',
    handler: listEvents,
  },
  ReadLogs: {
    method: 'GET',
    path: '/runstead/v1/runtimes/{agentRuntimeId}/logs',
    handler: readLogs,
  },
  ListInstances: { method: 'GET', path: '/runstead/v1/instances', handler: listInstances },
  ListSessions: { method: 'GET', path: '/runstead/v1/sessions', handler: listSessions },
  EndSession: { method: 'DELETE', path: '/runstead/v1/sessions/{sessionHash}', handler: endSession },
  CreateKey: { method: 'POST', path: '/runstead/v1/keys', handler: createKey, readsBody: true },
  ListKeys: { method: 'GET', path: '/runstead/v1/keys', handler: listKeys },
  RevokeKey: { method: 'DELETE', path: '/runstead/v1/keys/{keyId}', handler: revokeKey },
  SetSecret: {
    method: 'PUT',
    path: '/runstead/v1/secrets/{secretName}',
    handler: setSecret,
    readsBody: true,
  },
  ListSecrets: { method: 'GET', path: '/runstead/v1/secrets', handler: listSecrets },
  DeleteSecret: { method: 'DELETE', path: '/runstead/v1/secrets/{secretName}', handler: deleteSecret },
  ListAuditEvents: { method: 'GET', path: '/runstead/v1/audit', handler: listAuditEvents },
  ReadHealth: { method: 'GET', path: '/runstead/v1/health', handler: readHealth },
  ReadMetrics: { method: 'GET', path: '/metrics', handler: readMetrics, isText: true },
};

/**
 * The control plane's API, for the private socket. In running order: request id, authentication, body, handler; every
 * answer, also to what no route knows, is a JSON envelope.
 */
export function createApi(deps: ApiDeps): FastifyInstance {
  const app = fastify({
    logger: false,
    // The gateway made the id and removed any that a client sent.
    genReqId: (request) => String(request.headers[REQUEST_ID_HEADER] ?? newRequestId()),
    bodyLimit: deps.bodyLimitBytes,
    // The gateway bounds the time of clients; a slow but steady upload is no fault.
    requestTimeout: 0,
    forceCloseConnections: true,
    // An id that is too long is malformed like any other, for the handler to say so.
    routerOptions: { maxParamLength: 65_536 },
    frameworkErrors: (_error, request, reply) => {
      reply.header(REQUEST_ID_HEADER, request.id).header(FEATURES_HEADER, FEATURES);
      refuse(
        new RunsteadError('ERR_BAD_REQUEST', 'The path has an invalid percent-encoding'),
        request,
        reply,
      );
    },
  });
  const inTurn = createTurns();
  const principals = new WeakMap<FastifyRequest, Principal>();

  function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const known = asRunsteadError(error, request.id);
    if (errorTable[known.code].fault === 'platform')
      deps.log.error({ requestId: request.id, err: error }, known.message);
    if (known.status === 401 && isDocs(request)) reply.header('www-authenticate', DOCS_CHALLENGE);
    if (known.retryAfterSeconds !== undefined) reply.header('retry-after', known.retryAfterSeconds);
    // What is still to come of the body Node reads away. Closing instead could lose this answer on its way.
    void reply.status(known.status).send(failure(request.id, known));
  }

  app.addHook('onRequest', async (request, reply) => {
    reply.header(REQUEST_ID_HEADER, request.id).header(FEATURES_HEADER, FEATURES);
    const { method = 'GET', url: target = '/', rawHeaders } = request.raw;
    const fields = isDocs(request) ? docsFields(rawHeaders) : rawHeaders;
    principals.set(request, await authenticate({ method, target, fields }, deps.authentication));
  });
  // Bodies are left in the stream: each handler knows how much it can be, and whether it goes to the disk.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

  const routes: Route[] = [
    ...(Object.keys(operations) as OperationName[]).map((name) => {
      const { method, path } = operations[name];
      return { name, method, path, handler: handlers[name], readsBody: 'body' in operations[name] };
    }),
    ...(Object.keys(extensions) as ExtensionName[]).map((name) => ({
      name,
      readsBody: false,
      ...extensions[name],
    })),
  ];
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path.replace(/\{(\w+)\}/g, ':$1'),
      handler: (request, reply) =>
        answer({ deps, inTurn, principal: principals.get(request)! }, route, request, reply),
    });
  }
  addDocs(app);
  const refusal = unrouted(app, [...routes, ...docsPaths.map((path) => ({ method: 'GET', path }))]);
  app.addHook('onRequest', async (request, reply) => {
    // Here, before the framework looks for what some methods must bring along.
    if (request.is404) throw refusal(request, reply);
  });
  app.setErrorHandler(refuse);
  return app;
}

/** Fields of answers have little room; the log has the rest. */
const WARNING_MAX = 2000;

async function answer(
  parts: Pick<Call, 'deps' | 'inTurn' | 'principal'>,
  { name, handler, readsBody, isText }: Route,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const { deps, principal } = parts;
  requireThisOperation(name, request);
  const warnings: string[] = [];
  let read: Promise<JsonBody> | undefined;
  const body = () => (read ??= readJsonBody(request, principal));
  const call: Call = {
    ...parts,
    request,
    requestId: request.id,
    parameters: request.params as Record<string, string>,
    query: singleValues(request.query as Record<string, string | string[]>),
    body,
    json: async () => (await body()).value,
    hangUp: () => goneSignal(reply),
    setHeader: (name, value) => void reply.header(name, value),
    warn: (text) => warnings.push(text),
  };
  const work = async () => {
    requirePermission(principal, name);
    if (!readsBody) await requireNoOtherBody(request, principal);
    return handler(call);
  };
  const data = permissions[name].writes ? await audited(call, name, work) : await work();
  if (warnings.length > 0) {
    deps.log.warn({ requestId: request.id }, warnings.join('; '));
    reply.header(
      'x-runstead-warning',
      warnings
        .join('; ')
        .replace(/[^\x20-\x7e]/g, '?')
        .slice(0, WARNING_MAX),
    );
  }
  return isText || data instanceof Readable ? data : success(request.id, data);
}

function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (raw.closed || raw.destroyed) gone.abort();
  raw.once('close', () => gone.abort());
  return gone.signal;
}

/**
 * Clients that sign say which operation and which version of the API they mean.
 * @throws RunsteadError ERR_BAD_REQUEST when that is not what the path leads to
 */
function requireThisOperation(name: Name, { headers }: FastifyRequest): void {
  const expected = { 'x-acs-action': name, 'x-acs-version': API_VERSION };
  for (const [field, value] of Object.entries(expected)) {
    const said = headers[field];
    if (!said || said === value) continue;
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      `${field} must be ${value} for this method and path, or be left out (got ${shortened(JSON.stringify(said))})`,
    );
  }
}

/** Of a parameter given twice the last counts, as it does for the signature. */
function singleValues(query: Record<string, string | string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).map(([key, value]) => [key, Array.isArray(value) ? value.at(-1)! : value]),
  );
}
