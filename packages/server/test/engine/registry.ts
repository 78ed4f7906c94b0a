import { createHash } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TAR_END, tarHead, tarPadding } from '../../src/drivers/docker/tar.ts';
import { type Issued, issueAuthority, issueServer } from '../../src/tls/issue.ts';

/** A registry of images (OCI distribution) of the test's own, over TLS. */
export interface TestRegistry {
  /** `127.0.0.1:PORT` */
  host: string;
  /** What was asked of it: `GET manifests/v1`. */
  requests: string[];
  /** Puts an image there under a tag. @returns the digest of its manifest */
  push(name: string, tag: string, image: TestImage): string;
  /** Blobs are answered with other bytes than they should be from now on. */
  spoil(): void;
  close(): Promise<void>;
}

export interface TestImage {
  layer: Buffer;
  config?: object;
}

const lifetime = () => ({ fromMs: Date.now() - 60_000, untilMs: Date.now() + 3_600_000 });

export function newAuthority(): Issued {
  return issueAuthority(['127.0.0.1', 'localhost'], lifetime());
}

/** @param login what it takes to be let in; default: nothing */
export async function startRegistry(
  authority: Issued,
  login?: { userName: string; password: string },
): Promise<TestRegistry> {
  const blobs = new Map<string, Buffer>();
  const tags = new Map<string, { digest: string; type: string }>();
  const requests: string[] = [];
  let isSpoilt = false;
  const expected = login && `Basic ${Buffer.from(`${login.userName}:${login.password}`).toString('base64')}`;
  const server = createServer(issueServer(['127.0.0.1'], authority, lifetime()), (request, response) => {
    const refuse = (status: number, code: string, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }));
    };
    const { pathname } = new URL(request.url ?? '/', 'https://registry');
    if (expected !== undefined && request.headers.authorization !== expected)
      return refuse(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="test"' });
    if (pathname === '/v2/') return response.end('{}');
    const [, name = '', kind = '', reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(pathname) ?? [];
    requests.push(`${request.method} ${kind}/${reference}`);
    const tag = kind === 'manifests' ? tags.get(`${name}:${reference}`) : { digest: reference, type: '' };
    const bytes = tag && blobs.get(tag.digest);
    if (!tag || !bytes) return refuse(404, kind === 'manifests' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN');
    const sent = isSpoilt && kind === 'blobs' ? Buffer.alloc(bytes.length, 7) : bytes;
    response.writeHead(200, {
      'content-type': tag.type || 'application/octet-stream',
      'content-length': sent.length,
      'docker-content-digest': tag.digest,
    });
    response.end(request.method === 'HEAD' ? undefined : sent);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const keep = (bytes: Buffer) => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    push(name, tag, { layer, config = {} }) {
      const layerBlob = keep(layer);
      const configuration = {
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config,
        rootfs: { type: 'layers', diff_ids: [layerBlob.digest] },
        history: [{ created: '2026-01-01T00:00:00Z', created_by: 'test' }],
      };
      const type = 'application/vnd.oci.image.manifest.v1+json';
      const { digest } = keep(
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: type,
            config: {
              mediaType: 'application/vnd.oci.image.config.v1+json',
              ...keep(Buffer.from(JSON.stringify(configuration))),
            },
            layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layerBlob }],
          }),
        ),
      );
      for (const reference of [tag, digest]) tags.set(`${name}:${reference}`, { digest, type });
      return digest;
    },
    spoil() {
      isSpoilt = true;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The smallest layer there is: one file. */
export function tinyLayer(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([tarHead('text', bytes.length), bytes, tarPadding(bytes.length), TAR_END]);
}
