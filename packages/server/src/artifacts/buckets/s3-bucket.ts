import { addAbortSignal, Readable } from 'node:stream';
import type {
  GetObjectCommandOutput,
  S3Client,
  S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { PhaseFailure } from '../../domain/failure.ts';
import type { ObjectPlace } from '../../domain/runtime.ts';
import { shown } from '../zip-bytes.ts';
import { notFetched, type OpenObject } from './open-object.ts';

/** The object store that the operator has configured. */
export interface S3Settings {
  endpoint: string;
  region: string;
  /** Absent: requests are anonymous. */
  key?: { id: string; secret: string } | undefined;
  /** The bucket stands in the path; else in front of the host name. */
  pathStyle: boolean;
}

/** A request that the store answers with "later", or that meets a broken connection, is made this often at most. */
const ATTEMPTS = 3;

/**
 * Asks the object store for an object; the answer is its bytes as they arrive.
 * @throws PhaseFailure, or the signal's reason
 */
export async function openS3Object(
  settings: S3Settings,
  place: ObjectPlace,
  signal: AbortSignal,
): Promise<OpenObject> {
  // Only now: it takes more memory than all else of an idle server together.
  const { S3Client, GetObjectCommand } = await import('@aws-sdk/client-s3');
  // One for each fetch, so that neither connections nor what it holds outlive it.
  const client = withoutVersionWarning(() => new S3Client(clientConfig(settings)));
  client.middlewareStack.add(withShortRefusals, { step: 'deserialize', priority: 'low' });
  let output: GetObjectCommandOutput;
  try {
    output = await client.send(new GetObjectCommand({ Bucket: place.bucket, Key: place.object }), {
      abortSignal: signal,
    });
  } catch (error) {
    client.destroy();
    signal.throwIfAborted();
    throw refusal(error, place);
  }
  return asOpenObject(client, output, place, signal);
}

/**
 * Everything that the library would else look for in the environment, in `~/.aws` or on the machine's metadata service
 * is said here: those are the operator's own, for other things.
 */
function clientConfig({ endpoint, region, key, pathStyle }: S3Settings): S3ClientConfig {
  return {
    endpoint,
    region,
    forcePathStyle: pathStyle,
    credentials: { accessKeyId: key?.id ?? '', secretAccessKey: key?.secret ?? '' },
    ...(!key && { signer: { sign: async (request) => request } }),
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    followRegionRedirects: false,
    authSchemePreference: [],
    sigv4aSigningRegionSet: [region],
    disableClockSkewCorrection: false,
    userAgentAppId: 'runstead',
    // Not every store knows the newer checksums; the version's digest, and the caller's checksum, are ours.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  };
}

/** The library reads a refusal to its end before it looks at it; the protocol's are a few hundred bytes. */
const REFUSAL_MAX_BYTES = 64 * 1024;

/** Keeps what is no answer from filling the memory: of a refusal no more is read than one could have. */
const withShortRefusals: Parameters<S3Client['middlewareStack']['add']>[0] = (next) => async (args) => {
  const result = await next(args);
  const response = result.response as { statusCode: number; body: Readable };
  if (response.statusCode >= 300) response.body = Readable.from(firstBytes(response.body));
  return result;
};

async function* firstBytes(body: Readable): AsyncGenerator<Buffer> {
  let bytes = 0;
  // Leaving the loop early also closes the connection.
  for await (const piece of body as AsyncIterable<Buffer>) {
    yield piece.subarray(0, REFUSAL_MAX_BYTES - bytes);
    bytes += piece.length;
    if (bytes >= REFUSAL_MAX_BYTES) return;
  }
}

const NO_WARNING = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED';

/** On Node 20 the library would announce on stderr which release will end its support; ours is pinned to one that has it. */
function withoutVersionWarning<T>(make: () => T): T {
  const before = process.env[NO_WARNING];
  process.env[NO_WARNING] = 'true';
  try {
    return make();
  } finally {
    if (before === undefined) delete process.env[NO_WARNING];
    else process.env[NO_WARNING] = before;
  }
}

function asOpenObject(
  client: S3Client,
  { Body, ContentLength: size }: GetObjectCommandOutput,
  place: ObjectPlace,
  signal: AbortSignal,
): OpenObject {
  const body = addAbortSignal(signal, Body as Readable);
  // Reading tells of it; without a listener one that comes before or after would end the process.
  body.on('error', () => {});
  return {
    size,
    bytes: pieces(body, place, size),
    complete: async () => {},
    async close() {
      body.destroy();
      client.destroy();
    },
  };
}

async function* pieces(body: Readable, place: ObjectPlace, size: number | undefined): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length;
      yield piece;
    }
  } catch (error) {
    throw brokenOff(place, bytes, size, error);
  }
}

/** The store's answer ended before the object did. */
export function brokenOff(
  { object }: ObjectPlace,
  bytes: number,
  size: number | undefined,
  cause?: unknown,
): PhaseFailure {
  const of = size === undefined ? '' : ` of ${size}`;
  return notFetched(
    `the connection to the object store broke off after ${bytes}${of} bytes of object ${shown(object)}; try again`,
    cause,
  );
}

/** What the store answered, in words of ours: of its own only the short code that its protocol defines. */
function refusal(error: unknown, { bucket, object }: ObjectPlace): PhaseFailure {
  const { name, code, $metadata } = error as Partial<S3ServiceException> & NodeJS.ErrnoException;
  const status = $metadata?.httpStatusCode;
  const coded =
    /^[A-Za-z]{1,60}$/.test(name ?? '') && name !== 'Error' && name !== 'Unknown' ? ` (${name})` : '';
  const at = `bucket ${shown(bucket)}`;
  if (name === 'NoSuchBucket') return notFetched(`${at} does not exist in the object store`, error);
  if (name === 'NoSuchKey' || status === 404) {
    return notFetched(`object ${shown(object)} does not exist in ${at} of the object store`, error);
  }
  if (status === 401 || status === 403) {
    return notFetched(
      `the object store denies access to object ${shown(object)} in ${at}${coded}; the server's operator can look at its RUNSTEAD_S3_ACCESS_KEY_ID and secret, and at the bucket's policy`,
      error,
    );
  }
  if (status !== undefined && status >= 300 && status < 400) {
    return notFetched(
      `the object store answers for ${at} with a redirect${coded}, which is not followed; the server's operator can look at RUNSTEAD_S3_ENDPOINT, RUNSTEAD_S3_REGION and RUNSTEAD_S3_PATH_STYLE`,
      error,
    );
  }
  if (status !== undefined && status >= 400) {
    return notFetched(`the object store answers HTTP ${status}${coded}`, error);
  }
  if (status === undefined && /^[A-Z][A-Z0-9_]{2,60}$/.test(code ?? '')) {
    return notFetched(
      `the object store cannot be reached (${code}); the server's operator can look at RUNSTEAD_S3_ENDPOINT`,
      error,
    );
  }
  return notFetched('what RUNSTEAD_S3_ENDPOINT leads to does not answer as an object store does', error);
}
