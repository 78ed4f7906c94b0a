import { readLocalServer } from '#local-server';
import { type Config, mergeConfigs } from '../config/config.ts';
import { currentEnvironment, readEnvironment } from '../config/environment.ts';
import { type Plane, resolveTarget, type Target } from '../config/target.ts';
import { ValueError } from '../errors.ts';

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
  /** What must not appear in messages. */
  secrets: string[];
}

const DEFAULT_TIMEOUT_MS = 600_000;

/** @throws ValueError for settings that cannot be used or do not suffice for this plane */
export function resolveCall(plane: Plane, ...layers: (Config | undefined)[]): CallSettings {
  const given = mergeConfigs(...layers);
  const target = resolveTarget(plane, given, readEnvironment(currentEnvironment()), readLocalServer);
  const headers = checkedHeaders(given.headers ?? {});
  const timeoutMs = checkedTimeout('timeout', given.timeout) ?? DEFAULT_TIMEOUT_MS;
  return {
    target,
    headers,
    timeoutMs,
    readTimeoutMs: checkedTimeout('readTimeout', given.readTimeout) ?? timeoutMs,
    signal: given.signal,
    fetch: given.fetch,
    secrets: secretsOf(target, headers),
  };
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
