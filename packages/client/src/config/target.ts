import { ValueError } from '../errors.ts';
import type { GivenConfig } from './config.ts';
import { type EnvironmentSettings, environmentVariables } from './environment.ts';
import type { LocalServer } from './local-server.ts';

/** Where a request goes and as whom: settings, environment and local server resolved for one plane. */
export interface Target {
  /** Scheme, host and perhaps a path prefix; no slash at the end. */
  baseUrl: string;
  credential: Credential;
  regionId: string;
}

export type Plane = 'control' | 'data';

export type Credential =
  | { kind: 'none' }
  | { kind: 'apiKey'; apiKey: string }
  | { kind: 'accessToken'; token: string }
  | { kind: 'accessKey'; accessKeyId: string; accessKeySecret: string; securityToken?: string };

const DEFAULT_REGION = 'cn-hangzhou';

/**
 * Two rules about secrets stand above the order of settings: the local key goes to loopback addresses only, and a
 * Runstead key is never sent to the cloud.
 * @throws ValueError for settings that cannot be used or do not suffice
 */
export function resolveTarget(
  plane: Plane,
  given: GivenConfig,
  environment: EnvironmentSettings,
  readLocalServer: () => LocalServer,
): Target {
  const regionId = given.regionId ?? environment.regionId ?? DEFAULT_REGION;
  let credential = chooseCredential(plane, given, environment);
  let local: LocalServer | undefined;
  let endpoint = chooseEndpoint(plane, given, environment);
  // A key of the cloud means the cloud; without one, the server on this machine comes first. A token says nothing of that.
  const mayBeLocal = chooseCredential('control', given, environment).kind !== 'accessKey';
  if (endpoint === undefined && mayBeLocal && !knowsAnyEndpoint(given, environment)) {
    local = readLocalServer();
    if (local.url !== undefined) endpoint = { url: local.url, setting: "the local server's address" };
  }
  endpoint ??= { url: cloudEndpoint(plane, regionId, given, environment), setting: 'the default endpoint' };

  const url = parseEndpoint(endpoint.url, endpoint.setting);
  if (isCloudHost(url.hostname) && credential.kind === 'apiKey') {
    if (given.apiKey !== undefined) {
      throw new ValueError(
        `apiKey is for a Runstead server and is not sent to ${url.hostname}: set baseUrl or RUNSTEAD_BASE_URL`,
      );
    }
    const { apiKey, ...others } = environment;
    credential = chooseCredential(plane, given, others);
  }
  if (credential.kind === 'none' && isLoopback(url.hostname)) {
    const apiKey = (local ?? readLocalServer()).apiKey;
    if (apiKey !== undefined) credential = { kind: 'apiKey', apiKey };
  }
  if (
    plane === 'control' &&
    credential.kind === 'none' &&
    isCloudHost(url.hostname) &&
    given.headers?.authorization === undefined
  ) {
    throw new ValueError(
      'no credentials are known: start a server on this machine (runstead serve), or set RUNSTEAD_BASE_URL and ' +
        'RUNSTEAD_API_KEY, or AGENTRUN_ACCESS_KEY_ID and AGENTRUN_ACCESS_KEY_SECRET',
    );
  }
  return { baseUrl: url.href.replace(/\/+$/, ''), credential: checked(credential), regionId };
}

function chooseCredential(plane: Plane, given: GivenConfig, environment: EnvironmentSettings): Credential {
  if (plane === 'data' && given.token !== undefined) return { kind: 'accessToken', token: given.token };
  if (given.apiKey !== undefined) return { kind: 'apiKey', apiKey: given.apiKey };

  const keyGiven = given.accessKeyId !== undefined || given.accessKeySecret !== undefined;
  if (!keyGiven && environment.apiKey !== undefined) return { kind: 'apiKey', apiKey: environment.apiKey };

  const accessKeyId = given.accessKeyId ?? environment.accessKeyId;
  const accessKeySecret = given.accessKeySecret ?? environment.accessKeySecret;
  if (accessKeyId === undefined || accessKeySecret === undefined) {
    if (!keyGiven) return { kind: 'none' };
    const missing = accessKeyId === undefined ? 'accessKeyId' : 'accessKeySecret';
    throw new ValueError(`${missing} is missing: an access key is an id and a secret`);
  }
  // A token of the environment belongs to the environment's key; beside another key it would spoil every request.
  const environmentToken = given.accessKeyId === undefined ? environment.securityToken : undefined;
  const securityToken = given.securityToken ?? environmentToken;
  return {
    kind: 'accessKey',
    accessKeyId,
    accessKeySecret,
    ...(securityToken !== undefined && { securityToken }),
  };
}

interface Endpoint {
  url: string;
  /** For messages. */
  setting: string;
}

function chooseEndpoint(
  plane: Plane,
  given: GivenConfig,
  environment: EnvironmentSettings,
): Endpoint | undefined {
  const fromEnvironment = (setting: 'baseUrl' | 'controlEndpoint' | 'dataEndpoint'): Endpoint | undefined => {
    const url = environment[setting];
    return url === undefined ? undefined : { url, setting: environmentVariables[setting][0] };
  };
  const control =
    given.controlEndpoint !== undefined
      ? { url: given.controlEndpoint, setting: 'controlEndpoint or baseUrl' }
      : (fromEnvironment('baseUrl') ?? fromEnvironment('controlEndpoint'));
  if (plane === 'control') return control;

  if (given.dataEndpoint !== undefined)
    return { url: given.dataEndpoint, setting: 'dataEndpoint or baseUrl' };
  // RUNSTEAD_BASE_URL names one server for both planes: where the control endpoint is another one, it says nothing.
  const base = given.controlEndpoint === undefined ? fromEnvironment('baseUrl') : undefined;
  const data = base ?? fromEnvironment('dataEndpoint');
  if (data !== undefined) return data;
  if (control === undefined) return undefined;
  return isCloudHost(parseEndpoint(control.url, control.setting).hostname) ? undefined : control;
}

function knowsAnyEndpoint(given: GivenConfig, environment: EnvironmentSettings): boolean {
  return (
    (given.controlEndpoint ??
      given.dataEndpoint ??
      environment.baseUrl ??
      environment.controlEndpoint ??
      environment.dataEndpoint) !== undefined
  );
}

function cloudEndpoint(
  plane: Plane,
  regionId: string,
  given: GivenConfig,
  environment: EnvironmentSettings,
): string {
  // Both become part of a host name: anything else in them would send the request to another host.
  if (!/^[a-z0-9-]+$/i.test(regionId)) throw new ValueError(`regionId is not a region: ${regionId}`);
  if (plane === 'control') return `https://agentrun.${regionId}.aliyuncs.com`;
  const accountId = given.accountId ?? environment.accountId;
  if (accountId === undefined) {
    throw new ValueError(
      'the data endpoint is not known: set accountId (AGENTRUN_ACCOUNT_ID), dataEndpoint (AGENTRUN_DATA_ENDPOINT) ' +
        'or baseUrl (RUNSTEAD_BASE_URL)',
    );
  }
  if (!/^[a-z0-9-]+$/i.test(accountId)) throw new ValueError(`accountId is not an account: ${accountId}`);
  return `https://${accountId}.agentrun-data.${regionId}.aliyuncs.com`;
}

/** Without a scheme: https, as the official clients have it, but http for this machine. */
function parseEndpoint(text: string, setting: string): URL {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  let url: URL;
  try {
    url = new URL(hasScheme ? text : `https://${text}`);
    if (!hasScheme && isLoopback(url.hostname)) url = new URL(`http://${text}`);
  } catch {
    throw new ValueError(`${setting} is not a URL`);
  }
  // The value stays out of these messages: it may hold a password.
  if (url.username !== '' || url.password !== '') {
    throw new ValueError(`${setting} must not hold a user name or password`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ValueError(`${setting} must begin with http:// or https://`);
  }
  if (url.search !== '' || url.hash !== '')
    throw new ValueError(`${setting} must not have a query or fragment`);
  return url;
}

/** This machine: `localhost`, 127.0.0.0/8 or ::1, in the form a URL parser leaves them. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}

function isCloudHost(hostname: string): boolean {
  return hostname === 'aliyuncs.com' || hostname.endsWith('.aliyuncs.com');
}

/** Fetch would put a credential it cannot send into the text of its error; this names the setting only. */
function checked(credential: Credential): Credential {
  for (const [name, value] of Object.entries(credential)) {
    if (!/^[\x21-\x7e]+$/.test(value))
      throw new ValueError(`${name} holds characters that no such value has`);
  }
  return credential;
}
