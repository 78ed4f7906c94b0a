import { answered, serverClient } from '../../call-server.ts';
import { type Command, CommandError } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { outputFlag, outputOf, table } from '../../output.ts';
import { KEY_COLUMNS, KEYS_PATH, type Key, keyRow } from './key.ts';

export const revokeKey: Command = {
  name: 'revoke',
  description: 'end a key: from now on it opens nothing',
  arguments: [{ syntax: '<key-id>', description: 'as "runstead keys list" shows it' }],
  flags: [outputFlag('the id'), DATA_FLAG],
  examples: ['runstead keys revoke rak0123456789abcdef0123'],

  async run(flags, io, [keyId = '']): Promise<ExitCode> {
    const output = outputOf(flags);
    // A secret in the place of an id would stand in logs along the way.
    if (/^(rsk|rck)_/.test(keyId)) {
      throw new CommandError(EXIT.usage, 'the id of a key is wanted, and this is the API key itself', {
        hint: 'See "runstead keys list".',
      });
    }
    if (!/^[\w-]{1,128}$/.test(keyId)) {
      throw new CommandError(EXIT.usage, `a key's id has letters, digits, "_" and "-"; got "${keyId}"`, {
        hint: 'See "runstead keys list".',
      });
    }
    const key = await answered(serverClient(flags, io).request<Key>('DELETE', `${KEYS_PATH}/${keyId}`));
    if (output === 'json') io.stdout.write(`${JSON.stringify(key)}\n`);
    else if (output === 'quiet') io.stdout.write(`${keyId}\n`);
    else io.stdout.write(table(KEY_COLUMNS, [keyRow({ ...key, keyId })]));
    io.stderr.write(`${keyId} is revoked.\n`);
    return EXIT.ok;
  },
};
