import type { Config } from '../config.ts';

/** What a gateway needs of the configuration; plain JSON, since it crosses to another process. */
export type GatewaySettings = Pick<
  Config,
  | 'host'
  | 'port'
  | 'publicUrl'
  | 'allowHosts'
  | 'allowOrigins'
  | 'queueLength'
  | 'queueTimeoutMs'
  | 'bodyLimitBytes'
>;

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
 * @example env[SETTINGS_VARIABLE] = JSON.stringify(gatewayProcessSettings(config, controlSocket))
 */
export function gatewayProcessSettings(config: Config, controlSocket: string): GatewayProcessSettings {
  return {
    host: config.host,
    port: config.port,
    publicUrl: config.publicUrl,
    allowHosts: config.allowHosts,
    allowOrigins: config.allowOrigins,
    queueLength: config.queueLength,
    queueTimeoutMs: config.queueTimeoutMs,
    bodyLimitBytes: config.bodyLimitBytes,
    logLevel: config.logLevel,
    controlSocket,
  };
}
