/**
 * Settings of a client or of one call. Everything is optional: what is not given comes from environment variables
 * (`environment.ts`), then from the server on this machine, then from defaults. An empty string counts as not given.
 */
export interface Config {
  /** A Runstead key (`rsk_…`), sent as `Authorization: Bearer`. `RUNSTEAD_API_KEY`. */
  apiKey?: string | undefined;
  /** Control and data endpoint in one. `RUNSTEAD_BASE_URL`. */
  baseUrl?: string | undefined;
  /** `AGENTRUN_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_ID`. Requests are signed with it. */
  accessKeyId?: string | undefined;
  /** `AGENTRUN_ACCESS_KEY_SECRET`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET`. */
  accessKeySecret?: string | undefined;
  /** Belongs to a temporary access key. `AGENTRUN_SECURITY_TOKEN`, `ALIBABA_CLOUD_SECURITY_TOKEN`. */
  securityToken?: string | undefined;
  /** `AGENTRUN_ACCOUNT_ID`, `FC_ACCOUNT_ID`. Needed only for the cloud's own data endpoint. */
  accountId?: string | undefined;
  /** `AGENTRUN_REGION`, `FC_REGION`. Default `cn-hangzhou`. */
  regionId?: string | undefined;
  /** `AGENTRUN_CONTROL_ENDPOINT`. Default `https://agentrun.{region}.aliyuncs.com`. Plain `http` is allowed. */
  controlEndpoint?: string | undefined;
  /**
   * `AGENTRUN_DATA_ENDPOINT`. Default: the control endpoint, unless that is the cloud's; then
   * `https://{account}.agentrun-data.{region}.aliyuncs.com`.
   */
  dataEndpoint?: string | undefined;
  /** Sent as `Agentrun-Access-Token` on the data plane, in place of any other credential there. */
  token?: string | undefined;
  /** Added to every request; wins over the headers the client sets itself. */
  headers?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * Milliseconds until the whole answer is there; for streams, until it begins. Default 600 000.
   * `Infinity`: no limit.
   */
  timeout?: number | undefined;
  /** Milliseconds a stream may stay silent. Default: the same as `timeout`. */
  readTimeout?: number | undefined;
  /**
   * How often a call is made again, from 0; where that is safe, and not beyond `timeout`. Default 2.
   */
  maxRetries?: number | undefined;
  /** Ends the call with an `AbortError`. */
  signal?: AbortSignal | undefined;
  /** Used in place of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Where to log, such as `console`, pino, winston or consola. Default: `console`, once `logLevel` is set. */
  logger?: Logger | undefined;
  /**
   * `RUNSTEAD_LOG`. `debug` shows requests and answers, without secrets; `info` what is tried again; `warn` what went
   * wrong and was mended. Default `off`; with a `logger`, `info`.
   */
  logLevel?: LogLevel | undefined;
  /**
   * Keys in a page can be read by everybody who opens it, so they are refused in browsers; a `token` is not. Default
   * `false`.
   */
  dangerouslyAllowBrowser?: boolean | undefined;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'off';

/** Each line is one text, which every logger takes. */
export interface Logger {
  debug(line: string): unknown;
  info(line: string): unknown;
  warn(line: string): unknown;
  error(line: string): unknown;
}

/** Of a call that makes something. */
export interface CreateConfig extends Config {
  /**
   * Sent as `Idempotency-Key`. A server that honours it does the work once for one key, however often it is asked, which
   * is also what makes creates safe to repeat. Default: one made for the call, where the server is known to honour it.
   */
  idempotencyKey?: string | undefined;
}

/** Settings as somebody gave them, one layer or several merged: no empty values, `baseUrl` split in two. */
export type GivenConfig = Omit<Config, 'baseUrl' | 'headers'> & { headers?: Record<string, string> };

/**
 * Later layers win, field by field, and only by what they themselves give; headers are merged by name.
 * A credential is replaced as a whole: a key of one layer and a token of another do not belong together.
 */
export function mergeConfigs(...layers: (Config | undefined)[]): GivenConfig {
  let merged: GivenConfig = {};
  for (const layer of layers) {
    if (!layer) continue;
    const given = givenBy(layer);
    if (given.apiKey !== undefined || given.accessKeyId !== undefined) {
      const { apiKey, accessKeyId, accessKeySecret, securityToken, ...rest } = merged;
      merged = rest;
    }
    merged = { ...merged, ...given, headers: { ...merged.headers, ...given.headers } };
  }
  return merged;
}

function givenBy(layer: Config): GivenConfig {
  const { baseUrl, headers, ...fields } = layer;
  const given: Record<string, unknown> = {};
  for (const [name, raw] of Object.entries({ controlEndpoint: baseUrl, dataEndpoint: baseUrl })) {
    if (isGiven(raw)) given[name] = raw.trim();
  }
  for (const [name, raw] of Object.entries(fields)) {
    // Surrounding white space is what a key read from a file brings along.
    if (isGiven(raw)) given[name] = typeof raw === 'string' ? raw.trim() : raw;
  }
  const names: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value !== undefined) names[name.toLowerCase()] = value;
  }
  return { ...given, headers: names };
}

function isGiven<T>(value: T): value is NonNullable<T> {
  return value !== undefined && value !== null && !(typeof value === 'string' && value.trim() === '');
}
