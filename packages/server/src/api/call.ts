import type { FastifyRequest } from 'fastify';
import type { Principal } from '../auth/principal.ts';
import type { ApiDeps } from './deps.ts';
import type { InTurn } from './turns.ts';

/** A body that was read into memory. */
export interface JsonBody {
  value: unknown;
  /** Hex SHA-256 of the bytes as received. */
  sha256: string;
}

/** What a handler is given of a request, and what it may say beside its data. */
export interface Call {
  deps: ApiDeps;
  request: FastifyRequest;
  requestId: string;
  principal: Principal;
  parameters: Record<string, string>;
  query: Record<string, string>;
  /** Changes of one resource take turns. */
  inTurn: InTurn;
  /** Reads the body as JSON; asked again, it is the same. */
  body(): Promise<JsonBody>;
  /** What the body says. */
  json(): Promise<unknown>;
  /** Aborted when the caller is gone before it has all of its answer. */
  hangUp(): AbortSignal;
  /** Adds a field to the answer. */
  setHeader(name: string, value: string): void;
  /** A remark for a person that changes nothing: an unknown field, a value that was cut. */
  warn(text: string): void;
}
