import { answered, serverClient } from '../../call-server.ts';
import { type Command, CommandError, type Flags } from '../../command.ts';
import { EXIT, type ExitCode } from '../../exit-codes.ts';
import { DATA_FLAG } from '../../local-server.ts';
import { listing, outputFlag, outputOf } from '../../output.ts';
import { KEYS_PATH, type Key, workspacesOf } from './key.ts';
import { seconds } from './lifetime.ts';

const ROLES = ['invoke', 'deploy', 'admin'];

export const createKey: Command = {
  name: 'create',
  description: 'make a key; its secrets are shown this once',
  flags: [
    { syntax: '--role <role>', description: 'invoke, deploy or admin (default: deploy)' },
    {
      syntax: '--workspace <name-or-id>',
      description: 'where it may be used; may be repeated (default: all)',
      repeatable: true,
    },
    { syntax: '--credential <name>', description: 'a key for callers of runtimes with this credentialName' },
    { syntax: '--header <name>', description: 'the field it is sent in (default: Authorization)' },
    { syntax: '--description <text>', description: 'who or what it is for' },
    { syntax: '--expires <time>', description: 'such as 12h, 30d or 52w from now (default: never)' },
    outputFlag('the API key'),
    DATA_FLAG,
  ],
  examples: [
    'runstead keys create --role invoke --description "chat front end" --expires 90d',
    'runstead keys create --credential partner --header X-API-Key --output quiet',
  ],

  async run(flags, io): Promise<ExitCode> {
    const output = outputOf(flags);
    const body = inputOf(flags);
    const client = serverClient(flags, io);
    const key = await answered(client.request<Key>('POST', KEYS_PATH, { body }));
    if (output === 'json') io.stdout.write(`${JSON.stringify(key)}\n`);
    else if (output === 'quiet') io.stdout.write(`${key.apiKey}\n`);
    else io.stdout.write(listing(entriesOf(key)));
    io.stderr.write(
      `The secrets of ${key.keyId} are shown this once and cannot be read again: keep them now.\n`,
    );
    return EXIT.ok;
  },
};

/** @throws CommandError for flags that do not go together */
function inputOf({ role, workspace, credential, header, description, expires }: Flags): object {
  if (role !== undefined && !ROLES.includes(String(role)))
    throw new CommandError(EXIT.usage, `--role must be one of ${ROLES.join(', ')}; got "${role}"`);
  if (credential !== undefined && role !== undefined) {
    throw new CommandError(
      EXIT.usage,
      "--role and --credential do not go together: a credential's key opens the runtimes that name it, and nothing else",
    );
  }
  if (header !== undefined && credential === undefined)
    throw new CommandError(EXIT.usage, '--header needs --credential: other keys are sent in Authorization');
  return {
    ...(credential === undefined
      ? { role: role ?? 'deploy' }
      : { credential, ...(header !== undefined && { header }) }),
    ...(workspace !== undefined && { workspaces: workspace }),
    ...(description !== undefined && { description }),
    ...(expires !== undefined && { expiresInSeconds: seconds(String(expires), '--expires') }),
  };
}

function entriesOf(key: Key): [string, string][] {
  const entries: [string, string | undefined][] = [
    ['key', key.keyId],
    ['role', key.role],
    ['workspaces', workspacesOf(key.workspaces)],
    ['credential', key.credentialName],
    ['header', key.headerName],
    ['description', key.description],
    ['expires', key.expiresAt ?? 'never'],
    ['API key', key.apiKey],
    ['access key id', key.accessKeyId],
    ['access key secret', key.accessKeySecret],
  ];
  return entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
}
