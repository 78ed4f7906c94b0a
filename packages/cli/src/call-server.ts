import { AgentRunError, AgentRuntimeClient, ConnectionError, HTTPError, ValueError } from '@runstead/client';
import { CommandError, type Flags, type Io } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { localServer } from './local-server.ts';

/**
 * A client for the server that a command is about: that of `--data`, else that of `RUNSTEAD_BASE_URL`, else the one on
 * this machine. Never the cloud, whatever else the environment holds.
 * @throws CommandError
 */
export function serverClient(flags: Flags, io: Io): AgentRuntimeClient {
  const { RUNSTEAD_BASE_URL: baseUrl, RUNSTEAD_API_KEY: apiKey } = io.env;
  if (baseUrl && flags.data === undefined) {
    if (!apiKey) {
      throw new CommandError(EXIT.auth, 'RUNSTEAD_API_KEY is needed beside RUNSTEAD_BASE_URL', {
        hint: 'Set it to a key of that server, or leave out RUNSTEAD_BASE_URL for the server on this machine.',
      });
    }
    return new AgentRuntimeClient({ baseUrl, apiKey });
  }
  const { dataDir, record, key } = localServer(flags, io);
  // The folder's own key: one of the environment may belong to another server.
  if (key.apiKey === undefined)
    throw new CommandError(EXIT.auth, `${dataDir}/local-key.json holds no key that can be read`);
  return new AgentRuntimeClient({ baseUrl: record.localUrl ?? record.url, apiKey: key.apiKey });
}

/** Waits for an answer and gives every failure its exit code and advice. */
export async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof AgentRunError ? explain(error) : error;
  }
}

function explain(error: AgentRunError): CommandError {
  const { message } = error;
  if (error instanceof ConnectionError) {
    const hint = 'Is the server running? Start it with "runstead serve".';
    return new CommandError(EXIT.unreachable, message, { code: 'ERR_UNREACHABLE', hint, cause: error });
  }
  if (error instanceof ValueError) return new CommandError(EXIT.usage, message, { cause: error });
  if (error instanceof HTTPError) {
    const { statusCode, errorCode: code, requestId } = error;
    const hint = statusCode === 401 ? 'Set RUNSTEAD_API_KEY to a key that this server knows.' : undefined;
    return new CommandError(exitCodeOf(statusCode), message, { code, hint, requestId, cause: error });
  }
  return new CommandError(EXIT.failed, message, { cause: error });
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.auth;
  if (status === 404) return EXIT.notFound;
  if (status === 400 || status === 422) return EXIT.usage;
  return EXIT.failed;
}
