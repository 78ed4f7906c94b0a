/** Every derived name, in one place. */

export interface Identity {
  accountId: string;
  region: string;
}

export function runtimeArn({ accountId, region }: Identity, runtimeId: string): string {
  return `acs:agentrun:${region}:${accountId}:runtimes/${runtimeId}`;
}

export function endpointArn({ accountId, region }: Identity, endpointId: string): string {
  return `acs:agentrun:${region}:${accountId}:runtime-endpoints/${endpointId}`;
}

/** By analogy: no source shows one. */
export function workspaceArn({ accountId, region }: Identity, workspaceId: string): string {
  return `acs:agentrun:${region}:${accountId}:workspaces/${workspaceId}`;
}

/** Endpoint names that answer with the newest version although no endpoint was created under them. */
export const IMPLICIT_ENDPOINTS = ['Default', 'default'] as const;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Ids are UUIDs; anything else is a malformed request rather than an absent resource (contract: errors). */
export function isUuid(value: string): boolean {
  return UUID.test(value);
}
