import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { crc64 } from '@runstead/contract/crc64';
import { describe, expect, it, onTestFinished } from 'vitest';
import { packageOf } from '../artifacts/bench.ts';
import {
  objectStoreProblem,
  startObjectStore,
  startSilentListener,
  startStubStore,
} from '../artifacts/object-store.ts';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const agent = (text: string) => packageOf({ 'index.js': `// ${text}` });
const IN_BUCKET = { ossBucketName: 'agents', ossObjectName: 'team/agent.zip' };

/** Puts a package where an operator would. */
function put(server: TestServer, bytes: Buffer, object = IN_BUCKET.ossObjectName) {
  const file = join(server.dataDir, 'buckets', IN_BUCKET.ossBucketName, object);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, bytes);
  return file;
}

async function create(server: TestServer, name: string, code: object = IN_BUCKET): Promise<string> {
  const { status, data, message } = await server.send(name, code);
  if (status !== 200) throw new Error(message);
  return data.agentRuntimeId;
}

async function update(server: TestServer, agentRuntimeId: string, body: object) {
  const { status, message } = await server.call('UpdateAgentRuntime', { agentRuntimeId }, body);
  if (status !== 200) throw new Error(message);
  return server.decided(agentRuntimeId);
}

const versions = async (server: TestServer, agentRuntimeId: string) =>
  (await server.call('ListAgentRuntimeVersions', { agentRuntimeId })).data.total as number;
const events = async (
  server: TestServer,
  id: string,
): Promise<{ phase: string; outcome: string; reason?: string }[]> =>
  (await server.api(`/runstead/v1/runtimes/${id}/events`)).data.items;
const blobs = (server: TestServer) =>
  readdirSync(join(server.dataDir, 'blobs')).flatMap((name) => /^(.*)\.zip$/.exec(name)?.[1] ?? []);
const incoming = (server: TestServer) => readdirSync(join(server.dataDir, 'blobs', 'incoming'));
/** What an instance of the fake driver was started from. */
const startedFrom = (server: TestServer) => server.driver.starts.at(-1)!.codeDir.split('/').at(-1);

describe('a package in a folder of the data folder', () => {
  it('is fetched, started, and told by its names', () =>
    withServer({}, async (server) => {
      const zip = await agent('1');
      put(server, zip);
      const id = await create(server, 'local', { ...IN_BUCKET, checksum: crc64(zip) });
      expect(await server.decided(id)).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
        codeConfiguration: { ...IN_BUCKET, checksum: crc64(zip) },
      });
      expect((await server.invoke('local')).status).toBe(200);
      expect(startedFrom(server)).toBe(digestOf(zip));
      const phases = (await events(server, id)).map(({ phase }) => phase);
      expect(phases.filter((phase) => phase !== 'scale')).toEqual([
        'ready',
        'start',
        'install',
        'unpack',
        'fetch',
      ]);
    }));

  it('is asked for again when an update names it again, and only then', () =>
    withServer({}, async (server) => {
      const [one, two] = [await agent('1'), await agent('2')];
      put(server, one);
      const id = await create(server, 'again');
      await server.decided(id);
      expect(server.driver.starts).toHaveLength(1);

      // The same bytes: nothing that runs has changed, wherever they lie now.
      expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
      });
      put(server, one, 'other.zip');
      const moved = { ...IN_BUCKET, ossObjectName: 'other.zip' };
      expect(await update(server, id, { codeConfiguration: moved })).toMatchObject({
        status: 'READY',
        codeConfiguration: moved,
      });
      expect([await versions(server, id), server.driver.starts.length]).toEqual([1, 1]);

      const file = put(server, two);
      expect(await update(server, id, { description: 'not about the package' })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
      });
      expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '2',
      });
      expect(startedFrom(server)).toBe(digestOf(two));

      // It is kept: what does not name it needs it no more.
      rmSync(file);
      expect(await update(server, id, { environmentVariables: { A: '1' } })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '3',
      });
      expect(startedFrom(server)).toBe(digestOf(two));
      expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
        status: 'UPDATE_FAILED',
        agentRuntimeVersion: '3',
        statusReason: "fetch: object 'team/agent.zip' does not exist in bucket 'agents' of the data folder",
      });
      put(server, one);
      expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '4',
      });
      expect(startedFrom(server)).toBe(digestOf(one));
    }));

  it('belongs to its version for good: also after a restart, with the object gone', () =>
    withServer({}, async (server) => {
      const [one, two] = [await agent('1'), await agent('2')];
      put(server, one);
      const id = await create(server, 'for-good');
      await server.decided(id);
      const file = put(server, two);
      await update(server, id, { codeConfiguration: IN_BUCKET });
      rmSync(file);
      await server.restart({ instancesEnd: true });
      // What was prepared may go at any time and is made anew from the package.
      rmSync(join(server.dataDir, 'code', id), { recursive: true });
      const old = { agentRuntimeEndpointName: 'old', targetVersion: '1' };
      expect((await server.call('CreateAgentRuntimeEndpoint', { agentRuntimeId: id }, old)).status).toBe(200);
      expect((await server.invoke('for-good', '/', { endpoint: 'old' })).status).toBe(200);
      expect(startedFrom(server)).toBe(digestOf(one));
      expect((await server.invoke('for-good')).status).toBe(200);
      expect(startedFrom(server)).toBe(digestOf(two));
      expect(blobs(server).sort()).toEqual([digestOf(one), digestOf(two)].sort());
    }));

  it('is held to its checksum, when it is new and when it is not', () =>
    withServer({}, async (server) => {
      const zip = await agent('1');
      put(server, zip);
      const reason = `fetch: codeConfiguration.checksum is 77, but the package received has CRC-64 ${crc64(zip)}`;
      const failed = await create(server, 'wrong-sum', { ...IN_BUCKET, checksum: '77' });
      expect(await server.decided(failed)).toMatchObject({ status: 'CREATE_FAILED', statusReason: reason });
      const id = await create(server, 'right-sum', { ...IN_BUCKET, checksum: crc64(zip) });
      expect(await server.decided(id)).toMatchObject({ status: 'READY' });
      const wrong = { codeConfiguration: { ...IN_BUCKET, checksum: '77' } };
      expect(await update(server, id, wrong)).toMatchObject({
        status: 'UPDATE_FAILED',
        statusReason: reason,
      });
      expect([await versions(server, id), server.driver.starts.length]).toEqual([1, 1]);
    }));

  it('has to say how it is started, in the words of an upload', () =>
    withServer({}, async (server) => {
      const zip = await packageOf({ 'run.sh': '' });
      put(server, zip);
      const uploaded = await server.send('uploaded', { zipFile: zip.toString('base64') });
      expect(uploaded.status).toBe(400);
      const id = await create(server, 'no-entry');
      expect(await server.decided(id)).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: `fetch: ${uploaded.message}`,
      });
      // The bucket is still named: a command is all that was missing.
      expect(await update(server, id, { codeConfiguration: { command: ['sh', 'run.sh'] } })).toMatchObject({
        status: 'READY',
      });
      put(server, Buffer.from('no archive'), 'broken.zip');
      const unreadable = await create(server, 'unreadable', { ...IN_BUCKET, ossObjectName: 'broken.zip' });
      expect((await server.decided(unreadable)).statusReason).toMatch(
        /^unpack: the package is no readable ZIP archive/,
      );
    }));

  it('is no larger than a request may be', () =>
    withServer({ bodyLimitBytes: 50_000 }, async (server) => {
      put(server, Buffer.alloc(50_001));
      const { status, statusReason } = await server.decided(await create(server, 'large'));
      expect([status, statusReason]).toEqual([
        'CREATE_FAILED',
        "fetch: object 'team/agent.zip' is larger than the limit of 50000 bytes",
      ]);
      expect(incoming(server)).toEqual([]);
    }));

  it('says where a bucket could be when it is nowhere', () =>
    withServer({}, async (server) => {
      const { statusReason } = await server.decided(await create(server, 'nowhere'));
      expect(statusReason).toMatch(
        /^fetch: bucket 'agents' is not there: .*data folder's buckets.*RUNSTEAD_S3_ENDPOINT.*zipFile$/,
      );
    }));
});

describe('names of buckets and objects', () => {
  const FOREIGN = 'of-somebody-else';
  /** Bucket, object, and what becomes of it: 400 with this, or CREATE_FAILED with that. */
  const table: [bucket: unknown, object: unknown, refused: RegExp | undefined, failed?: RegExp][] = [
    ['', 'o', /ossBucketName must be a bucket name/],
    ['ab', 'o', /ossBucketName must be a bucket name.*"ab"/],
    ['x'.repeat(64), 'o', /ossBucketName/],
    ['x'.repeat(5000), 'o', /ossBucketName/],
    ['Agents', 'o', /ossBucketName.*"Agents"/],
    ['..', 'o', /ossBucketName/],
    ['../agents', 'o', /ossBucketName/],
    ['agents/..', 'o', /ossBucketName/],
    ['agents/team', 'o', /ossBucketName/],
    ['agents\\team', 'o', /ossBucketName/],
    ['/etc', 'passwd', /ossBucketName/],
    ['a..b', 'o', /ossBucketName/],
    ['xn--agents', 'o', /ossBucketName/],
    ['.agents', 'o', /ossBucketName/],
    ['agents.', 'o', /ossBucketName/],
    ['agents\0', 'o', /ossBucketName/],
    ['agents\n', 'o', /ossBucketName/],
    ['agents@evil', 'o', /ossBucketName/],
    ['agents:80', 'o', /ossBucketName/],
    ['agents?x', 'o', /ossBucketName/],
    ['%61gents', 'o', /ossBucketName/],
    ['аgents', 'o', /ossBucketName/],
    ['127.0.0.1', 'o', /ossBucketName/],
    ['arn:aws:s3:::agents', 'o', /ossBucketName/],
    [7, 'o', /ossBucketName must be a string/],
    ['agents', '', /ossObjectName must not be empty/],
    ['agents', '/etc/passwd', /ossObjectName must not begin with "\/".*"\/etc\/passwd"/],
    ['agents', '..', /ossObjectName must not have "\." or "\.\."/],
    ['agents', '../secret', /ossObjectName must not have/],
    ['agents', 'team/../../secret', /ossObjectName must not have/],
    ['agents', './team/agent.zip', /ossObjectName must not have/],
    ['agents', 'team/.', /ossObjectName must not have/],
    ['agents', '..\\secret', /ossObjectName must not contain a backslash/],
    ['agents', 'C:\\secret', /ossObjectName must not contain a backslash/],
    ['agents', 'team/', /ossObjectName must not end with "\/"/],
    ['agents', '//secret', /ossObjectName must not begin/],
    ['agents', 'agent.zip\0.txt', /ossObjectName must not contain control characters/],
    ['agents', 'a\r\nX-Other: 1', /ossObjectName must not contain control/],
    ['agents', 'a\u001b[2J', /ossObjectName must not contain control/],
    ['agents', '\ud800', /ossObjectName must not contain half/],
    ['agents', 'x'.repeat(1025), /ossObjectName must have at most 1024 bytes/],
    ['agents', 'é'.repeat(600), /ossObjectName must have at most 1024 bytes/],
    ['agents', 'x'.repeat(100_000), /ossObjectName must have at most 1024 bytes/],
    ['agents', 7, /ossObjectName must be a string/],
    ['agents', ['a'], /ossObjectName must be a string/],
    ['agents', undefined, /ossObjectName is required/],
    [undefined, 'o', /ossBucketName is required/],
    ['agents', 'planted', undefined, /is a link/],
    ['agents', 'planted-twice', undefined, /is a link/],
    ['agents', 'up/secret', undefined, /is a link/],
    ['agents', 'here/team/agent.zip', undefined, /is a link/],
    ['agents', 'dangling', undefined, /is a link/],
    ['agents', 'loop', undefined, /is a link/],
    ['agents', 'environment', undefined, /is a link/],
    ['linked', 'secret', undefined, /bucket 'linked' is a link/],
    ['file', 'o', undefined, /bucket 'file' is no folder/],
    ['agents', 'pipe', undefined, /is no regular file/],
    ['agents', 'team', undefined, /is a folder/],
    ['agents', 'team//agent.zip', undefined, /empty part/],
    ['agents', 'team/agent.zip/deeper', undefined, /is no folder/],
    ['agents', '%2e%2e/secret', undefined, /does not exist/],
    ['agents', '..%2fsecret', undefined, /does not exist/],
    ['agents', '..;/secret', undefined, /does not exist/],
    ['agents', '．．/secret', undefined, /does not exist/],
    ['agents', 'team／agent.zip', undefined, /does not exist/],
    ['agents', 'TEAM/agent.zip', undefined, /does not exist/],
    ['agents', 'cafe\u0301.zip', undefined, /does not exist/],
    ['agents', '~/secret', undefined, /does not exist/],
    ['agents', '$HOME/secret', undefined, /does not exist/],
    ['agents', 'file:///etc/passwd', undefined, /empty part/],
    ['agents', `${'d/'.repeat(400)}o`, undefined, /does not exist/],
    ['agents', 'x'.repeat(1000), undefined, /does not exist/],
    ['agents', ' ', undefined, /does not exist/],
    ['agents', '\u202ezip', undefined, /does not exist/],
  ];

  it('lead to nothing but regular files of their bucket, to no byte from elsewhere, and to no other machine', async () => {
    const listener = await startSilentListener();
    onTestFinished(() => listener.close());
    await withServer({ s3Endpoint: listener.url }, async (server) => {
      put(server, await agent('1'));
      const root = join(server.dataDir, 'buckets');
      const agents = join(root, 'agents');
      writeFileSync(join(server.dataDir, 'secret'), FOREIGN);
      writeFileSync(join(root, 'file'), FOREIGN);
      writeFileSync(join(agents, 'caf\u00e9.zip'), FOREIGN);
      symlinkSync(join(server.dataDir, 'secret'), join(agents, 'planted'));
      symlinkSync('planted', join(agents, 'planted-twice'));
      symlinkSync('../..', join(agents, 'up'));
      symlinkSync('.', join(agents, 'here'));
      symlinkSync('nothing', join(agents, 'dangling'));
      symlinkSync('loop', join(agents, 'loop'));
      symlinkSync('/proc/self/environ', join(agents, 'environment'));
      symlinkSync(server.dataDir, join(root, 'linked'));
      execFileSync('mkfifo', [join(agents, 'pipe')]);
      const foreign = new RegExp(`${FOREIGN}|RUNSTEAD_DATA|PATH=|${server.dataDir}|/proc/`);

      expect(table.length).toBeGreaterThan(40);
      const wrong: unknown[] = [];
      for (const [index, [ossBucketName, ossObjectName, refused, failed]] of table.entries()) {
        const answer = await server.send(`named-${index}`, { ossBucketName, ossObjectName });
        const seen: unknown[] = [answer];
        let right = false;
        if (refused) {
          right =
            answer.status === 400 && answer.code === 'ERR_VALIDATION_FAILED' && refused.test(answer.message!);
        } else if (answer.status === 200) {
          const runtime = await server.decided(answer.data.agentRuntimeId);
          seen.push(runtime, await events(server, answer.data.agentRuntimeId));
          right =
            runtime.status === 'CREATE_FAILED' &&
            /^fetch: [^\n]+$/.test(runtime.statusReason!) &&
            failed!.test(runtime.statusReason!);
        }
        if (!right || foreign.test(JSON.stringify(seen))) wrong.push([ossBucketName, ossObjectName, seen]);
      }
      expect(wrong).toEqual([]);
      expect(server.driver.starts).toHaveLength(0);
      expect([blobs(server), incoming(server)]).toEqual([[], []]);
      expect(listener.connections()).toBe(0);

      // What is as it should be is served, from the folder still, and a hard link is a file like others.
      linkSync(join(agents, 'team', 'agent.zip'), join(agents, 'second name ü.zip'));
      const id = await create(server, 'well-named', {
        ossBucketName: 'agents',
        ossObjectName: 'second name ü.zip',
      });
      expect(await server.decided(id)).toMatchObject({ status: 'READY' });
      expect(listener.connections()).toBe(0);
    });
  });
});

describe('a package in an object store', () => {
  const problem = objectStoreProblem();
  if (problem !== undefined) console.warn(`skipped: ${problem}`);

  it.skipIf(problem !== undefined)(
    'is deployed, serves, and is replaced; with a wrong secret it is denied',
    async () => {
      const store = await startObjectStore();
      onTestFinished(() => store.close());
      const client = store.client();
      await client.send(
        new CreateBucketCommand({
          Bucket: 'agents',
          CreateBucketConfiguration: { LocationConstraint: 'eu-central-1' },
        }),
      );
      const upload = (Body: Buffer) =>
        client.send(new PutObjectCommand({ Bucket: 'agents', Key: IN_BUCKET.ossObjectName, Body }));
      const settings = { s3Endpoint: store.url, s3Region: 'eu-central-1', s3AccessKeyId: store.key.id };
      const [one, two] = [await agent('1'), await agent('2')];
      await upload(one);
      await withServer({ ...settings, s3AccessKeySecret: store.key.secret }, async (server) => {
        const id = await create(server, 'stored');
        expect(await server.decided(id)).toMatchObject({
          status: 'READY',
          agentRuntimeVersion: '1',
          codeConfiguration: IN_BUCKET,
        });
        expect((await server.invoke('stored')).status).toBe(200);
        expect(startedFrom(server)).toBe(digestOf(one));
        await upload(two);
        expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
          status: 'READY',
          agentRuntimeVersion: '2',
        });
        expect(startedFrom(server)).toBe(digestOf(two));
        await client.send(new DeleteObjectCommand({ Bucket: 'agents', Key: IN_BUCKET.ossObjectName }));
        expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
          status: 'UPDATE_FAILED',
          statusReason:
            "fetch: object 'team/agent.zip' does not exist in bucket 'agents' of the object store",
        });
        expect((await server.invoke('stored')).status).toBe(200);
        // A folder of that name goes first.
        put(server, one);
        expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
          status: 'READY',
          agentRuntimeVersion: '3',
        });
        expect(startedFrom(server)).toBe(digestOf(one));
      });
      await withServer({ ...settings, s3AccessKeySecret: 'not-that-secret' }, async (server) => {
        const id = await create(server, 'denied');
        const { status, statusReason } = await server.decided(id);
        expect(status).toBe('CREATE_FAILED');
        expect(statusReason).toMatch(/^fetch: the object store denies access to .*\(SignatureDoesNotMatch\)/);
        expect(JSON.stringify([statusReason, await events(server, id)])).not.toContain('not-that-secret');
      });
    },
    60_000,
  );

  /** A store that answers when it is told to. */
  async function holdingStore() {
    const held: ServerResponse[] = [];
    let closed = 0;
    const store = await startStubStore((_request, response) => {
      response.on('close', () => closed++);
      response.write('PK');
      held.push(response);
    });
    onTestFinished(() => store.close());
    return { ...store, held, closed: () => closed };
  }
  const bytes = Buffer.from('PK, and more that is no archive');
  const finish = (response: ServerResponse) => void response.end(bytes.subarray(2));

  it('is given up when an update overtakes it', async () => {
    const store = await holdingStore();
    await withServer({ s3Endpoint: store.url }, async (server) => {
      const id = await create(server, 'overtaken');
      await waitFor('the store to be asked', () => store.held.length === 1);
      put(server, await agent('1'));
      expect(await update(server, id, { codeConfiguration: IN_BUCKET })).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
      });
      await waitFor('the connection to be closed', () => store.closed() === 1);
      expect(incoming(server)).toEqual([]);
      const fetches = (await events(server, id)).filter(({ phase }) => phase === 'fetch');
      expect(fetches.map(({ outcome }) => outcome)).toEqual(['ok', 'superseded']);
    });
  });

  it('is given up when the runtime is deleted, and nothing of it stays', async () => {
    const store = await holdingStore();
    await withServer({ s3Endpoint: store.url }, async (server) => {
      for (const [before, when] of (['before the end', 'at the end'] as const).entries()) {
        const id = await create(server, 'deleted');
        await waitFor('the store to be asked', () => store.held.length === before + 1);
        const deleting = server.call('DeleteAgentRuntime', { agentRuntimeId: id });
        if (when === 'at the end') finish(store.held.at(-1)!);
        expect((await deleting).status).toBe(200);
        await waitFor(
          'the runtime to be gone',
          async () => (await server.call('GetAgentRuntime', { agentRuntimeId: id })).status === 404,
        );
        await waitFor(
          'nothing to be left',
          () => blobs(server).length === 0 && incoming(server).length === 0,
        );
      }
    });
  });

  it('is fetched again after a server that ended meanwhile, and not after one that had it', async () => {
    const store = await holdingStore();
    const zip = await agent('1');
    await withServer({ s3Endpoint: store.url }, async (server) => {
      let go = () => {};
      const until = new Promise<void>((resolve) => {
        go = resolve;
      });
      server.driver.behave = () => ({ until });
      const id = await create(server, 'interrupted');
      await waitFor('the store to be asked', () => store.held.length === 1);
      await server.restart({ instancesEnd: true });
      await waitFor('the store to be asked again', () => store.held.length === 2);
      await waitFor('the bytes to come anew', () => incoming(server).length === 1);
      // The stub's first bytes are those of every archive.
      store.held[1]!.end(zip.subarray(2));
      await waitFor('the start', () => server.driver.starts.length === 1);
      await server.restart({ instancesEnd: true });
      await waitFor('the next start', () => server.driver.starts.length === 2);
      go();
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
      expect(store.held).toHaveLength(2);
      expect(startedFrom(server)).toBe(digestOf(zip));
    });
  });
});
