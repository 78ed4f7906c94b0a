import { type Command, CommandError, type Io } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { DATA_FLAG, type LocalServer, localServer } from '../local-server.ts';
import { trustVariables } from '../trust.ts';
import { FORMATS, isFormat, writeVariables } from '../variables.ts';

/** Prints secrets, on purpose: that is what it is asked for. */
export const env: Command = {
  name: 'env',
  description: 'print the variables that make AgentRun clients in this shell use the local server',
  flags: [{ syntax: '--format <format>', description: `${FORMATS.join(', ')} (default: shell)` }, DATA_FLAG],
  examples: [
    'eval "$(runstead env)"',
    'runstead env --format dotenv > .env',
    'runstead env --format powershell | Out-String | Invoke-Expression',
  ],

  async run(flags, io): Promise<ExitCode> {
    const format = flags.format ?? 'shell';
    if (!isFormat(format)) {
      throw new CommandError(EXIT.usage, `--format must be one of ${FORMATS.join(', ')}; got "${format}"`);
    }
    const server = localServer(flags, io);
    const note = (text: string) => void io.stderr.write(`# ${text}\n`);
    io.stdout.write(writeVariables(format, { ...addresses(server, note), ...trust(server, io, note) }));
    warnOfTokens(io, note);
    return EXIT.ok;
  },
};

type Note = (text: string) => void;

function addresses({ dataDir, record, key }: LocalServer, note: Note): Record<string, string> {
  const { apiKey, accessKeyId, accessKeySecret } = key;
  if (apiKey === undefined || accessKeyId === undefined || accessKeySecret === undefined) {
    throw new CommandError(EXIT.auth, `${dataDir} has no key of this machine that can be read`, {
      hint: 'It lies in local-key.json, for the user who runs the server; start the server again if it was made by an earlier release.',
    });
  }
  const { url, tlsUrl, localUrl = url } = record;
  // A proxy in front may be the one that speaks TLS.
  const secure = tlsUrl ?? (url.startsWith('https:') ? url : undefined);
  if (secure === undefined) {
    note('TLS is off, and official AgentRun clients speak to the control plane over HTTPS alone. Start the');
    note(
      'server with --tls-port 7443 (or RUNSTEAD_TLS_PORT=7443), then do this again. @runstead/client works now.',
    );
  }
  return {
    AGENTRUN_ACCESS_KEY_ID: accessKeyId,
    AGENTRUN_ACCESS_KEY_SECRET: accessKeySecret,
    AGENTRUN_ACCOUNT_ID: record.accountId ?? '0000000000000000',
    AGENTRUN_REGION: record.region ?? 'cn-hangzhou',
    // Also without TLS: with none, a client would send what it knows to the cloud.
    AGENTRUN_CONTROL_ENDPOINT: secure ?? localUrl,
    AGENTRUN_DATA_ENDPOINT: secure ?? localUrl,
    RUNSTEAD_BASE_URL: localUrl,
    RUNSTEAD_API_KEY: apiKey,
  };
}

function trust({ dataDir, record }: LocalServer, io: Io, note: Note): Record<string, string> {
  if (record.tlsUrl === undefined) return {};
  if (record.caFile === undefined) {
    note("The server's certificate is your own: clients must know its issuer already.");
    return {};
  }
  return trustVariables({ caFile: record.caFile, dataDir, env: io.env, note });
}

/** A token belongs to one access key, and would spoil every request beside another. */
function warnOfTokens({ env }: Io, note: Note): void {
  for (const name of ['AGENTRUN_SECURITY_TOKEN', 'ALIBABA_CLOUD_SECURITY_TOKEN']) {
    if (env[name]) note(`${name} is set here, and clients would send it beside the key above: unset ${name}`);
  }
}
