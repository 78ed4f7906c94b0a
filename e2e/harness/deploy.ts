import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import {
  type AgentRuntime,
  type AgentRuntimeClient,
  type AgentRuntimeCreateInput,
  type AgentRuntimeData,
  type AgentRuntimeEndpoint,
  ResourceNotExistError,
} from '@runstead/client';
import { type CodeOptions, codeFromFile } from '@runstead/client/code';
import { waitFor } from './wait-for.ts';

/** The fields of a runtime that has been answered for: its id, name and status are certainly there. */
export type RuntimeFields = AgentRuntimeData & {
  agentRuntimeId: string;
  agentRuntimeName: string;
  status: string;
};

export type Runtime = AgentRuntime & RuntimeFields;

/** How long a deploy may take on a machine that is busy with other suites, an install from the registry included. */
const DEPLOY_WITHIN_MS = 120_000;

/** A name no other suite uses, should several run against one server or one machine. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`;
}

/** A folder of `e2e/fixtures`. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

/** A folder of `examples`. */
export function example(name: string): string {
  return fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
}

export interface DeployOptions extends Partial<Omit<AgentRuntimeCreateInput, 'codeConfiguration'>> {
  folder: string;
  language?: CodeOptions['language'];
  command?: string[];
}

/** What `create` is sent for a folder: a small Node agent unless said otherwise. */
export async function createInput({
  folder,
  language = 'nodejs20',
  command,
  ...more
}: DeployOptions): Promise<AgentRuntimeCreateInput> {
  return {
    agentRuntimeName: uniqueName('agent'),
    cpu: 1,
    memory: 512,
    ...more,
    codeConfiguration: await codeFromFile(folder, { language, command }),
  };
}

/** Creates a runtime and waits until it is decided; the status is for the caller to look at. */
export async function create(client: AgentRuntimeClient, options: DeployOptions): Promise<Runtime> {
  const { agentRuntimeId } = await client.create(await createInput(options));
  return untilSettled(client, agentRuntimeId!);
}

/**
 * As `create`.
 * @throws when it did not become READY, with the reason
 */
export async function deploy(client: AgentRuntimeClient, options: DeployOptions): Promise<Runtime> {
  return ready(await create(client, options));
}

/** @throws unless it is READY */
export function ready(runtime: Runtime): Runtime {
  if (runtime.status !== 'READY') throw new Error(`${runtime.status}: ${runtime.statusReason}`);
  return runtime;
}

/** Waits until the server has decided, one way or the other. */
export async function untilSettled(
  client: AgentRuntimeClient,
  id: string,
  options: { withinMs?: number } = {},
): Promise<Runtime> {
  let last: AgentRuntime | undefined;
  return waitFor(
    `a runtime to be decided`,
    async () => {
      last = await client.get(id);
      return /(READY|_FAILED)$/.test(last.status ?? '') ? (last as Runtime) : undefined;
    },
    { withinMs: DEPLOY_WITHIN_MS, ...options },
  );
}

export async function untilEndpointReady(
  client: AgentRuntimeClient,
  runtimeId: string,
  endpointId: string,
): Promise<AgentRuntimeEndpoint> {
  return waitFor('an endpoint to be READY', async () => {
    const endpoint = await client.getEndpoint(runtimeId, endpointId);
    if (endpoint.status?.endsWith('_FAILED')) throw new Error(`${endpoint.status}`);
    return endpoint.status === 'READY' ? endpoint : undefined;
  });
}

/** Resolves when `ask` is answered with 404 by the platform. */
export async function untilGone(what: string, ask: () => Promise<unknown>): Promise<void> {
  await waitFor(`${what} to be gone`, () =>
    ask().then(
      () => false,
      (error: unknown) => {
        if (error instanceof ResourceNotExistError) return true;
        throw error;
      },
    ),
  );
}
