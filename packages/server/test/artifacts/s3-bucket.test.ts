import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { crc64 } from '@runstead/contract/crc64';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  createPackageFetcher,
  type PackageFetcherOptions,
} from '../../src/artifacts/buckets/fetch-package.ts';
import type { S3Settings } from '../../src/artifacts/buckets/s3-bucket.ts';
import { blobFile } from '../../src/artifacts/folders.ts';
import { createPackageIntake, type PackageIntake } from '../../src/artifacts/intake.ts';
import { PhaseFailure } from '../../src/domain/failure.ts';
import { specOf } from '../store-cases.ts';
import { type ArtifactBench, openBench, packageOf, until } from './bench.ts';
import {
  type ObjectStore,
  objectStoreProblem,
  startObjectStore,
  startSilentListener,
  startStubStore,
} from './object-store.ts';

const SECRET = 'this-is-what-nobody-may-see';
const KEY = { id: 'the-key-of-the-tests', secret: SECRET };
const LIMIT = 200 * 1024 * 1024;

let bench: ArtifactBench;
let intake: PackageIntake;
beforeEach(() => {
  bench = openBench();
  intake = createPackageIntake(bench.folders, bench.thread);
});
afterEach(() => bench.dispose());

interface Wanted {
  s3: Partial<S3Settings> & { endpoint: string };
  bucket?: string;
  object?: string;
  checksum?: string;
  signal?: AbortSignal;
  more?: Partial<PackageFetcherOptions>;
}

async function fetched({ s3, bucket = 'agents', object = 'agent.zip', checksum, signal, more }: Wanted) {
  const fetchPackage = createPackageFetcher({
    folders: bench.folders,
    intake,
    s3: { region: 'eu-central-1', key: KEY, pathStyle: true, ...s3 },
    limitBytes: LIMIT,
    timeoutMs: 60_000,
    ...more,
  });
  const spec = specOf({
    codeConfiguration: {
      ossBucketName: bucket,
      ossObjectName: object,
      ...(checksum !== undefined && { checksum }),
    },
  });
  const { artifact, release } = await fetchPackage(
    { bucket, object },
    spec,
    signal ?? new AbortController().signal,
  );
  release();
  return artifact;
}

/** One line that tells of neither secrets nor the server's folders, and nothing left on the disk. */
async function refused(wanted: Wanted): Promise<string> {
  const error = await fetched(wanted).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PhaseFailure);
  const { phase, message } = error as PhaseFailure;
  expect(phase).toBe('fetch');
  expect(message).toMatch(/^[^\n]{10,600}$/);
  for (const hidden of [SECRET, bench.dataDir, '127.0.0.1', 'node:', 'Error'])
    expect(message).not.toContain(hidden);
  expect(readdirSync(bench.folders.incoming)).toEqual([]);
  return message;
}

async function stub(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const store = await startStubStore(answer);
  onTestFinished(() => store.close());
  return store;
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a package in an object store that misbehaves', () => {
  it('says that nobody listens there', async () => {
    const gone = await startStubStore(() => {});
    await gone.close();
    expect(await refused({ s3: { endpoint: gone.url } })).toMatch(
      /cannot be reached \(ECONNREFUSED\).*RUNSTEAD_S3_ENDPOINT/,
    );
  });

  it('gives up on one that takes the call and never answers', async () => {
    const silent = await startSilentListener();
    onTestFinished(() => silent.close());
    const s3 = { endpoint: silent.url };
    expect(await refused({ s3, more: { silenceMs: 50 } })).toBe('the object store sent nothing for 0.05 s');
    expect(await refused({ s3, more: { timeoutMs: 50 } })).toMatch(
      /^object 'agent\.zip' was not here after 0\.05 s/,
    );
    expect(silent.connections()).toBe(2);
  });

  it('gives up on one that falls silent within the object, and on one that dribbles', async () => {
    const { url } = await stub((request, response) => {
      response.writeHead(200, { 'content-length': '1000000' });
      response.write('PK');
      if (!request.url!.includes('dribble')) return;
      const timer = setInterval(() => response.write('x'), 5);
      response.on('close', () => clearInterval(timer));
    });
    const s3 = { endpoint: url };
    expect(await refused({ s3, more: { silenceMs: 100 } })).toMatch(/sent nothing for 0\.1 s/);
    expect(await refused({ s3, object: 'dribble', more: { silenceMs: 5000, timeoutMs: 200 } })).toMatch(
      /was not here after 0\.2 s/,
    );
  });

  it.each([
    [
      'of a known length',
      { 'content-length': '100' },
      /broke off after \d of 100 bytes of object 'agent\.zip'; try again/,
    ],
    ['of an unknown length', {}, /broke off after \d bytes of object 'agent\.zip'; try again/],
  ])('says that the connection broke within an object %s', async (_what, headers, reason) => {
    const { url } = await stub((_request, response) => {
      response.writeHead(200, headers);
      response.write('PK345', () => setImmediate(() => response.destroy()));
    });
    expect(await refused({ s3: { endpoint: url } })).toMatch(reason);
  });

  it('follows no redirect', async () => {
    const elsewhere = await startSilentListener();
    onTestFinished(() => elsewhere.close());
    for (const status of [301, 302, 303, 307, 308]) {
      const { url } = await stub((_request, response) => {
        response.writeHead(status, {
          location: `${elsewhere.url}/agents/agent.zip`,
          'x-amz-bucket-region': 'mars-1',
        });
        response.end(
          `<?xml version="1.0"?><Error><Code>PermanentRedirect</Code><Endpoint>${elsewhere.url}</Endpoint></Error>`,
        );
      });
      expect(await refused({ s3: { endpoint: url } })).toMatch(/redirect.*, which is not followed/);
    }
    expect(elsewhere.connections()).toBe(0);
  });

  it('takes nothing over the limit, and stops reading there', async () => {
    let written = 0;
    const { url } = await stub((request, response) => {
      if (request.url!.includes('told')) response.writeHead(200, { 'content-length': String(LIMIT) });
      const timer = setInterval(() => {
        if (response.writableLength < 1_000_000) written += 65_536;
        response.write(Buffer.alloc(65_536));
      }, 1);
      response.on('close', () => clearInterval(timer));
    });
    const more = { limitBytes: 1_000_000 };
    expect(await refused({ s3: { endpoint: url }, object: 'told', more })).toBe(
      `object 'told' (${LIMIT} bytes) is larger than the limit of 1000000 bytes`,
    );
    expect(await refused({ s3: { endpoint: url }, more })).toBe(
      "object 'agent.zip' is larger than the limit of 1000000 bytes",
    );
    expect(written).toBeLessThan(20_000_000);
  });

  it.each([
    ['a web page', 200, '<html>', undefined],
    ['an error page', 502, '<html>bad gateway</html>', /answers HTTP 502|does not answer as an object store/],
    [
      'an error that it names',
      400,
      '<Error><Code>InvalidBucketName</Code><Message>SERVED</Message></Error>',
      /HTTP 400 \(InvalidBucketName\)/,
    ],
    ['a refusal without a word', 403, '', /denies access/],
    ['a name that is none', 400, '<Error><Code>\u001b[31m ../x</Code></Error>', /HTTP 400$/],
    ['not found without a word', 404, '', /object 'agent\.zip' does not exist/],
  ])('says in words of ours what it answered: %s', async (_what, status, body, reason) => {
    const { url } = await stub((_request, response) => response.writeHead(status).end(body));
    if (reason === undefined) {
      // Bytes are bytes; that they are no archive, unpacking says.
      expect((await fetched({ s3: { endpoint: url } })).digest).toBe(digestOf(Buffer.from(body)));
      return;
    }
    const message = await refused({ s3: { endpoint: url } });
    expect(message).toMatch(reason);
    expect(message).not.toMatch(/SERVED|gateway|\u001b/);
  });

  it.each([
    ['comes to no end', true],
    ['falls silent', false],
  ])('does not wait for a refusal that %s', async (_what, endless) => {
    const { url, server } = await stub((_request, response) => {
      response.writeHead(403);
      response.write('<Error>');
      if (!endless) return;
      const timer = setInterval(() => response.write(Buffer.alloc(65_536, 'x')), 1);
      response.on('close', () => clearInterval(timer));
    });
    let open = 0;
    server.on('connection', (socket) => {
      open++;
      socket.on('close', () => open--);
    });
    const message = await refused({ s3: { endpoint: url }, more: { silenceMs: 500, timeoutMs: 5000 } });
    expect(message).toMatch(endless ? /denies access/ : /sent nothing for 0\.5 s/);
    // Nor is the connection kept.
    await until('the connection to be closed', () => open === 0);
  });

  it('tries again when it is asked to come later', async () => {
    const zip = await packageOf({ 'index.js': '' });
    let asked = 0;
    const { url } = await stub((_request, response) => {
      if (++asked < 3) response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
      else response.end(zip);
    });
    expect((await fetched({ s3: { endpoint: url } })).digest).toBe(digestOf(zip));
    expect(asked).toBe(3);
  });

  it('lets go at once of what nobody waits for any more', async () => {
    const { url, server } = await stub((_request, response) => void response.write('PK'));
    const controller = new AbortController();
    const fetching = fetched({ s3: { endpoint: url }, signal: controller.signal });
    const failed = expect(fetching).rejects.toThrow('not wanted any more');
    const [socket] = await once(server, 'connection');
    await until('the first bytes to be on the disk', () =>
      readdirSync(bench.folders.incoming).some(
        (name) => statSync(join(bench.folders.incoming, name)).size > 0,
      ),
    );
    const closed = once(socket, 'close');
    controller.abort(new Error('not wanted any more'));
    await failed;
    await closed;
    expect(readdirSync(bench.folders.incoming)).toEqual([]);
  });

  it('is written to the disk as it comes, long before its end', async () => {
    let finish = () => {};
    const rest = Buffer.alloc(100_000, 'x');
    const { url } = await stub((_request, response) => {
      response.write('PK');
      finish = () => void response.end(rest);
    });
    const fetching = fetched({ s3: { endpoint: url } });
    await until('the first bytes to be on the disk', () =>
      readdirSync(bench.folders.incoming).some(
        (name) => statSync(join(bench.folders.incoming, name)).size === 2,
      ),
    );
    finish();
    const bytes = Buffer.concat([Buffer.from('PK'), rest]);
    expect(await fetching).toEqual({ digest: digestOf(bytes), crc64: crc64(bytes) });
  });

  it("is asked for with nothing of the operator's own: no keys, profile, region or address from the environment", async () => {
    const zip = await packageOf({ 'index.js': '' });
    const seen: IncomingMessage[] = [];
    const { url } = await stub((request, response) => {
      seen.push(request);
      response.end(zip);
    });
    const elsewhere = await startSilentListener();
    onTestFinished(() => elsewhere.close());
    const pipe = (name: string) => {
      const path = join(bench.dataDir, name);
      execFileSync('mkfifo', [path]);
      return path;
    };
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const [name, value] of Object.entries({
      AWS_ACCESS_KEY_ID: 'ambient-id',
      AWS_SECRET_ACCESS_KEY: 'ambient-secret',
      AWS_SESSION_TOKEN: 'ambient-token',
      AWS_PROFILE: 'ambient-profile',
      AWS_REGION: 'ambient-region',
      AWS_ENDPOINT_URL: elsewhere.url,
      AWS_ENDPOINT_URL_S3: elsewhere.url,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: elsewhere.url,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: elsewhere.url,
      HTTP_PROXY: elsewhere.url,
      // Pipes into which nobody writes: whoever reads these files never comes to an end.
      AWS_CONFIG_FILE: pipe('config'),
      AWS_SHARED_CREDENTIALS_FILE: pipe('credentials'),
    })) {
      vi.stubEnv(name, value);
    }
    await fetched({ s3: { endpoint: url, key: undefined } });
    await fetched({ s3: { endpoint: url } });
    const [anonymous, signed] = seen;
    expect(anonymous!.headers.authorization).toBeUndefined();
    expect(signed!.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=the-key-of-the-tests\/\d{8}\/eu-central-1\/s3\/aws4_request, /,
    );
    for (const { rawHeaders, url: path } of seen) {
      expect(path).toMatch(/^\/agents\/agent\.zip(\?x-id=GetObject)?$/);
      expect(rawHeaders.join('\n')).not.toMatch(new RegExp(`ambient|${SECRET}`));
    }
    expect(elsewhere.connections()).toBe(0);
  });

  it('costs a server nothing until one is asked for', async () => {
    const { url } = await stub((_request, response) => response.end('PK'));
    const modules = ['index.js', 'artifacts/buckets/s3-bucket.js'].map(
      (file) => new URL(`../../dist/${file}`, import.meta.url).href,
    );
    const script = `
      import { createRequire } from 'node:module';
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('client-s3'));
      await import('${modules[0]}');
      const { openS3Object } = await import('${modules[1]}');
      const before = loaded();
      const settings = { endpoint: '${url}', region: 'r', pathStyle: true };
      const open = await openS3Object(settings, { bucket: 'agents', object: 'o' }, new AbortController().signal);
      await open.close();
      console.log(before, loaded());`;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      script,
    ]);
    // It says nothing of its own, either: what a server writes are lines of JSON.
    expect([stdout, stderr]).toEqual(['false true\n', '']);
  });

  it('names the bucket in the path, or in front of the host', async () => {
    const zip = await packageOf({ 'index.js': '' });
    const seen: string[] = [];
    const { url } = await stub((request, response) => {
      seen.push(`${request.headers.host!.replace(/:\d+$/, '')} ${request.url!.replace(/\?.*/, '')}`);
      response.end(zip);
    });
    resolveLocally();
    const endpoint = url.replace('127.0.0.1', 'store.test');
    // In front of an address there is no place for it.
    await fetched({ s3: { endpoint: url, pathStyle: false } });
    expect(seen.splice(0)).toEqual(['127.0.0.1 /agents/agent.zip']);
    await fetched({ s3: { endpoint, pathStyle: true }, object: 'a b/ü+.zip' });
    await fetched({ s3: { endpoint, pathStyle: false }, object: 'a b/ü+.zip' });
    expect(seen).toEqual([
      'store.test /agents/a%20b/%C3%BC%2B.zip',
      'agents.store.test /a%20b/%C3%BC%2B.zip',
    ]);
  });

  it.each(['alias-s3alias', 'zone--use1-az4--x-s3', 'e-1--op-s3', 'arn.aws.s3', 'a.b.c'])(
    'goes to no other host for a bucket that is called %s',
    async (bucket) => {
      const hosts: string[] = [];
      const { url } = await stub((request, response) => {
        hosts.push(request.headers.host!);
        response.writeHead(404).end();
      });
      const lookup = resolveLocally();
      const endpoint = url.replace('127.0.0.1', 'store.test');
      for (const pathStyle of [true, false]) await refused({ s3: { endpoint, pathStyle }, bucket });
      for (const host of hosts) expect(host).toMatch(/(^|\.)store\.test:\d+$/);
      for (const [name] of lookup.mock.calls) expect(name).toMatch(/(^|\.)store\.test$/);
    },
  );
});

/** Every host name is this machine, for the test that calls this. */
function resolveLocally() {
  const lookup = vi
    .spyOn(dns, 'lookup')
    .mockImplementation(((_name: string, options: { all?: boolean }, done: (...result: unknown[]) => void) =>
      options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)) as never);
  onTestFinished(() => lookup.mockRestore());
  return lookup;
}

const problem = objectStoreProblem();
if (problem !== undefined) console.warn(`skipped: ${problem}`);

describe.skipIf(problem !== undefined)('a package in a real object store', () => {
  let store: ObjectStore;
  beforeAll(async () => {
    store = await startObjectStore();
    await store.client().send(
      new CreateBucketCommand({
        Bucket: 'agents',
        CreateBucketConfiguration: { LocationConstraint: 'eu-central-1' },
      }),
    );
  }, 60_000);
  afterAll(() => store?.close());

  const put = (Key: string, Body: Buffer) =>
    store.client().send(new PutObjectCommand({ Bucket: 'agents', Key, Body }));

  it.each([
    'agent.zip',
    'teams/a/agent.zip',
    'with space/日本 ü+&?#%.zip',
    '%2e%2e/x',
    'a//b.zip',
    "it's (1)*!~.zip",
  ])('comes from %s, with a signature that the store accepts', async (object) => {
    const zip = await packageOf({ 'package.json': '{"scripts":{"start":"node a.js"}}', 'a.js': object });
    await put(object, zip);
    const artifact = await fetched({ s3: store.settings, object, checksum: crc64(zip) });
    expect(artifact).toMatchObject({
      digest: digestOf(zip),
      crc64: crc64(zip),
      entry: { command: ['node', 'a.js'] },
    });
    expect(readFileSync(blobFile(bench.folders, artifact.digest)).equals(zip)).toBe(true);
    expect(readdirSync(bench.folders.incoming)).toEqual([]);
  });

  it('also when the bucket stands in front of the host name', async () => {
    resolveLocally();
    const zip = await packageOf({ 'index.js': 'virtual' });
    await put('virtual.zip', zip);
    const endpoint = store.url.replace('127.0.0.1', 's3.eu-central-1.amazonaws.com');
    const s3 = { ...store.settings, endpoint, pathStyle: false };
    expect((await fetched({ s3, object: 'virtual.zip' })).digest).toBe(digestOf(zip));
  });

  it('says what is not there, and what may not be read', async () => {
    const s3 = store.settings;
    expect(await refused({ s3, object: 'nothing.zip' })).toBe(
      "object 'nothing.zip' does not exist in bucket 'agents' of the object store",
    );
    expect(await refused({ s3, bucket: 'no-such-bucket' })).toBe(
      "bucket 'no-such-bucket' does not exist in the object store",
    );
    await put('forbidden/agent.zip', Buffer.from('PK'));
    expect(await refused({ s3, object: 'forbidden/agent.zip' })).toMatch(
      /denies access to object 'forbidden\/agent\.zip' in bucket 'agents' \(AccessDenied\)/,
    );
    await put('agent.zip', Buffer.from('PK'));
    const wrong = { ...s3, key: { id: store.key.id, secret: SECRET } };
    expect(await refused({ s3: wrong })).toMatch(
      /denies access .*\(SignatureDoesNotMatch\).*RUNSTEAD_S3_ACCESS_KEY_ID/,
    );
    const stranger = { ...s3, key: KEY };
    expect(await refused({ s3: stranger })).toMatch(/denies access .*\(InvalidAccessKeyId\)/);
  });

  it('is held to the checksum that was given', async () => {
    const zip = await packageOf({ 'index.js': '' });
    await put('sum.zip', zip);
    expect(await refused({ s3: store.settings, object: 'sum.zip', checksum: '77' })).toBe(
      `codeConfiguration.checksum is 77, but the package received has CRC-64 ${crc64(zip)}`,
    );
    expect(existsSync(blobFile(bench.folders, digestOf(zip)))).toBe(false);
  });

  it('takes 100 MiB without having them in memory', async () => {
    const mebibyte = Buffer.alloc(1024 * 1024, 'QUJD');
    const hash = createHash('sha256');
    for (let i = 0; i < 100; i++) hash.update(mebibyte);
    await store.client().send(
      new PutObjectCommand({
        Bucket: 'agents',
        Key: 'large.zip',
        Body: Readable.from(Array.from({ length: 100 }, () => mebibyte)),
        ContentLength: 100 * mebibyte.length,
      }),
    );
    await fetched({ s3: store.settings, object: 'nothing.zip' }).catch(() => {});
    const used = () => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
    const before = used();
    let peak = before;
    let turns = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, used());
      turns++;
    }, 2);
    onTestFinished(() => clearInterval(sampling));
    const { digest } = await fetched({ s3: store.settings, object: 'large.zip' });
    expect(digest).toBe(hash.digest('hex'));
    expect(turns).toBeGreaterThan(20);
    expect(peak - before).toBeLessThan(48 * 1024 * 1024);
  }, 60_000);
});
