import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** A request without its body, as plain values: what the steps before forwarding may know of it. */
export interface RequestHead {
  method: string;
  /** The request target, byte for byte. */
  target: string;
  /** Names and values by turns, in the order and spelling of the wire; names may repeat. */
  fields: readonly string[];
  /** Address of the caller's end of the connection. */
  peer: string;
  /** Address of our end of it. */
  local: string;
  /** Whether it came over TLS. */
  secure: boolean;
}

export function readHead(request: IncomingMessage): RequestHead {
  return {
    method: request.method ?? 'GET',
    target: request.url ?? '/',
    fields: request.rawHeaders,
    peer: request.socket.remoteAddress ?? 'unknown',
    local: request.socket.localAddress ?? 'unknown',
    secure: (request.socket as Partial<TLSSocket>).encrypted === true,
  };
}

/** All values of a field, in order. @param name in lower case */
export function fieldValues(fields: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at]!;
    if (field.length === name.length && field.toLowerCase() === name) values.push(fields[at + 1]!);
  }
  return values;
}
