import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { RunsteadError } from '@runstead/contract';
import type { FastifyRequest } from 'fastify';
import type { Intake } from '../artifacts/intake.ts';
import { BodyTooLarge, type Spooled, spool } from '../artifacts/spool.ts';
import type { JsonBody } from './call.ts';
import type { ApiDeps } from './deps.ts';
import { parseJson } from './parse.ts';

/** Bodies without a package are a few hundred bytes; this is far above. */
const JSON_LIMIT_BYTES = 1024 * 1024;

/**
 * Reads a body as JSON.
 * @throws RunsteadError ERR_UNSUPPORTED_MEDIA_TYPE, ERR_PAYLOAD_TOO_LARGE, ERR_BAD_REQUEST
 */
export async function readJsonBody(request: FastifyRequest): Promise<JsonBody> {
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
  const whole = Buffer.concat(pieces);
  return {
    value: parseJson(whole.toString('utf8')),
    sha256: createHash('sha256').update(whole).digest('hex'),
  };
}

/**
 * Receives a body that may carry a package: onto the disk, where it stays as long as `use` takes.
 * @throws RunsteadError as `readJsonBody`
 */
export async function withSpooledBody<T>(
  request: FastifyRequest,
  deps: ApiDeps,
  use: (body: Spooled) => Promise<T>,
): Promise<T> {
  const stream = bodyStream(request, deps.bodyLimitBytes);
  const body = await spool(stream, deps.folders.incoming, deps.bodyLimitBytes).catch((error: unknown) => {
    throw error instanceof BodyTooLarge ? tooLarge(deps.bodyLimitBytes) : asCallersFault(error);
  });
  try {
    return await use(body);
  } finally {
    await rm(body.file, { force: true });
  }
}

/**
 * Takes such a body apart, off the event loop. Its file is gone afterwards.
 * @throws RunsteadError ERR_VALIDATION_FAILED for a package that is no base64
 */
export async function takeApart({ file }: Spooled, deps: ApiDeps): Promise<Intake> {
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
