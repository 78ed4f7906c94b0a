import { readLocalServer } from '#local-server';
import { refuseKeysInBrowsers } from '../config/browser.ts';
import { type Config, type GivenConfig, mergeConfigs } from '../config/config.ts';
import { currentEnvironment, environmentVariables, readEnvironment } from '../config/environment.ts';
import { type Plane, resolveTarget, type Target } from '../config/target.ts';
import { ValueError } from '../errors.ts';
import { CallLog, checkedLevel } from './call-log.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './retry.ts';

/** Everything one call needs to know, resolved when it is made. */
export interface CallSettings {
  target: Target;
  /** The caller's own, lower-case. */
  headers: Record<string, string>;
  /** Milliseconds, or Infinity. */
  timeoutMs: number;
  readTimeoutMs: number;
  signal: AbortSignal | undefined;
  /** The caller's own, if given. */
  fetch: typeof fetch | undefined;
  /** What must not appear in messages; a token that is fetched for the call comes in addition. */
  secrets: string[];
  retry: RetryPolicy;
  log: CallLog;
}

const DEFAULT_TIMEOUT_MS = 600_000;

/** @throws ValueError for settings that cannot be used or do not suffice for this plane */
export function resolveCall(plane: Plane, ...layers: (Config | undefined)[]): CallSettings {
  const given = mergeConfigs(...layers);
  const environment = readEnvironment(currentEnvironment());
  const target = resolveTarget(plane, given, environment, readLocalServer);
  if (given.dangerouslyAllowBrowser !== true) refuseKeysInBrowsers(target.credential);
  const headers = checkedHeaders(given.headers ?? {});
  const secrets = secretsOf(target, headers);
  const timeoutMs = checkedTimeout('timeout', given.timeout) ?? DEFAULT_TIMEOUT_MS;
  return {
    target,
    headers,
    timeoutMs,
    readTimeoutMs: checkedTimeout('readTimeout', given.readTimeout) ?? timeoutMs,
    signal: given.signal,
    fetch: given.fetch,
    secrets,
    retry: { ...DEFAULT_RETRY_POLICY, ...retriesOf(given) },
    log: new CallLog(given.logger ?? console, logLevelOf(given, environment.logLevel), secrets),
  };
}

/** Who calls and where: what belongs to one caller at one server is kept under it. Holds no secret of a key pair. */
export function identityOf({ target }: CallSettings): string {
  const { credential, baseUrl, regionId } = target;
  let who: string = credential.kind;
  if (credential.kind === 'apiKey') who += ` ${credential.apiKey}`;
  if (credential.kind === 'accessKey') who += ` ${credential.accessKeyId}`;
  return `${baseUrl} ${regionId} ${who}`;
}

function retriesOf({ maxRetries }: GivenConfig): Pick<RetryPolicy, 'maxRetries'> | undefined {
  if (maxRetries === undefined) return undefined;
  if (Number.isInteger(maxRetries) && maxRetries >= 0) return { maxRetries };
  throw new ValueError(`maxRetries must be a whole number from 0: ${maxRetries}`);
}

function logLevelOf(given: GivenConfig, ofEnvironment: string | undefined) {
  const standard = given.logger === undefined ? 'off' : 'info';
  return (
    checkedLevel('logLevel', given.logLevel) ??
    checkedLevel(environmentVariables.logLevel[0], ofEnvironment) ??
    standard
  );
}

function checkedTimeout(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value > 0) return value;
  throw new ValueError(`${name} must be a number of milliseconds above 0 (or Infinity): ${value}`);
}

/** Fetch would quote the value in its error. */
function checkedHeaders(headers: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    try {
      new Headers([[name, value]]);
    } catch {
      throw new ValueError(
        `the header ${JSON.stringify(name)} cannot be sent: its name or its value is not valid`,
      );
    }
  }
  return headers;
}

function secretsOf(target: Target, headers: Record<string, string>): string[] {
  const { credential } = target;
  const secrets: (string | undefined)[] = [];
  if (credential.kind === 'apiKey') secrets.push(credential.apiKey);
  if (credential.kind === 'accessToken') secrets.push(credential.token);
  if (credential.kind === 'accessKey') secrets.push(credential.accessKeySecret, credential.securityToken);
  for (const [name, value] of Object.entries(headers)) {
    if (/authorization|cookie|key|token|secret/.test(name)) secrets.push(value, value.replace(/^\S+\s+/, ''));
  }
  return secrets.filter((secret) => secret !== undefined && secret !== '') as string[];
}
