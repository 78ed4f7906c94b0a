import { answered, serverClient } from '../../call-server.ts';
import type { Command } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { outputFlag, outputOf } from '../../output.ts';
import { readValue } from './read-value.ts';
import { NAME_ARGUMENT, requireName, SECRETS_PATH, type Secret, WORKSPACE_FLAG } from './secret.ts';

export const setSecret: Command = {
  name: 'set',
  description: 'set a secret that variables of agents refer to; the value is asked for, or read from stdin',
  arguments: [NAME_ARGUMENT],
  flags: [
    { syntax: '--from-file <file>', description: 'read the value from a file' },
    { syntax: '--from-env <variable>', description: 'read the value from a variable' },
    WORKSPACE_FLAG,
    outputFlag('the name'),
    DATA_FLAG,
  ],
  examples: [
    'runstead secrets set openai',
    'runstead secrets set openai --from-env OPENAI_API_KEY',
    'pass show openai | runstead secrets set openai --workspace team',
  ],

  async run(flags, io, [name = '']): Promise<ExitCode> {
    const output = outputOf(flags);
    requireName(name);
    const client = serverClient(flags, io);
    const value = await readValue(flags, io);
    const query = flags.workspace === undefined ? {} : { workspace: flags.workspace };
    const request = client.request<Secret>('PUT', `${SECRETS_PATH}/${name}`, { query, body: { value } });
    const secret = await answered(request);
    if (output === 'json') io.stdout.write(`${JSON.stringify(secret)}\n`);
    else if (output === 'quiet') io.stdout.write(`${name}\n`);
    else {
      io.stderr.write(
        `${name} is set. Give it to an agent as secret://${name}; agents that run keep what they have until they start again.\n`,
      );
    }
    return EXIT.ok;
  },
};
