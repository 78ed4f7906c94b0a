import type { Logger, LogLevel } from '../config/config.ts';
import { ValueError } from '../errors.ts';
import { redact, redactBody, redactHeaders } from './redact.ts';

const levels = ['debug', 'info', 'warn', 'error', 'off'] as const satisfies readonly LogLevel[];
const MAX_BODY_CHARACTERS = 2000;

/** @throws ValueError for a level that is none */
export function checkedLevel(name: string, level: string | undefined): LogLevel | undefined {
  if (level === undefined || (levels as readonly string[]).includes(level)) return level as LogLevel;
  throw new ValueError(`${name} must be one of ${levels.join(', ')}: ${level}`);
}

/** The log of one call. Lines cost nothing where their level is not wanted; a logger that throws ends no call. */
export class CallLog {
  readonly #logger: Logger;
  readonly #level: LogLevel;
  readonly #secrets: readonly string[];

  constructor(logger: Logger, level: LogLevel, secrets: readonly string[]) {
    this.#logger = logger;
    this.#level = level;
    this.#secrets = secrets;
  }

  request(
    method: string,
    url: URL,
    headers: Readonly<Record<string, string>>,
    body?: string | Uint8Array,
  ): void {
    this.#write('debug', () => {
      const sent = body === undefined ? '' : ` ${shownBody(body)}`;
      return `→ ${method} ${url.href} ${JSON.stringify(redactHeaders(headers))}${sent}`;
    });
  }

  response(method: string, url: URL, response: Response, milliseconds: number): void {
    this.#write(
      'debug',
      () =>
        `← ${response.status} ${method} ${url.href} after ${Math.round(milliseconds)} ms ` +
        JSON.stringify(redactHeaders(response.headers)),
    );
  }

  retry(method: string, url: URL, error: unknown, delayMs: number, retry: number, maxRetries: number): void {
    this.#write(
      'info',
      () =>
        `${method} ${url.href} is tried again in ${Math.round(delayMs)} ms (${retry} of ${maxRetries}): ` +
        (error as Error).message,
    );
  }

  info(line: () => string): void {
    this.#write('info', line);
  }

  warn(line: () => string): void {
    this.#write('warn', line);
  }

  #write(level: Exclude<LogLevel, 'off'>, line: () => string): void {
    if (levels.indexOf(level) < levels.indexOf(this.#level)) return;
    try {
      this.#logger[level](redact(`runstead: ${line()}`, this.#secrets));
    } catch {
      // What becomes of a line is the logger's own affair.
    }
  }
}

/** JSON without its secrets; anything else as its length, for nobody knows what stands in it. */
function shownBody(body: string | Uint8Array): string {
  try {
    const sent = typeof body === 'string' ? body : new TextDecoder().decode(body);
    const text = JSON.stringify(redactBody(JSON.parse(sent)));
    return text.length > MAX_BODY_CHARACTERS ? `${text.slice(0, MAX_BODY_CHARACTERS)}…` : text;
  } catch {
    return `<${body.length} ${typeof body === 'string' ? 'characters' : 'bytes'}>`;
  }
}
