import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Settings } from '../../src/artifacts/buckets/s3-bucket.ts';

/** A published S3-compatible server that holds callers to their signatures, running for a test. */
export interface ObjectStore {
  url: string;
  key: { id: string; secret: string };
  /** What a server of ours is given to reach it. */
  settings: S3Settings;
  /** The official client on it. */
  client(more?: S3ClientConfig): S3Client;
  close(): Promise<void>;
}

const REGION = 'eu-central-1';
const PACKAGES = ['moto[s3]==5.2.5', 'flask==3.1.3', 'flask-cors==6.0.2'];
const FOLDER = fileURLToPath(new URL('../../../../node_modules/.cache/object-store-5.2.5', import.meta.url));

/** Installs the server, once for this tree. @returns why it cannot be, for whoever then skips */
export function objectStoreProblem(): string | undefined {
  if (existsSync(FOLDER)) return undefined;
  const work = `${FOLDER}.${randomUUID()}`;
  try {
    mkdirSync(work, { recursive: true });
    const args = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--only-binary', ':all:'];
    execFileSync('python3', [...args, '--target', work, ...PACKAGES], { stdio: 'pipe', timeout: 240_000 });
    // Another test that runs at the same time may have been quicker.
    if (!existsSync(FOLDER)) renameSync(work, FOLDER);
    return undefined;
  } catch (error) {
    if (existsSync(FOLDER)) return undefined;
    return `pip installs no object store here (${(error as Error).message.split('\n')[0]})`;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Starts it on a free port, with one key that may do everything. */
export async function startObjectStore(): Promise<ObjectStore> {
  const child = spawn('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', '0'], {
    env: {
      PATH: process.env.PATH,
      PYTHONPATH: FOLDER,
      // Three calls make the key; from then on signatures and policies count.
      INITIAL_NO_AUTH_ACTION_COUNT: '3',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const url = await saysWhere(child);
  await manage(url, { Action: 'CreateUser', UserName: 'server' });
  const made = await manage(url, { Action: 'CreateAccessKey', UserName: 'server' });
  await manage(url, {
    Action: 'PutUserPolicy',
    UserName: 'server',
    PolicyName: 'all',
    PolicyDocument: JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Action: 's3:*', Resource: '*' },
        { Effect: 'Deny', Action: 's3:GetObject', Resource: 'arn:aws:s3:::agents/forbidden/*' },
      ],
    }),
  });
  const key = {
    id: /<AccessKeyId>(.*?)</.exec(made)![1]!,
    secret: /<SecretAccessKey>(.*?)</.exec(made)![1]!,
  };
  return {
    url,
    key,
    settings: { endpoint: url, region: REGION, key, pathStyle: true },
    client: (more) =>
      new S3Client({
        endpoint: url,
        region: REGION,
        forcePathStyle: true,
        credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
        requestChecksumCalculation: 'WHEN_REQUIRED',
        ...more,
      }),
    async close() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

function saysWhere(child: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`the object store ended: ${said.slice(-2000)}`)));
    // Read to the end, so that it never waits for a reader.
    child.stderr!.on('data', (piece) => {
      said = (said + String(piece)).slice(-10_000);
      const url = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}

async function manage(url: string, parameters: Record<string, string>): Promise<string> {
  const scope = `${REGION}/iam/aws4_request`;
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `AWS4-HMAC-SHA256 Credential=none/20260101/${scope}, SignedHeaders=host, Signature=none`,
    },
    body: new URLSearchParams({ Version: '2010-05-08', ...parameters }),
  });
  if (!response.ok) throw new Error(`${parameters.Action}: HTTP ${response.status} ${await response.text()}`);
  return response.text();
}

/** An HTTP server of the test's own that answers as no good store would. */
export async function startStubStore(
  answer: Parameters<typeof createServer>[1],
): Promise<{ url: string; server: Server; close(): Promise<void> }> {
  const server = createServer(answer as never);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A listener that takes connections, counts them and says nothing. */
export async function startSilentListener(): Promise<{
  url: string;
  connections(): number;
  close(): Promise<void>;
}> {
  let count = 0;
  const open = new Set<Socket>();
  const server = createSocketServer((socket) => {
    count++;
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => count,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
