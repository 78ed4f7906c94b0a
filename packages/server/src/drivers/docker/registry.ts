import { createHash } from 'node:crypto';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import type { ImageReference } from '../../domain/image-reference.ts';
import type { RegistryConfig } from '../images.ts';

/**
 * Reads images from a registry (OCI distribution) that the engine cannot be told to trust: engines take certificates
 * from files of their own machine, for all pulls alike.
 */
export interface RegistryImage {
  /** `sha256:…` of what the name stood for. */
  digest: string;
  config: Blob;
  layers: Blob[];
  /** The bytes of one of them, as they come; the stream fails at its end if they are not what was promised. */
  open(blob: Blob): Promise<AsyncIterable<Buffer>>;
}

export interface Blob {
  digest: string;
  size: number;
}

interface Manifest {
  config?: Blob;
  layers?: Blob[];
  manifests?: (Blob & { platform?: { os: string; architecture: string } })[];
}

const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
const MANIFEST_LIMIT = 4 * 1024 * 1024;
const LAYERS_MAX = 512;
const REDIRECTS_MAX = 5;
const SILENCE_MS = 30_000;

/** @throws Error in the registry's words, or the signal's reason */
export async function readImage(
  reference: ImageReference & { registry: string },
  config: RegistryConfig,
  architecture: string,
  signal: AbortSignal,
): Promise<RegistryImage> {
  const client = new RegistryClient(reference, config, signal);
  const top = await client.manifest(reference.digest ?? reference.tag ?? 'latest');
  let { manifest } = top;
  if (manifest.manifests) {
    const own = manifest.manifests.find(
      ({ platform }) => platform?.os === 'linux' && platform.architecture === architecture,
    );
    if (!own) throw new Error(`the image is not made for linux/${architecture}`);
    ({ manifest } = await client.manifest(own.digest));
  }
  const { config: configuration, layers } = manifest;
  if (!configuration || !layers || layers.length > LAYERS_MAX || ![configuration, ...layers].every(isBlob))
    throw new Error('the manifest is not that of an image');
  return { digest: top.digest, config: configuration, layers, open: (blob) => client.blob(blob) };
}

function isBlob({ digest, size }: Blob): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(digest) && Number.isSafeInteger(size) && size >= 0;
}

class RegistryClient {
  readonly #reference: ImageReference & { registry: string };
  readonly #config: RegistryConfig;
  readonly #signal: AbortSignal;
  #scheme: 'https' | 'http' = 'https';
  #authorization: string | undefined;

  constructor(reference: ImageReference & { registry: string }, config: RegistryConfig, signal: AbortSignal) {
    this.#reference = reference;
    this.#config = config;
    this.#signal = signal;
  }

  async manifest(name: string): Promise<{ digest: string; manifest: Manifest }> {
    const answer = await this.#get(`manifests/${name}`, { accept: MANIFEST_TYPES });
    const bytes = await readBounded(answer, MANIFEST_LIMIT);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (name.startsWith('sha256:') && name !== digest)
      throw new Error(`the registry answered with another manifest than ${name}`);
    return { digest, manifest: JSON.parse(bytes.toString('utf8')) as Manifest };
  }

  async blob({ digest, size }: Blob): Promise<AsyncIterable<Buffer>> {
    return verified(await this.#get(`blobs/${digest}`), digest, size);
  }

  async #get(path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
    const { registry, path: name } = this.#reference;
    const ask = () => this.#follow(new URL(`${this.#scheme}://${registry}/v2/${name}/${path}`), headers);
    let answer: IncomingMessage;
    try {
      answer = await ask();
    } catch (error) {
      // A registry that is said to be insecure may speak no TLS at all.
      const noTls = /EPROTO|wrong version|packet length|ECONNRESET|socket hang up/i.test(String(error));
      if (!this.#config.certConfig?.insecure || this.#scheme === 'http' || !noTls) throw error;
      this.#scheme = 'http';
      answer = await ask();
    }
    if (answer.statusCode === 401 && this.#authorization === undefined) {
      answer.resume();
      this.#authorization = await this.#authorize(answer.headers['www-authenticate'] ?? '');
      answer = await ask();
    }
    if (answer.statusCode === 200) return answer;
    const said = await readBounded(answer, 64 * 1024).catch(() => Buffer.alloc(0));
    throw new Error(`HTTP ${answer.statusCode} ${saidIn(said.toString('utf8'))}`.trim());
  }

  /** Blobs often lie elsewhere, under addresses that are signed: our credentials are not for there. */
  async #follow(start: URL, headers: Record<string, string>): Promise<IncomingMessage> {
    let url = start;
    for (let hops = 0; ; hops++) {
      const isOwn = url.origin === start.origin && this.#authorization !== undefined;
      const answer = await this.#send(url, {
        ...headers,
        ...(isOwn && { authorization: this.#authorization! }),
      });
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.statusCode ?? 0) || location === undefined)
        return answer;
      answer.resume();
      if (hops === REDIRECTS_MAX) throw new Error('the registry redirects without end');
      url = new URL(location, url);
    }
  }

  /** @param challenge the registry's `WWW-Authenticate` */
  async #authorize(challenge: string): Promise<string> {
    const { userName, password } = this.#config.authConfig ?? {};
    const basic =
      userName === undefined && password === undefined
        ? undefined
        : `Basic ${Buffer.from(`${userName ?? ''}:${password ?? ''}`).toString('base64')}`;
    if (!/^bearer/i.test(challenge)) {
      if (basic === undefined) throw new Error('authentication required');
      return basic;
    }
    const field = (name: string) => new RegExp(`${name}="([^"]*)"`, 'i').exec(challenge)?.[1];
    const realm = field('realm') ?? '';
    if (!URL.canParse(realm) || (!realm.startsWith('https:') && !this.#config.certConfig?.insecure))
      throw new Error('the registry names no place to authenticate at that can be trusted');
    const url = new URL(realm);
    const service = field('service');
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${this.#reference.path}:pull`);
    const answer = await this.#send(url, basic === undefined ? {} : { authorization: basic });
    const text = (await readBounded(answer, 256 * 1024)).toString('utf8');
    if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode} ${saidIn(text)}`);
    const { token, access_token: accessToken } = JSON.parse(text) as Record<string, string | undefined>;
    return `Bearer ${token ?? accessToken ?? ''}`;
  }

  #send(url: URL, headers: Record<string, string>): Promise<IncomingMessage> {
    const { certConfig } = this.#config;
    const options: RequestOptions = {
      headers: { 'user-agent': 'runstead', ...headers },
      signal: this.#signal,
      // One connection for each: nothing is kept that would outlive the fetch.
      agent: false,
      ...(certConfig?.insecure && { rejectUnauthorized: false }),
      ...(certConfig?.rootCaCertBase64 && {
        ca: Buffer.from(certConfig.rootCaCertBase64, 'base64').toString('utf8'),
      }),
    };
    if (url.protocol === 'http:' && !certConfig?.insecure)
      return Promise.reject(new Error('the registry leads to a place without TLS'));
    return new Promise((resolve, reject) => {
      const outgoing = (url.protocol === 'http:' ? requestPlain : requestTls)(url, options, resolve);
      outgoing.setTimeout(SILENCE_MS, () => {
        outgoing.destroy(new Error(`silent for ${SILENCE_MS / 1000} s`));
      });
      outgoing.once('error', reject);
      outgoing.end();
    });
  }
}

async function readBounded(answer: IncomingMessage, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limit) throw new Error('the registry answers with more than it may');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function* verified(answer: IncomingMessage, digest: string, size: number): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let seen = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    seen += piece.length;
    if (seen > size) break;
    hash.update(piece);
    yield piece;
  }
  if (seen !== size || `sha256:${hash.digest('hex')}` !== digest)
    throw new Error(`the registry answered with other bytes than ${digest}`);
}

/** A registry's errors, in its words. */
function saidIn(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: string; message?: string }[] };
    return (errors ?? []).map(({ code, message }) => message || code || '').join('; ');
  } catch {
    return '';
  }
}
