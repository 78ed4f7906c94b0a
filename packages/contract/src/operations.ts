import { z } from 'zod';
import { AccessToken, GetAccessTokenQuery } from './access-token.ts';
import {
  AgentRuntimeEndpoint,
  CreateAgentRuntimeEndpointInput,
  UpdateAgentRuntimeEndpointInput,
} from './endpoint.ts';
import type { ErrorCode } from './errors.ts';
import {
  GetAgentRuntimeQuery,
  ListAgentRuntimeEndpointsQuery,
  ListAgentRuntimesQuery,
  ListAgentRuntimeVersionsQuery,
  ListWorkspacesQuery,
} from './list.ts';
import { type OperationName, operationPaths } from './paths.ts';
import {
  AgentRuntime,
  AgentRuntimeVersion,
  CreateAgentRuntimeInput,
  PublishRuntimeVersionInput,
  UpdateAgentRuntimeInput,
} from './runtime.ts';
import { CreateWorkspaceInput, UpdateWorkspaceInput, Workspace } from './workspace.ts';

/**
 * Every operation with its shapes and errors: the one table from which the server validates, clients take their types
 * and the OpenAPI document is written.
 */
export interface Operation {
  readonly summary: string;
  readonly method: string;
  readonly path: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Sent again under the same `Idempotency-Key`, it is done once. */
  readonly once?: true;
  /** What stands in `data`. */
  readonly data: z.ZodType;
  /** Errors beyond those every operation can answer with (`commonErrors`). */
  readonly errors: readonly ErrorCode[];
}

export const commonErrors: readonly ErrorCode[] = [
  'ERR_BAD_REQUEST',
  'AccessDenied',
  'InvalidAccessKeyId.NotFound',
  'SignatureDoesNotMatch',
  'Forbidden',
  'NoPermission',
  'ERR_TOO_MANY_REQUESTS',
  'ERR_INTERNAL_SERVER_ERROR',
  'ERR_UNAVAILABLE',
];

const place = { total: z.int(), pageNumber: z.int(), pageSize: z.int() };
const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), ...place });

const bodyErrors = ['ERR_VALIDATION_FAILED', 'ERR_PAYLOAD_TOO_LARGE', 'ERR_UNSUPPORTED_MEDIA_TYPE'] as const;

const onceErrors = ['ERR_IDEMPOTENCY_CONFLICT'] as const;

export const operations = {
  CreateAgentRuntime: {
    ...operationPaths.CreateAgentRuntime,
    summary: 'Create a runtime; answers at once in CREATING',
    body: CreateAgentRuntimeInput,
    data: AgentRuntime,
    once: true,
    errors: [...bodyErrors, ...onceErrors, 'ERR_ALREADY_EXISTS', 'ERR_INSUFFICIENT_STORAGE'],
  },
  GetAgentRuntime: {
    ...operationPaths.GetAgentRuntime,
    summary: 'Get a runtime as desired, or one version as it is',
    query: GetAgentRuntimeQuery,
    data: AgentRuntime,
    errors: ['ERR_NOT_FOUND'],
  },
  UpdateAgentRuntime: {
    ...operationPaths.UpdateAgentRuntime,
    summary: 'Merge fields onto the desired configuration; answers at once in UPDATING',
    body: UpdateAgentRuntimeInput,
    data: AgentRuntime,
    errors: [...bodyErrors, 'ERR_NOT_FOUND', 'ERR_ALREADY_EXISTS', 'ERR_INSUFFICIENT_STORAGE'],
  },
  DeleteAgentRuntime: {
    ...operationPaths.DeleteAgentRuntime,
    summary: 'Delete a runtime with its endpoints, versions and instances',
    data: AgentRuntime,
    errors: ['ERR_NOT_FOUND'],
  },
  ListAgentRuntimes: {
    ...operationPaths.ListAgentRuntimes,
    summary: 'List runtimes, newest first',
    query: ListAgentRuntimesQuery,
    data: page(AgentRuntime),
    errors: ['ERR_VALIDATION_FAILED'],
  },
  CreateAgentRuntimeEndpoint: {
    ...operationPaths.CreateAgentRuntimeEndpoint,
    summary: 'Create an endpoint',
    body: CreateAgentRuntimeEndpointInput,
    data: AgentRuntimeEndpoint,
    once: true,
    errors: [...bodyErrors, ...onceErrors, 'ERR_NOT_FOUND', 'ERR_ALREADY_EXISTS', 'ERR_RUNTIME_NOT_READY'],
  },
  GetAgentRuntimeEndpoint: {
    ...operationPaths.GetAgentRuntimeEndpoint,
    summary: 'Get an endpoint',
    data: AgentRuntimeEndpoint,
    errors: ['ERR_NOT_FOUND'],
  },
  UpdateAgentRuntimeEndpoint: {
    ...operationPaths.UpdateAgentRuntimeEndpoint,
    summary: 'Change where an endpoint points and how it scales',
    body: UpdateAgentRuntimeEndpointInput,
    data: AgentRuntimeEndpoint,
    errors: [...bodyErrors, 'ERR_NOT_FOUND', 'ERR_ALREADY_EXISTS', 'ERR_RUNTIME_NOT_READY'],
  },
  DeleteAgentRuntimeEndpoint: {
    ...operationPaths.DeleteAgentRuntimeEndpoint,
    summary: 'Delete an endpoint',
    data: AgentRuntimeEndpoint,
    errors: ['ERR_NOT_FOUND'],
  },
  ListAgentRuntimeEndpoints: {
    ...operationPaths.ListAgentRuntimeEndpoints,
    summary: "List a runtime's endpoints, newest first",
    query: ListAgentRuntimeEndpointsQuery,
    data: page(AgentRuntimeEndpoint),
    errors: ['ERR_VALIDATION_FAILED', 'ERR_NOT_FOUND'],
  },
  ListAgentRuntimeVersions: {
    ...operationPaths.ListAgentRuntimeVersions,
    summary: "List a runtime's versions, newest first",
    query: ListAgentRuntimeVersionsQuery,
    data: page(AgentRuntimeVersion),
    errors: ['ERR_VALIDATION_FAILED', 'ERR_NOT_FOUND'],
  },
  PublishRuntimeVersion: {
    ...operationPaths.PublishRuntimeVersion,
    summary: 'Stamp description and publisher on the newest version',
    body: PublishRuntimeVersionInput,
    data: AgentRuntimeVersion,
    once: true,
    errors: [...bodyErrors, ...onceErrors, 'ERR_NOT_FOUND', 'ERR_RUNTIME_NOT_READY'],
  },
  GetAccessToken: {
    ...operationPaths.GetAccessToken,
    summary: "Get a token for calls to a runtime's endpoints",
    query: GetAccessTokenQuery,
    data: AccessToken,
    errors: ['ERR_VALIDATION_FAILED', 'ERR_NOT_FOUND'],
  },
  CreateWorkspace: {
    ...operationPaths.CreateWorkspace,
    summary: 'Create a workspace',
    body: CreateWorkspaceInput,
    data: Workspace,
    once: true,
    errors: [...bodyErrors, ...onceErrors, 'ERR_ALREADY_EXISTS'],
  },
  ListWorkspaces: {
    ...operationPaths.ListWorkspaces,
    summary: 'List workspaces, newest first',
    query: ListWorkspacesQuery,
    // The one list whose array is not called `items` (contract: envelopes).
    data: z.object({ workspaces: z.array(Workspace), ...place }),
    errors: ['ERR_VALIDATION_FAILED'],
  },
  GetWorkspace: {
    ...operationPaths.GetWorkspace,
    summary: 'Get a workspace',
    data: Workspace,
    errors: ['ERR_NOT_FOUND'],
  },
  UpdateWorkspace: {
    ...operationPaths.UpdateWorkspace,
    summary: 'Change the description of a workspace',
    body: UpdateWorkspaceInput,
    data: Workspace,
    errors: [...bodyErrors, 'ERR_NOT_FOUND'],
  },
  DeleteWorkspace: {
    ...operationPaths.DeleteWorkspace,
    summary: 'Delete a workspace that holds no runtime and is not the default one',
    data: Workspace,
    errors: ['ERR_NOT_FOUND', 'ERR_WORKSPACE_IN_USE'],
  },
} as const satisfies Record<OperationName, Operation>;
