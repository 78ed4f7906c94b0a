import { describe, expect, it } from 'vitest';
import { API_VERSION, fillPath, invocationPath, operationPaths } from './paths.ts';

describe('fillPath', () => {
  it.each([
    ['plain', 'plain'],
    ['a/b', 'a%2Fb'],
    ['../x', '..%2Fx'],
    ['a?b#c', 'a%3Fb%23c'],
    ['100%', '100%25'],
    ['a b', 'a%20b'],
    ['größe', 'gr%C3%B6%C3%9Fe'],
    ['{agentRuntimeId}', '%7BagentRuntimeId%7D'],
    ['$&', '%24%26'],
    ['', ''],
  ])('encodes %j as %j', (agentRuntimeId, encoded) => {
    expect(fillPath(operationPaths.GetAgentRuntime.path, { agentRuntimeId })).toBe(
      `/2025-09-10/agents/runtimes/${encoded}`,
    );
  });

  it('fills each part with its own value', () => {
    const values = { agentRuntimeId: 'r', agentRuntimeEndpointId: 'e' };
    expect(fillPath(operationPaths.GetAgentRuntimeEndpoint.path, values)).toBe(
      '/2025-09-10/agents/runtimes/r/endpoints/e',
    );
  });

  it('leaves a path without parts as it is', () => {
    expect(fillPath(operationPaths.ListAgentRuntimes.path, {})).toBe('/2025-09-10/agents/runtimes');
  });
});

describe('operationPaths', () => {
  it('all lie under the version of the API, without a slash at the end', () => {
    for (const { path } of Object.values(operationPaths)) {
      expect(path).toMatch(new RegExp(`^/${API_VERSION}(/(\\w+|\\{\\w+\\}))+$`));
    }
  });

  it('are where the contract has them', () => {
    const table = Object.entries(operationPaths).map(([name, { method, path }]) => [
      name,
      `${method} ${path
        .replace('/2025-09-10/agents/runtimes', 'R')
        .replace('/2025-09-10/workspaces', 'W')
        .replace(/\{\w+\}/, '{id}')
        .replace(/\{\w+Id\}/, '{eid}')}`,
    ]);
    expect(Object.fromEntries(table)).toEqual({
      CreateAgentRuntime: 'POST R',
      GetAgentRuntime: 'GET R/{id}',
      UpdateAgentRuntime: 'PUT R/{id}',
      DeleteAgentRuntime: 'DELETE R/{id}',
      ListAgentRuntimes: 'GET R',
      CreateAgentRuntimeEndpoint: 'POST R/{id}/endpoints',
      GetAgentRuntimeEndpoint: 'GET R/{id}/endpoints/{eid}',
      UpdateAgentRuntimeEndpoint: 'PUT R/{id}/endpoints/{eid}',
      DeleteAgentRuntimeEndpoint: 'DELETE R/{id}/endpoints/{eid}',
      ListAgentRuntimeEndpoints: 'GET R/{id}/endpoints',
      ListAgentRuntimeVersions: 'GET R/{id}/versions',
      PublishRuntimeVersion: 'POST R/{id}/versions',
      GetAccessToken: 'GET /2025-09-10/agents/accessToken',
      CreateWorkspace: 'POST W',
      ListWorkspaces: 'GET W',
      GetWorkspace: 'GET W/{id}',
      UpdateWorkspace: 'PUT W/{id}',
      DeleteWorkspace: 'DELETE W/{id}',
    });
  });
});

describe('invocationPath', () => {
  it('names runtime and endpoint', () => {
    expect(invocationPath('my-agent', 'Default')).toBe(
      '/agent-runtimes/my-agent/endpoints/Default/invocations',
    );
  });

  it('lets no name reach out of its place', () => {
    expect(invocationPath('../x', 'a/b?c')).toBe('/agent-runtimes/..%2Fx/endpoints/a%2Fb%3Fc/invocations');
  });
});
