import { CommandError } from '../../command.ts';
import { EXIT } from '../../exit-codes.ts';

/** A secret as the server tells of it (`/runstead/v1/secrets`): never its value. */
export interface Secret {
  secretName: string;
  workspaceId: string;
  createdAt?: string;
  updatedAt?: string;
  /** In the answer to its removal: runtimes that refer to it. */
  usedBy?: string[];
}

export const SECRETS_PATH = '/runstead/v1/secrets';

export const WORKSPACE_FLAG = {
  syntax: '--workspace <name-or-id>',
  description: "whose runtimes may refer to it (default: the key's only one, else the default one)",
};

export const NAME_ARGUMENT = {
  syntax: '<name>',
  description: 'letters, digits, "_" and "-"; a variable refers to it as secret://<name>',
};

/** @throws CommandError; the word is not repeated, as it may hold the secret */
export function requireName(name: string): void {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name)) return;
  throw new CommandError(
    EXIT.usage,
    'the name of a secret has 1 to 64 letters, digits, "_" and "-", and begins with a letter',
    { hint: 'The value is not part of the command line: it is asked for, or read from stdin.' },
  );
}
