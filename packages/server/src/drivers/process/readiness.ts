import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { HealthCheckConfiguration } from '@runstead/contract';

export type Host = '127.0.0.1' | '::1';
export const HOSTS: Host[] = ['127.0.0.1', '::1'];

/** One look at an agent. */
export interface Attempt {
  ok: boolean;
  /** Whether something accepted a connection. */
  isOpen: boolean;
  /** What was seen, for a person: `HTTP 503`, `connection refused`. */
  detail: string;
  host: Host;
  /** What came behind the head of a 2xx answer, where it was to be read. */
  body?: string;
}

const DEFAULT_TIMEOUT_S = 3;
/** An agent that speaks no HTTP is taken for well when it keeps a connection open for this long. */
const HOLD_MS = 1000;
/** Read of an answer at most, and at a time. */
const READ_LIMIT = 64 * 1024;
const PIECE_BYTES = 4096;
/** What is left of an answer after its status may take. */
const LINGER_MS = 1000;
/** Hardly any agent listens on the second host alone: it is tried in so many looks once. */
const OTHER_HOST_EVERY = 4;

/**
 * The health rule: a 2xx on `httpGetUrl` if that is configured, else any HTTP answer to `GET /health`, else
 * a connection that stays open. Redirects are answers, not followed.
 * @param hosts tried in order until one accepts a connection
 * @param onOpen called when one does
 * @param part `body`: waits for the whole answer, for a second at most, and tells what is in it
 */
export async function checkHealth(
  hosts: Host[],
  port: number,
  health: HealthCheckConfiguration,
  timeoutMs = (health.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1000,
  onOpen: () => void = () => {},
  part: 'status' | 'body' = 'status',
): Promise<Attempt> {
  let attempt: Attempt | undefined;
  for (const host of hosts) {
    attempt = { ...(await ask(host, port, health.httpGetUrl, timeoutMs, onOpen, part)), host };
    if (attempt.isOpen) return attempt;
  }
  return attempt!;
}

/** The path that is asked, as it appears in messages. */
export function healthPath(health: HealthCheckConfiguration): string {
  return health.httpGetUrl ?? '/health';
}

/**
 * On a bare socket: what counts is the status line, or how long the connection lives, and an agent must get a look
 * every few milliseconds without an HTTP client's machinery.
 */
function ask(
  host: Host,
  port: number,
  path: string | undefined,
  timeoutMs: number,
  onOpen: () => void,
  part: 'status' | 'body',
): Promise<Omit<Attempt, 'host'>> {
  return new Promise((resolve) => {
    let isOpen = false;
    let isSettled = false;
    let text = '';
    let seen = 0;
    const started = performance.now();
    /** Nothing more that comes is of interest. */
    let hasWhole = part === 'status';
    const settle = (ok: boolean, detail: string) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      clearTimeout(hold);
      if (hasWhole || !ok) return resolve({ ok, isOpen, detail });
      socket.once('close', () => {
        hasWhole = true;
        resolve({ ok, isOpen, detail, body: bodyOf(text) });
      });
    };
    const finish = (ok: boolean, detail: string) => {
      settle(ok, detail);
      socket.destroy();
    };
    /** @returns whether to read on */
    const hear = (count: number, buffer: Uint8Array): boolean => {
      seen += count;
      const isFull = seen + PIECE_BYTES > READ_LIMIT;
      if (isSettled) {
        if (isFull) socket.destroy();
        if (!hasWhole && !isFull)
          text += Buffer.from(buffer.buffer, buffer.byteOffset, count).toString('latin1');
        return !isFull;
      }
      text += Buffer.from(buffer.buffer, buffer.byteOffset, count).toString('latin1');
      const status = finalStatus(text);
      if (status !== undefined) {
        settle(path === undefined || (status >= 200 && status < 300), `HTTP ${status}`);
        // The rest is read away, within bounds: an agent cut off in the middle of its answer would log an error.
        const end = setTimeout(() => socket.destroy(), LINGER_MS).unref();
        socket.once('close', () => clearTimeout(end)).unref();
      } else if (path !== undefined && (isFull || !'HTTP/1.'.startsWith(text.slice(0, 7)))) {
        finish(false, 'not an HTTP answer');
      }
      // Without a path it goes on counting how long the connection lives.
      return !isFull;
    };
    const socket = connect({
      host,
      port,
      noDelay: true,
      onread: { buffer: Buffer.allocUnsafeSlow(PIECE_BYTES), callback: hear },
    });
    const timer = setTimeout(
      () => finish(false, `no answer within ${Math.round(performance.now() - started)} ms`),
      timeoutMs,
    );
    let hold: NodeJS.Timeout | undefined;

    socket.on('connect', () => {
      isOpen = true;
      onOpen();
      socket.write(
        `GET ${path ?? '/health'} HTTP/1.1\r\nHost: localhost:${port}\r\nUser-Agent: runstead-health\r\n` +
          'Accept: */*\r\nConnection: close\r\n\r\n',
      );
      if (path === undefined) hold = setTimeout(() => finish(true, 'the port accepts connections'), HOLD_MS);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      settle(false, error.code === 'ECONNREFUSED' ? 'connection refused' : (error.code ?? error.message));
    });
    socket.on('close', () => settle(false, 'connection closed without an answer'));
  });
}

/** What is behind the head of the final answer, with the marks of chunks taken out. */
function bodyOf(text: string): string {
  const end = /\r?\n\r?\n/.exec(text);
  if (!end) return '';
  const body = text.slice(end.index + end[0].length);
  if (/^HTTP\/1\.[01] 1\d\d/.test(text)) return bodyOf(body);
  if (!/\r?\ntransfer-encoding:[^\n]*chunked/i.test(text.slice(0, end.index))) return body;
  let rest = body;
  let whole = '';
  for (;;) {
    const size = /^([0-9a-f]{1,8})[^\r\n]*\r?\n/i.exec(rest);
    const length = Number.parseInt(size?.[1] ?? '0', 16);
    if (!size || length === 0) return whole;
    whole += rest.slice(size[0].length, size[0].length + length);
    rest = rest.slice(size[0].length + length).replace(/^\r?\n/, '');
  }
}

/** Whether an agent says that it works on something, though it has no call: `{"status":"HealthyBusy"}`. */
export function saysBusy(body: string | undefined): boolean {
  if (body === undefined || !body.includes('HealthyBusy')) return false;
  try {
    return (JSON.parse(body) as { status?: unknown } | null)?.status === 'HealthyBusy';
  } catch {
    return false; // It says something else.
  }
}

/** The status of the first answer that is not an interim one (1xx); undefined while there is none. */
function finalStatus(text: string): number | undefined {
  let rest = text;
  for (;;) {
    const match = /^HTTP\/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n/.exec(rest);
    if (!match) return undefined;
    if (!match[1]!.startsWith('1')) return Number(match[1]);
    const end = rest.search(/\r?\n\r?\n/);
    if (end < 0) return undefined;
    rest = rest.slice(end).replace(/^\r?\n\r?\n/, '');
  }
}

/** What has been seen of an agent that is not ready yet. */
export interface Seen {
  attempts: number;
  /** The last attempt that got a connection; undefined when none did. */
  lastOpen: Attempt | undefined;
}

/**
 * Looks again and again until the agent is well: every 2 ms at first, later every fiftieth of the time it has already
 * taken, at most every 250 ms. What passes between two looks is time that the first caller waits for nothing.
 * @param input.seen kept up to date, for whoever ends the wait
 * @param input.onOpen called at every connection that is accepted
 * @param input.confirm a last word before an attempt counts; what it throws is passed on
 * @returns the attempt that succeeded; undefined when the time is over
 * @throws the signal's reason when aborted, at once.
 */
export async function waitUntilHealthy(input: {
  port: number;
  health: HealthCheckConfiguration;
  timeoutMs: number;
  signal: AbortSignal;
  seen: Seen;
  onOpen: () => void;
  confirm: (attempt: Attempt) => Promise<boolean>;
}): Promise<Attempt | undefined> {
  const { port, health, timeoutMs, signal, seen } = input;
  const started = performance.now();
  const perTryMs = (health.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1000;
  // A try may take seconds, and its agent may be gone before.
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  for (let round = 0; ; round++) {
    const leftMs = timeoutMs - (performance.now() - started);
    const tryMs = Math.max(1, Math.min(perTryMs, leftMs));
    const hosts = round % OTHER_HOST_EVERY === 0 ? HOSTS : HOSTS.slice(0, 1);
    const attempt = await Promise.race([checkHealth(hosts, port, health, tryMs, input.onOpen), aborted]);
    signal.throwIfAborted();
    seen.attempts++;
    // A last try that got less than its time says nothing about the agent, if an earlier one did.
    const isFair = tryMs === perTryMs || attempt?.detail.startsWith('HTTP ');
    if (attempt?.isOpen && (isFair || !seen.lastOpen)) seen.lastOpen = attempt;
    if (attempt?.ok && (await input.confirm(attempt))) return attempt;
    const takenMs = performance.now() - started;
    if (takenMs >= timeoutMs) return undefined;
    const pauseMs = Math.min(250, Math.max(2, takenMs / 50), timeoutMs - takenMs);
    await delay(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
