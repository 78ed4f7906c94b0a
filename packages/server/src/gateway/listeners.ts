import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { GatewayRequest } from './upgrade.ts';

/** Node's default; stated because it would follow `requestTimeout`, which is off. */
const HEADERS_TIMEOUT_MS = 60_000;
/** Longer than the pools of common clients keep a connection, so that it is they who close it. */
const CLIENT_KEEP_ALIVE_MS = 75_000;
/** For the whole handshake, from the connection on. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

const REQUESTS = {
  IncomingMessage: GatewayRequest,
  // Checked by ourselves, so that the refusal has the form of all others.
  requireHostHeader: false,
  // A request's body may take as long as it needs; only its head is limited in time.
  requestTimeout: 0,
  headersTimeout: HEADERS_TIMEOUT_MS,
  keepAliveTimeout: CLIENT_KEEP_ALIVE_MS,
  noDelay: true,
} as const;

/** What every certificate is served with, also one that came later. */
export const TLS_RULES = { minVersion: 'TLSv1.2' } as const satisfies SecureContextOptions;

export function plainServer(): Server<typeof GatewayRequest> {
  return createServer(REQUESTS);
}

export function tlsServer(
  certificate: { cert: string; key: string },
  handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS,
): TlsServer<typeof GatewayRequest> {
  return createTlsServer({
    ...REQUESTS,
    ...TLS_RULES,
    ...certificate,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: handshakeTimeoutMs,
    // As for plain connections: one direction may end before the other.
    allowHalfOpen: true,
  });
}
