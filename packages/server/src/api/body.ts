import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { RunsteadError } from '@runstead/contract';
import type { FastifyRequest } from 'fastify';
import type { Intake } from '../artifacts/intake.ts';
import { BodyTooLarge, spool } from '../artifacts/spool.ts';
import type { ApiDeps } from './deps.ts';
import { parseJson } from './parse.ts';

/** Bodies without a package are a few hundred bytes; this is far above. */
const JSON_LIMIT_BYTES = 1024 * 1024;

/**
 * Reads a body as JSON.
 * @throws RunsteadError ERR_UNSUPPORTED_MEDIA_TYPE, ERR_PAYLOAD_TOO_LARGE, ERR_BAD_REQUEST
 */
export async function readJsonBody(request: FastifyRequest): Promise<unknown> {
  const body = bodyStream(request, JSON_LIMIT_BYTES);
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > JSON_LIMIT_BYTES) throw tooLarge(JSON_LIMIT_BYTES);
      pieces.push(piece);
    }
  } catch (error) {
    throw asCallersFault(error);
  }
  return parseJson(Buffer.concat(pieces).toString('utf8'));
}

/**
 * Reads a body that may carry a package: by way of the disk, taken apart off the event loop.
 * @throws RunsteadError as `readJsonBody`, and ERR_VALIDATION_FAILED for a package that is no base64
 */
export async function readPackageBody(request: FastifyRequest, deps: ApiDeps): Promise<Intake> {
  const body = bodyStream(request, deps.bodyLimitBytes);
  const { file } = await spool(body, deps.folders.incoming, deps.bodyLimitBytes).catch((error: unknown) => {
    throw error instanceof BodyTooLarge ? tooLarge(deps.bodyLimitBytes) : asCallersFault(error);
  });
  try {
    const intake = await deps.intake.accept(file);
    if (intake.fault !== undefined) throw new RunsteadError('ERR_VALIDATION_FAILED', intake.fault);
    return intake;
  } finally {
    await rm(file, { force: true });
  }
}

function bodyStream(request: FastifyRequest, limitBytes: number): Readable {
  const type = request.headers['content-type'];
  if (type === undefined || !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new RunsteadError(
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      `Content type ${type === undefined ? 'is missing' : JSON.stringify(type)}; application/json is needed`,
    );
  }
  const length = Number(request.headers['content-length']);
  if (length > limitBytes) throw tooLarge(limitBytes, length);
  return request.raw;
}

/** A sender that hangs up is no fault of the server's; the answer has nobody to go to, but the log would show it. */
function asCallersFault(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE'
    ? new RunsteadError('ERR_BAD_REQUEST', 'The body broke off before its end', { cause: error })
    : error;
}

function tooLarge(limit: number, seen?: number): RunsteadError {
  const size = seen === undefined ? '' : ` (${seen} bytes)`;
  return new RunsteadError(
    'ERR_PAYLOAD_TOO_LARGE',
    `The body${size} is larger than the limit of ${limit} bytes`,
  );
}
