import type { Config } from '../config.ts';
import type { CertificateFiles } from '../tls/certificate-files.ts';
import type { ListenPlan } from './listen-plan.ts';

/** Of the configuration, as it is. */
const TAKEN = [
  'publicUrl',
  'allowHosts',
  'allowOrigins',
  'tlsNames',
  'domains',
  'privateHosts',
  'privateNetworks',
  'anonymousCalls',
  'queueLength',
  'queueBytes',
  'queueBytesTotal',
  'queueTimeoutMs',
  'rateLimitRuntime',
  'rateLimitKey',
  'bodyLimitBytes',
] as const satisfies (keyof Config)[];

/** What a gateway needs of the configuration; plain JSON, since it crosses to another process. */
export interface GatewaySettings extends Pick<Config, (typeof TAKEN)[number]> {
  /** Of the plain listener. */
  host: string;
  port: number;
  /** Absent: TLS is off. */
  tls?: TlsSettings | undefined;
}

export interface TlsSettings extends CertificateFiles {
  host: string;
  port: number;
}

/** The variable in which the parent hands a gateway process its settings, as JSON. */
export const SETTINGS_VARIABLE = 'RUNSTEAD_GATEWAY_SETTINGS';

/** The JSON value of `RUNSTEAD_GATEWAY_SETTINGS`. */
export interface GatewayProcessSettings extends GatewaySettings {
  /** Path of the control process's unix socket. */
  controlSocket: string;
  logLevel: Config['logLevel'];
}

/**
 * Takes from the configuration what a gateway process is given.
 * @example env[SETTINGS_VARIABLE] = JSON.stringify(gatewayProcessSettings(config, plan, certificate, controlSocket))
 */
export function gatewayProcessSettings(
  config: Config,
  { plain, tls }: ListenPlan,
  certificate: CertificateFiles | undefined,
  controlSocket: string,
): GatewayProcessSettings {
  const taken = Object.fromEntries(TAKEN.map((name) => [name, config[name]])) as Pick<
    Config,
    (typeof TAKEN)[number]
  >;
  return {
    ...taken,
    ...plain,
    ...(tls && certificate && { tls: { ...tls, ...certificate } }),
    logLevel: config.logLevel,
    controlSocket,
  };
}
