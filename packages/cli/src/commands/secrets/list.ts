import { answered, serverClient } from '../../call-server.ts';
import type { Command } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { outputFlag, outputOf, table } from '../../output.ts';
import { SECRETS_PATH, type Secret } from './secret.ts';

export const listSecrets: Command = {
  name: 'list',
  description: 'show which secrets there are, never their values',
  flags: [
    { syntax: '--workspace <name-or-id>', description: 'of this one alone (default: all)' },
    outputFlag('the names'),
    DATA_FLAG,
  ],
  examples: ['runstead secrets list', 'runstead secrets list --workspace team --output json'],

  async run(flags, io): Promise<ExitCode> {
    const output = outputOf(flags);
    const client = serverClient(flags, io);
    const query = flags.workspace === undefined ? {} : { workspace: flags.workspace };
    const { items = [] } = await answered(
      client.request<{ items?: Secret[] }>('GET', SECRETS_PATH, { query }),
    );
    if (output === 'json') io.stdout.write(`${JSON.stringify(items)}\n`);
    else if (output === 'quiet') for (const { secretName } of items) io.stdout.write(`${secretName}\n`);
    else {
      const row = ({ secretName, workspaceId, updatedAt = '' }: Secret) => [
        secretName,
        workspaceId,
        updatedAt,
      ];
      io.stdout.write(table(['SECRET', 'WORKSPACE', 'SET'], items.map(row)));
    }
    return EXIT.ok;
  },
};
