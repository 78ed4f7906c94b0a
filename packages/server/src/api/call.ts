import type { FastifyRequest } from 'fastify';
import type { ApiDeps } from './deps.ts';
import type { InTurn } from './turns.ts';

/** What a handler is given of a request, and what it may say beside its data. */
export interface Call {
  deps: ApiDeps;
  request: FastifyRequest;
  requestId: string;
  parameters: Record<string, string>;
  query: Record<string, string>;
  /** Changes of one resource take turns. */
  inTurn: InTurn;
  /** Reads the body as JSON. */
  json(): Promise<unknown>;
  /** A remark for a person that changes nothing: an unknown field, a value that was cut. */
  warn(text: string): void;
}
