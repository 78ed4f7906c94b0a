import { type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import type { EngineAddress } from '../../domain/engine-address.ts';

/** The engine has answered, and refuses. `message` is what it says, in one line. */
export class EngineRefusal extends Error {
  override readonly name = 'EngineRefusal';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** No engine answers. `message` says where it was looked for and what to do. */
export class EngineAbsent extends Error {
  override readonly name = 'EngineAbsent';
}

export interface EngineCall {
  query?: Record<string, string | undefined>;
  /** Sent as JSON; a stream is sent as it comes, as a tar archive. */
  body?: object | Readable;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Between two bytes of an answer; default 30 s. 0: for ever. */
  silenceMs?: number;
}

/** What can be relied on of the engine that answers; asked once for each connection to it. */
export interface EngineFacts {
  isPodman: boolean;
  /** Root in a container is the user who runs the engine. */
  isRootless: boolean;
  cpus: number;
  /** As in an image's configuration: `amd64`, `arm64`. */
  architecture: string;
}

export type Engine = ReturnType<typeof createEngine>;

const SILENCE_MS = 30_000;
/** Nobody answers in more bytes than this what is read whole. */
const ANSWER_LIMIT = 64 * 1024 * 1024;

/**
 * The HTTP interface of Docker, which Podman serves as well, at the first of several addresses that answers. Paths
 * bear no version: each engine then speaks its newest, and those that have given up old ones are not in the way.
 */
export function createEngine(addresses: readonly EngineAddress[]) {
  let found: Promise<{ address: EngineAddress; facts: EngineFacts }> | undefined;

  /** Whoever answered is asked again; when it is gone, all are. */
  function connected() {
    found ??= find().catch((error: unknown) => {
      found = undefined;
      throw error;
    });
    return found;
  }

  async function find() {
    const seen: string[] = [];
    for (const address of addresses) {
      try {
        return { address, facts: await factsOf(address) };
      } catch (error) {
        const { code = '', message } = error as NodeJS.ErrnoException;
        seen.push(`${address.name} (${WHY[code] ?? message})`);
      }
    }
    const where = seen.length > 0 ? `; looked at ${seen.join(', ')}` : '';
    throw new EngineAbsent(`${ABSENT}${where}. ${ADVICE}`);
  }

  /** Resolves when the head of the answer is there. @throws EngineRefusal, EngineAbsent, the signal's reason */
  async function open(method: string, path: string, call: EngineCall = {}): Promise<IncomingMessage> {
    const { address } = await connected();
    let answer: IncomingMessage;
    try {
      answer = await send(address, method, path, call);
    } catch (error) {
      call.signal?.throwIfAborted();
      found = undefined;
      const { code = '', message } = error as NodeJS.ErrnoException;
      throw new EngineAbsent(
        `the container engine at ${address.name} does not answer (${WHY[code] ?? message}). ` +
          'Start it again; agents in containers can be started as soon as it is back',
        { cause: error },
      );
    }
    const { statusCode = 0 } = answer;
    if (statusCode < 400) return answer;
    const text = await readWhole(answer).catch(() => '');
    throw new EngineRefusal(statusCode, refusalIn(text) ?? `HTTP ${statusCode}`);
  }

  /** @returns the answer read as JSON; undefined when it is empty */
  async function ask<T>(method: string, path: string, call: EngineCall = {}): Promise<T> {
    const answer = await open(method, path, call);
    try {
      const text = await readWhole(answer);
      return (text.trim() === '' ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      call.signal?.throwIfAborted();
      throw new EngineAbsent(`the container engine broke off its answer: ${(error as Error).message}`);
    }
  }

  return { open, ask, facts: async () => (await connected()).facts };
}

const ABSENT = 'no container engine answers, so container images cannot be run';
const ADVICE =
  'Install Docker, or Podman with its socket (systemctl enable --now podman.socket), or name the socket with ' +
  'RUNSTEAD_DOCKER_HOST; or deploy the code as a package';

const WHY: Record<string, string> = {
  ENOENT: 'not there',
  ECONNREFUSED: 'nobody listens',
  EACCES: 'this user may not use it',
  ECONNRESET: 'the connection broke',
};

async function factsOf(address: EngineAddress): Promise<EngineFacts> {
  const read = async <T>(path: string) =>
    JSON.parse(await readWhole(await send(address, 'GET', path, { silenceMs: 5000 }))) as T;
  const version = await read<{ Components?: { Name: string }[]; Arch: string }>('/version');
  const info = await read<{ NCPU: number; Rootless?: boolean; SecurityOptions?: string[] }>('/info');
  return {
    isPodman: version.Components?.some(({ Name }) => /podman/i.test(Name)) ?? false,
    isRootless: info.Rootless === true || (info.SecurityOptions ?? []).some((it) => /rootless/.test(it)),
    cpus: info.NCPU,
    architecture: version.Arch,
  };
}

function send(
  address: EngineAddress,
  method: string,
  path: string,
  { query = {}, body, headers = {}, signal, silenceMs = SILENCE_MS }: EngineCall,
): Promise<IncomingMessage> {
  const given = Object.entries(query).filter((it): it is [string, string] => it[1] !== undefined);
  const search = given.length > 0 ? `?${new URLSearchParams(given)}` : '';
  const isStream = body !== undefined && 'pipe' in body;
  const text = body !== undefined && !isStream ? JSON.stringify(body) : undefined;
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...address.target,
      method,
      path: path + search,
      headers: {
        ...(text !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        }),
        ...(isStream && { 'content-type': 'application/x-tar' }),
        ...headers,
      },
      ...(signal && { signal }),
    });
    if (silenceMs > 0) {
      outgoing.setTimeout(silenceMs, () => {
        outgoing.destroy(new Error(`silent for ${silenceMs / 1000} s`));
      });
    }
    outgoing.once('error', reject);
    outgoing.once('response', resolve);
    if (!isStream) outgoing.end(text);
    else {
      body.once('error', (error: Error) => outgoing.destroy(error));
      body.pipe(outgoing);
    }
  });
}

async function readWhole(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > ANSWER_LIMIT) throw new Error('the answer is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function refusalIn(text: string): string | undefined {
  try {
    const { message, cause } = JSON.parse(text) as { message?: string; cause?: string };
    return (message ?? cause)?.replaceAll(/\s+/g, ' ').trim();
  } catch {
    return text.trim() === '' ? undefined : text.replaceAll(/\s+/g, ' ').trim().slice(0, 500);
  }
}

/** The lines of an answer that is a series of JSON values, as they come. */
export async function* jsonLines(answer: IncomingMessage): AsyncGenerator<Record<string, unknown>> {
  let rest = '';
  const parse = (line: string) => (line.trim() === '' ? [] : [JSON.parse(line) as Record<string, unknown>]);
  answer.setEncoding('utf8');
  for await (const piece of answer as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield* parse(line);
  }
  yield* parse(rest);
}
