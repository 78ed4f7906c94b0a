import type { AgentRuntimeClient } from '@runstead/client';
import { answered } from './call-server.ts';
import { CommandError } from './command.ts';
import { EXIT } from './exit-codes.ts';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The id of a runtime that a user names, by its name or its id.
 * @throws CommandError (4) when there is none
 */
export async function findRuntime(client: AgentRuntimeClient, nameOrId: string): Promise<string> {
  if (UUID.test(nameOrId)) return nameOrId;
  const found = await answered(client.list({ agentRuntimeName: nameOrId, searchMode: 'exact' }));
  const id = found[0]?.agentRuntimeId;
  if (id !== undefined) return id;
  throw new CommandError(EXIT.notFound, `there is no runtime "${nameOrId}"`, {
    code: 'ERR_NOT_FOUND',
    hint: 'Names are matched exactly, letter case included.',
  });
}
