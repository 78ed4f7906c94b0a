import { type Config, ConfigError } from '../config.ts';
import { isLoopbackHost } from '../domain/loopback.ts';

/** Where a listener is to be. */
export interface ListenAddress {
  host: string;
  /** 0 picks a free one. */
  port: number;
}

export interface ListenPlan {
  plain: ListenAddress;
  /** Undefined: TLS is off. */
  tls: ListenAddress | undefined;
  /** Whether others than this machine can reach one of them. */
  beyondLoopback: boolean;
}

/** Where plain HTTP stays when only TLS goes beyond loopback. */
const PLAIN_HOST = '127.0.0.1';

/**
 * Decides which listener is bound where. Keys and answers cross a network in the clear only if somebody said so.
 * @throws ConfigError for a host beyond loopback with neither TLS nor consent
 */
export function planListeners(
  config: Pick<Config, 'host' | 'port' | 'tlsPort' | 'insecureHttp'>,
): ListenPlan {
  const { host, port, tlsPort, insecureHttp } = config;
  const beyondLoopback = !isLoopbackHost(host);
  if (beyondLoopback && tlsPort === undefined && !insecureHttp) {
    throw new ConfigError(
      `--host must be a loopback address such as 127.0.0.1 or ::1 while TLS is off; got "${host}". ` +
        'Turn TLS on with --tls-port 7443, or let everybody on the way read keys and answers with --insecure-http',
    );
  }
  return {
    plain: { host: beyondLoopback && !insecureHttp ? PLAIN_HOST : host, port },
    tls: tlsPort === undefined ? undefined : { host, port: tlsPort },
    beyondLoopback,
  };
}
