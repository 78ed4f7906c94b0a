import { createServer, type Server } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';

/** For the whole handshake, from the connection on. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

const CONNECTIONS = {
  noDelay: true,
  // Whoever closes one direction is answered by ours being closed, not by a reset.
  allowHalfOpen: true,
} as const;

/** What every certificate is served with, also one that came later. */
export const TLS_RULES = { minVersion: 'TLSv1.2' } as const satisfies SecureContextOptions;

export function plainServer(): Server {
  return createServer(CONNECTIONS);
}

export function tlsServer(
  certificate: { cert: string; key: string },
  handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS,
): TlsServer {
  return createTlsServer({
    ...CONNECTIONS,
    ...TLS_RULES,
    ...certificate,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: handshakeTimeoutMs,
  });
}
