import { createHash } from 'node:crypto';
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
  'trustProxy',
  'traceSampled',
  'agentHosts',
  'anonymousCalls',
  'queueLength',
  'queueBytes',
  'queueBytesTotal',
  'queueTimeoutMs',
  'rateLimitRuntime',
  'rateLimitKey',
  'bodyLimitBytes',
  'accessLog',
  'accessLogShare',
  'accessLogFile',
  'gatewayWaitMs',
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
  /** Path of the control process's unix socket; the same for the next control process. */
  controlSocket: string;
  /** Path of the unix socket on which the gateway listens for control processes; its own. */
  feedSocket: string;
  /** Of all but the ports and what belongs to one gateway alone: two gateways with the same are alike. */
  settingsDigest: string;
  logLevel: Config['logLevel'];
}

/**
 * Takes from the configuration what a gateway process is given.
 * @example env[SETTINGS_VARIABLE] = JSON.stringify({ ...gatewayProcessSettings(config, plan, certificate, controlSocket), feedSocket })
 */
export function gatewayProcessSettings(
  config: Config,
  { plain, tls }: ListenPlan,
  certificate: CertificateFiles | undefined,
  controlSocket: string,
): Omit<GatewayProcessSettings, 'feedSocket'> {
  const taken = Object.fromEntries(TAKEN.map((name) => [name, config[name]])) as Pick<
    Config,
    (typeof TAKEN)[number]
  >;
  const { certFile, keyFile } = certificate ?? { certFile: '', keyFile: '' };
  const settings = {
    ...taken,
    ...plain,
    ...(tls && certificate && { tls: { ...tls, certFile, keyFile } }),
    logLevel: config.logLevel,
    controlSocket,
  };
  return { ...settings, settingsDigest: digestOf(settings) };
}

/** The ports are left out: where 0 was asked for, any is as good. */
function digestOf({ port: _, tls, ...rest }: Omit<GatewayProcessSettings, 'feedSocket' | 'settingsDigest'>) {
  const text = JSON.stringify({ ...rest, tls: tls && { ...tls, port: undefined } });
  return createHash('sha256').update(text).digest('hex');
}
