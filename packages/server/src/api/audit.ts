import type { OperationName } from '@runstead/contract';
import { isSecret } from '../auth/key-secrets.ts';
import type { ExtensionName } from '../auth/permissions.ts';
import { SECRET_NAME_PATTERN } from '../domain/secret-references.ts';
import type { Call } from './call.ts';
import { asRunsteadError } from './envelope.ts';
import { shortened } from './parse.ts';

/**
 * Does a write between two lines of the audit: that it begins, which is there whatever happens, and how it ended. Also
 * one that its key may not do.
 */
export async function audited<T>(
  call: Call,
  operation: OperationName | ExtensionName,
  write: () => Promise<T>,
): Promise<T> {
  const { store, log } = call.deps;
  const id = await store.beginAuditEvent({
    at: new Date().toISOString(),
    requestId: call.requestId,
    keyId: call.principal.keyId,
    operation,
    resource: Object.entries(call.parameters).map(asKept).join('/'),
  });
  const end = (status: number, resource?: string) =>
    // The write is done, or refused: that must not be told otherwise.
    store.endAuditEvent(id, { status, resource }).catch((error: unknown) => {
      log.error({ err: error, requestId: call.requestId }, 'the end of a write could not be recorded');
    });
  let data: T;
  try {
    data = await write();
  } catch (error) {
    await end(asRunsteadError(error, call.requestId).status);
    throw error;
  }
  await end(200, resourceOf(data));
  return data;
}

/** Text of a path may be anything, even a key where its id belongs, or a session's id where its hash does. */
function asKept([name, text]: [string, string]): string {
  if (name === 'secretName' && !SECRET_NAME_PATTERN.test(text)) return '…';
  if (name === 'sessionHash' && !/^[0-9a-f]{32}$/.test(text)) return '…';
  return isSecret(text) ? `${text.slice(0, 4)}…` : shortened(text);
}

/** What the answer says it is about. */
function resourceOf(data: unknown): string | undefined {
  const { agentRuntimeId, agentRuntimeEndpointId, workspaceId, keyId, secretName } = data as Record<
    string,
    unknown
  >;
  const own = keyId ?? (agentRuntimeId === undefined ? workspaceId : undefined);
  const ids = [own, agentRuntimeId, agentRuntimeEndpointId, secretName].filter(
    (id) => typeof id === 'string',
  );
  return ids.length > 0 ? ids.join('/') : undefined;
}
