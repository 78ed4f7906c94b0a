/**
 * Where every operation lives (contract: operations on agent runtimes). Plain data without a schema library,
 * so that a client can import it at no cost; `operations.ts` adds the shapes.
 */

export const API_VERSION = '2025-09-10';

const RUNTIMES = `/${API_VERSION}/agents/runtimes`;
const WORKSPACES = `/${API_VERSION}/workspaces`;

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface OperationPath {
  readonly method: HttpMethod;
  /** Path template; `{name}` parts are percent-encoded by the caller. */
  readonly path: string;
}

export const operationPaths = {
  CreateAgentRuntime: { method: 'POST', path: RUNTIMES },
  GetAgentRuntime: { method: 'GET', path: `${RUNTIMES}/{agentRuntimeId}` },
  UpdateAgentRuntime: { method: 'PUT', path: `${RUNTIMES}/{agentRuntimeId}` },
  DeleteAgentRuntime: { method: 'DELETE', path: `${RUNTIMES}/{agentRuntimeId}` },
  ListAgentRuntimes: { method: 'GET', path: RUNTIMES },
  CreateAgentRuntimeEndpoint: { method: 'POST', path: `${RUNTIMES}/{agentRuntimeId}/endpoints` },
  GetAgentRuntimeEndpoint: {
    method: 'GET',
    path: `${RUNTIMES}/{agentRuntimeId}/endpoints/{agentRuntimeEndpointId}`,
  },
  UpdateAgentRuntimeEndpoint: {
    method: 'PUT',
    path: `${RUNTIMES}/{agentRuntimeId}/endpoints/{agentRuntimeEndpointId}`,
  },
  DeleteAgentRuntimeEndpoint: {
    method: 'DELETE',
    path: `${RUNTIMES}/{agentRuntimeId}/endpoints/{agentRuntimeEndpointId}`,
  },
  ListAgentRuntimeEndpoints: { method: 'GET', path: `${RUNTIMES}/{agentRuntimeId}/endpoints` },
  ListAgentRuntimeVersions: { method: 'GET', path: `${RUNTIMES}/{agentRuntimeId}/versions` },
  PublishRuntimeVersion: { method: 'POST', path: `${RUNTIMES}/{agentRuntimeId}/versions` },
  GetAccessToken: { method: 'GET', path: `/${API_VERSION}/agents/accessToken` },
  CreateWorkspace: { method: 'POST', path: WORKSPACES },
  ListWorkspaces: { method: 'GET', path: WORKSPACES },
  GetWorkspace: { method: 'GET', path: `${WORKSPACES}/{workspaceId}` },
  UpdateWorkspace: { method: 'PUT', path: `${WORKSPACES}/{workspaceId}` },
  DeleteWorkspace: { method: 'DELETE', path: `${WORKSPACES}/{workspaceId}` },
} as const satisfies Record<string, OperationPath>;

export type OperationName = keyof typeof operationPaths;

/** The `{name}` parts of a path template, as a union of their names. */
export type PathParameters<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathParameters<Rest>
  : never;

/**
 * Fills a path template, percent-encoding each value.
 * @example fillPath(operationPaths.GetAgentRuntime.path, { agentRuntimeId: 'a/b' }) // …/runtimes/a%2Fb
 */
export function fillPath<P extends string>(template: P, values: Record<PathParameters<P>, string>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent((values as Record<string, string>)[name] ?? ''),
  );
}

/** The data plane's path of one endpoint; everything after it is forwarded to the agent (contract: data plane). */
export function invocationPath(runtimeName: string, endpointName: string): string {
  return `/agent-runtimes/${encodeURIComponent(runtimeName)}/endpoints/${encodeURIComponent(endpointName)}/invocations`;
}
