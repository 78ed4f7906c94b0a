import { answered, serverClient } from '../../call-server.ts';
import type { Command } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { outputFlag, outputOf } from '../../output.ts';
import { NAME_ARGUMENT, requireName, SECRETS_PATH, type Secret, WORKSPACE_FLAG } from './secret.ts';

export const unsetSecret: Command = {
  name: 'unset',
  description: 'remove a secret, also one that is in use: agents that run keep it, none starts with it again',
  arguments: [NAME_ARGUMENT],
  flags: [WORKSPACE_FLAG, outputFlag('the name'), DATA_FLAG],
  examples: ['runstead secrets unset openai'],

  async run(flags, io, [name = '']): Promise<ExitCode> {
    const output = outputOf(flags);
    requireName(name);
    const query = flags.workspace === undefined ? {} : { workspace: flags.workspace };
    const request = serverClient(flags, io).request<Secret>('DELETE', `${SECRETS_PATH}/${name}`, { query });
    const secret = await answered(request);
    if (output === 'json') io.stdout.write(`${JSON.stringify(secret)}\n`);
    else if (output === 'quiet') io.stdout.write(`${name}\n`);
    else io.stderr.write(`${name} is gone.\n`);
    const { usedBy = [] } = secret;
    if (usedBy.length > 0) {
      io.stderr.write(
        `Runtimes that refer to it cannot be started any more until it is set again: ${usedBy.join(', ')}\n`,
      );
    }
    return EXIT.ok;
  },
};
