import { PhaseFailure } from '../domain/failure.ts';
import {
  type ResolvedVariables,
  referenceFaults,
  resolveReferences,
  secretReferences,
} from '../domain/secret-references.ts';
import type { Store } from '../store/store.ts';

/** An agent's variables as it is to get them. */
export type ResolveSecrets = (
  runtimeId: string,
  variables: Readonly<Record<string, string>>,
) => Promise<Omit<ResolvedVariables, 'missing'>>;

/**
 * Reads the secrets that variables refer to, of the workspace that the runtime is in now: as they are at this moment,
 * and never those of another workspace.
 * The promise rejects with a PhaseFailure naming variable and secret, never a value.
 */
export function createSecretResolver(
  store: Pick<Store, 'getRuntime' | 'getWorkspace' | 'secretValues'>,
): ResolveSecrets {
  return async (runtimeId, variables) => {
    const names = [...new Set(secretReferences(variables).values())];
    if (names.length === 0) return { variables: { ...variables }, secretVariables: [] };
    const [fault] = referenceFaults(variables);
    if (fault !== undefined) throw new PhaseFailure('start', fault);
    // Of a runtime that is just being removed there is nothing to be started.
    const workspaceId = (await store.getRuntime(runtimeId))?.workspaceId ?? '';
    const secrets = await store.secretValues(workspaceId, names).catch((error: Error) => {
      const message = `the secrets that its variables refer to (${names.join(', ')}) cannot be read: ${error.message}; set them again with "runstead secrets set"`;
      throw new PhaseFailure('start', message, [], { cause: error });
    });
    const { missing, ...resolved } = resolveReferences(variables, secrets);
    if (missing.length === 0) return resolved;
    const workspace = (await store.getWorkspace(workspaceId))?.name ?? workspaceId;
    throw new PhaseFailure('start', missingSecrets(missing, workspace));
  };
}

function missingSecrets(missing: readonly [variable: string, name: string][], workspace: string): string {
  const said = missing.map(
    ([variable, name]) => `environmentVariables.${variable} refers to the secret '${name}'`,
  );
  const names = [...new Set(missing.map(([, name]) => name))];
  const commands = names.map((name) => `"runstead secrets set ${name} --workspace ${workspace}"`);
  return `${said.join(', ')}, which workspace '${workspace}' does not have; set ${names.length === 1 ? 'it' : 'them'} with ${commands.join(' and ')}, and deploy or call again`;
}
