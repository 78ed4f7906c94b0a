import { answered, serverClient } from '../../call-server.ts';
import type { Command } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { outputFlag, outputOf, table } from '../../output.ts';
import { KEY_COLUMNS, KEYS_PATH, type Key, keyRow } from './key.ts';

export const listKeys: Command = {
  name: 'list',
  description: 'show all keys, without their secrets',
  flags: [outputFlag('the ids'), DATA_FLAG],
  examples: ['runstead keys list', 'runstead keys list --output json'],

  async run(flags, io): Promise<ExitCode> {
    const output = outputOf(flags);
    const client = serverClient(flags, io);
    const { items = [] } = await answered(client.request<{ items?: Key[] }>('GET', KEYS_PATH));
    if (output === 'json') io.stdout.write(`${JSON.stringify(items)}\n`);
    else if (output === 'quiet') for (const { keyId } of items) io.stdout.write(`${keyId}\n`);
    else io.stdout.write(table(KEY_COLUMNS, items.map(keyRow)));
    return EXIT.ok;
  },
};
