import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';

/**
 * What an installer sees: its own home, and from the server only what reaching a registry needs. The operator's own
 * settings for the package manager are added by whoever runs it; a package's settings never are, as they could read
 * this environment.
 */
export function installEnvironment(home: string, toolFolders: readonly string[]): Record<string, string> {
  return {
    PATH: [...toolFolders, process.env.PATH ?? '/usr/bin:/bin'].join(delimiter),
    HOME: home,
    TMPDIR: home,
    LANG: 'C.UTF-8',
    ...fromServer(FOR_THE_NETWORK),
  };
}

const FOR_THE_NETWORK = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/**
 * What of an environment may be seen by code that came with a package: no address with a name and password in it.
 */
export function fitForStrangers(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => !/:\/\/[^/\s@]+@/.test(value)));
}

/** Those of the server's variables that are set. */
export function fromServer(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** npm's settings are read by pnpm and Yarn too. */
export function npmSettings(): Record<string, string> {
  return {
    npm_config_update_notifier: 'false',
    npm_config_userconfig: process.env.NPM_CONFIG_USERCONFIG ?? join(homedir(), '.npmrc'),
    // By itself npm sits for half a minute in front of a registry that refuses it.
    npm_config_fetch_retry_mintimeout: '500',
    npm_config_fetch_retry_maxtimeout: '3000',
    ...fromServer([
      'npm_config_registry',
      'npm_config_fetch_retries',
      'npm_config_fetch_retry_mintimeout',
      'npm_config_fetch_retry_maxtimeout',
      'npm_config_fetch_timeout',
    ]),
  };
}

/**
 * Why a package manager reached no registry, when that is what it says; its own words are about packages that are not
 * there.
 * @param whose settings name the registry
 */
export function unreached(lines: readonly string[], whose: string): string | undefined {
  const found = lines.flatMap((line) => NO_CONNECTION.find(([pattern]) => pattern.test(line))?.[1] ?? [])[0];
  return (
    found &&
    `the package registry could not be reached: ${found}; its address is in ${whose} settings on the server`
  );
}

const NO_CONNECTION: readonly [RegExp, string][] = [
  [/\bECONNREFUSED\b|Connection refused|actively refused/i, 'the connection was refused'],
  [
    /\bENOTFOUND\b|\bEAI_AGAIN\b|Name or service not known|name resolution|nodename nor servname/i,
    'its name is not known',
  ],
  [/\bETIMEDOUT\b|\bERR_SOCKET_TIMEOUT\b|ConnectTimeoutError|Read timed out/i, 'it did not answer in time'],
  [/\bECONNRESET\b|Connection reset|RemoteDisconnected|socket hang up/i, 'it broke the connection off'],
];

/** pnpm and Yarn may be corepack's: it is not to fetch and run the release that a package names. */
export function corepackSettings(cacheDir: string): Record<string, string> {
  return { COREPACK_ENABLE_PROJECT_SPEC: '0', COREPACK_HOME: join(cacheDir, 'corepack') };
}

/** pip's own settings as the operator has them; HOME being another, its file is named. */
export function pipSettings(): Record<string, string> {
  const file = [
    process.env.XDG_CONFIG_HOME && join(process.env.XDG_CONFIG_HOME, 'pip', 'pip.conf'),
    join(homedir(), '.config', 'pip', 'pip.conf'),
    join(homedir(), 'Library', 'Application Support', 'pip', 'pip.conf'),
    join(homedir(), '.pip', 'pip.conf'),
  ].find((path) => path && existsSync(path));
  return { ...(file && { PIP_CONFIG_FILE: file }), ...fromServer(FOR_PIP) };
}

const FOR_PIP = [
  'PIP_CONFIG_FILE',
  'PIP_INDEX_URL',
  'PIP_EXTRA_INDEX_URL',
  'PIP_FIND_LINKS',
  'PIP_NO_INDEX',
  'PIP_TRUSTED_HOST',
  'PIP_CERT',
  'PIP_CLIENT_CERT',
  'PIP_PROXY',
  'PIP_TIMEOUT',
  'PIP_DEFAULT_TIMEOUT',
  'PIP_RETRIES',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
];

export function uvSettings(): Record<string, string> {
  return fromServer([
    'UV_CONFIG_FILE',
    'UV_DEFAULT_INDEX',
    'UV_INDEX',
    'UV_INDEX_URL',
    'UV_EXTRA_INDEX_URL',
    'UV_FIND_LINKS',
    'UV_OFFLINE',
    'UV_INSECURE_HOST',
    'UV_NATIVE_TLS',
    'UV_SYSTEM_CERTS',
    'UV_HTTP_TIMEOUT',
  ]);
}

/** The first program of a name on the server's PATH, after the folders given. */
export function findTool(name: string, before: readonly string[] = []): string | undefined {
  const folders = [...before, ...(process.env.PATH ?? '').split(delimiter).filter(isAbsolute)];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** Node's own package managers mostly lie beside it. */
export function findNodeTool(name: string): string | undefined {
  return findTool(name, [dirname(process.execPath)]);
}

/** So that the tools' scripts are run by the server's own Node. */
export function nodeFolders(tool: string): string[] {
  return [dirname(process.execPath), dirname(tool)];
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
