import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { RunsteadError } from '@runstead/contract';
import type { FastifyRequest } from 'fastify';
import type { Intake } from '../artifacts/intake.ts';
import { BodyTooLarge, type Spooled, spool } from '../artifacts/spool.ts';
import type { Principal } from '../auth/principal.ts';
import type { Call, JsonBody } from './call.ts';
import type { ApiDeps } from './deps.ts';
import { parseJson } from './parse.ts';

/** Bodies without a package are a few hundred bytes; this is far above. */
const JSON_LIMIT_BYTES = 1024 * 1024;

/**
 * Reads a body as JSON.
 * @throws RunsteadError ERR_UNSUPPORTED_MEDIA_TYPE, ERR_PAYLOAD_TOO_LARGE, ERR_BAD_REQUEST
 */
export async function readJsonBody(request: FastifyRequest, principal: Principal): Promise<JsonBody> {
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
  const sha256 = createHash('sha256').update(whole).digest('hex');
  requireSignedBody(principal, sha256);
  return { value: parseJson(whole.toString('utf8')), sha256 };
}

/** @throws RunsteadError SignatureDoesNotMatch when the request was signed with another body */
function requireSignedBody({ bodySha256 }: Principal, sha256: string): void {
  if (bodySha256 === undefined || bodySha256 === sha256) return;
  throw new RunsteadError(
    'SignatureDoesNotMatch',
    'SignatureDoesNotMatch: the body is not the one whose hash was signed (x-acs-content-sha256)',
  );
}

const NO_BODY_SHA256 = createHash('sha256').digest('hex');

/**
 * Of an operation without a body: what comes all the same is passed over, but under a signature it must be what was
 * signed.
 * @throws RunsteadError SignatureDoesNotMatch, ERR_PAYLOAD_TOO_LARGE
 */
export async function requireNoOtherBody(request: FastifyRequest, principal: Principal): Promise<void> {
  if (principal.bodySha256 === undefined) return;
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (length === '0' && coding === undefined) return requireSignedBody(principal, NO_BODY_SHA256);
  const sha256 = createHash('sha256');
  let bytes = 0;
  try {
    for await (const piece of request.raw as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > JSON_LIMIT_BYTES) throw tooLarge(JSON_LIMIT_BYTES);
      sha256.update(piece);
    }
  } catch (error) {
    throw asCallersFault(error);
  }
  requireSignedBody(principal, sha256.digest('hex'));
}

/**
 * Receives a body that may carry a package: onto the disk, where it stays as long as `use` takes.
 * @throws RunsteadError as `readJsonBody`
 */
export async function withSpooledBody<T>(
  { request, deps, principal }: Pick<Call, 'request' | 'deps' | 'principal'>,
  use: (body: Spooled) => Promise<T>,
): Promise<T> {
  const stream = bodyStream(request, deps.bodyLimitBytes);
  const body = await spool(stream, deps.folders.incoming, deps.bodyLimitBytes).catch((error: unknown) => {
    throw error instanceof BodyTooLarge ? tooLarge(deps.bodyLimitBytes) : asCallersFault(error);
  });
  try {
    requireSignedBody(principal, body.sha256);
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
