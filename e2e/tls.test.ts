import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { deploy, fixture, type Runtime } from './harness/deploy.ts';
import { hasProc, listeningPorts } from './harness/processes.ts';
import { isRefused } from './harness/raw-http.ts';
import { pythonOrSkip } from './harness/requirements.ts';
import { ownEnvironment, RUNSTEAD, type Server, startServer, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program with nothing of the test's environment but what a user's shell has. */
async function run(program: string, args: string[], env: Record<string, string> = {}): Promise<Answer> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...ownEnvironment(), ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [code, stdout, stderr] = await Promise.all([
    new Promise<number | null>((resolve) => child.once('exit', resolve)),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

const cli = (args: string[], env: Record<string, string> = {}) =>
  run(process.execPath, [RUNSTEAD, ...args], env);

function recordOf(server: Server) {
  const found = readFileSync(join(server.data, 'run', 'server.json'), 'utf8');
  return JSON.parse(found) as { url: string; localUrl: string; tlsUrl: string; caFile: string };
}

async function variablesOf(server: Server): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await cli(['env', '--format', 'json'], { RUNSTEAD_DATA: server.data });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, string>;
}

const FETCH = `
  const response = await fetch(process.argv[1], { headers: { authorization: 'Bearer ' + process.env.RUNSTEAD_API_KEY } });
  process.stdout.write(response.status + ' ' + (await response.text()));
`;
const node = (url: string, env: Record<string, string>) =>
  run(process.execPath, ['--input-type=module', '--eval', FETCH, url], env);

/** As aiohttp and httpx do it: the default context, which asks \`SSL_CERT_FILE\`. */
const PYTHON_SSL = `
import os, ssl, sys, urllib.request
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
request = urllib.request.Request(sys.argv[1], headers={'authorization': 'Bearer ' + os.environ['RUNSTEAD_API_KEY']})
with urllib.request.urlopen(request, context=context) as response:
    sys.stdout.write(f'{response.status} {response.read().decode()}')
`;
const PYTHON_REQUESTS = `
import os, sys, requests
response = requests.get(sys.argv[1], headers={'authorization': 'Bearer ' + os.environ['RUNSTEAD_API_KEY']})
sys.stdout.write(f'{response.status_code} {response.text}')
`;
const python = (script: string, url: string, env: Record<string, string>) =>
  run('python3', ['-c', script, url], env);

/** One call over TLS, with the name asked for and the Host field as given. */
function ask(
  server: Server,
  path: string,
  { host = 'localhost', address = '127.0.0.1' }: { host?: string; address?: string } = {},
): Promise<{ status: number; body: string }> {
  const { tlsUrl, caFile } = recordOf(server);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: address,
        port: new URL(tlsUrl).port,
        path,
        ca: readFileSync(caFile),
        // An address is no name to ask for (RFC 6066).
        servername: isIP(host) === 0 ? host.replace(/:\d+$/, '') : '',
        headers: { host },
        agent: false,
      },
      (answer) => {
        text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

const TLS = { RUNSTEAD_TLS_PORT: '0' };

describe('a server with TLS', () => {
  let server: Server;
  let runtime: Runtime;
  const RUNTIMES = '/2025-09-10/agents/runtimes';

  beforeAll(async () => {
    server = await startServer({ env: { ...TLS, RUNSTEAD_DOMAINS: 'chat.example.com=tls-agent' } });
    runtime = await deploy(server.client(), {
      folder: fixture('calls-home'),
      command: ['node', 'agent.mjs'],
      agentRuntimeName: 'tls-agent',
    });
  });
  afterAll(() => server.dispose());

  test('says both addresses, listens on both and on nothing else', () => {
    const { url, tlsUrl } = recordOf(server);
    expect(server.stderr).toContain(`runstead listens on ${url} and ${tlsUrl} (data in ${server.data}; `);
    expect(server.stderr.match(/\n/g)).toHaveLength(1);
    expect(tlsUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    if (!hasProc) return;
    const ports = [url, tlsUrl].map((it) => Number(new URL(it).port)).sort((a, b) => a - b);
    expect(listeningPorts(server.gatewayPid()!)).toEqual(ports);
  });

  describe('is used with nothing but the variables of `runstead env`', () => {
    test('by Node’s fetch', async () => {
      const env = await variablesOf(server);
      const url = `${env.AGENTRUN_CONTROL_ENDPOINT}${RUNTIMES}`;
      expect((await node(url, env)).stdout).toMatch(/^200 .*"tls-agent"/);
    });

    test('by Python’s ssl, strictly', async (context) => {
      pythonOrSkip(context);
      const env = await variablesOf(server);
      const { stdout, stderr } = await python(PYTHON_SSL, `${env.AGENTRUN_CONTROL_ENDPOINT}${RUNTIMES}`, env);
      expect(stdout, stderr).toMatch(/^200 .*"tls-agent"/);
    });

    test('by Python’s requests', async (context) => {
      pythonOrSkip(context);
      if (spawnSync('python3', ['-c', 'import requests']).status !== 0) {
        console.warn('skipped: this machine’s Python has no requests');
        context.skip('this machine’s Python has no requests');
      }
      const env = await variablesOf(server);
      const { stdout, stderr } = await python(
        PYTHON_REQUESTS,
        `${env.AGENTRUN_CONTROL_ENDPOINT}${RUNTIMES}`,
        env,
      );
      expect(stdout, stderr).toMatch(/^200 .*"tls-agent"/);
    });

    test('by curl, in a shell that evaluated them', async (context) => {
      if (spawnSync('curl', ['--version']).error) {
        console.warn('skipped: this machine has no curl');
        context.skip('this machine has no curl');
      }
      const script =
        'eval "$("$0" "$1" env --data "$2" 2>/dev/null)" && exec curl -sS --noproxy "*" -H "authorization: Bearer $RUNSTEAD_API_KEY" "$AGENTRUN_CONTROL_ENDPOINT$3"';
      const args = ['-c', script, process.execPath, RUNSTEAD, server.data, RUNTIMES];
      const { stdout, stderr } = await run('/bin/sh', args);
      expect(stdout, stderr).toContain('"tls-agent"');
    });

    test('and calls to agents go the same way', async () => {
      const env = await variablesOf(server);
      const path = `/agent-runtimes/${runtime.agentRuntimeName}/endpoints/Default/invocations/health`;
      expect((await node(`${env.AGENTRUN_DATA_ENDPOINT}${path}`, env)).stdout).toMatch(/^200 /);
    });
  });

  test('is refused by clients that were not told whom to trust', async (context) => {
    const url = `${recordOf(server).tlsUrl}/health`;
    const known = { RUNSTEAD_API_KEY: 'rsk_none' };
    const fetched = await node(url, known);
    expect(fetched.code).not.toBe(0);
    expect(fetched.stderr).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED/);
    pythonOrSkip(context);
    const asked = await python(PYTHON_SSL, url, known);
    expect(asked.code).not.toBe(0);
    expect(asked.stderr).toMatch(/CERTIFICATE_VERIFY_FAILED/);
  });

  test('gives a custom domain to its agent alone, and holds a certificate for it', async () => {
    const answer = await ask(server, '/health', { host: 'chat.example.com' });
    expect(answer.status).toBe(200);
    expect(answer.body).not.toBe('{"status":"ok"}');
    expect((await ask(server, '/health')).body).toBe('{"status":"ok"}');
    expect((await ask(server, '/health', { host: 'localhost:1' })).status).toBe(200);
    await expect(ask(server, '/health', { host: 'other.example.com' })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  test('keeps its private keys to its owner', () => {
    for (const name of ['authority.pem', 'tls.pem']) {
      expect(statSync(join(server.data, 'keys', name)).mode & 0o777).toBe(0o600);
    }
    expect(statSync(recordOf(server).caFile).mode & 0o777).toBe(0o644);
  });

  test('has its ports again after the gateway was killed', async () => {
    const before = server.gatewayPid()!;
    process.kill(before, 'SIGKILL');
    await waitFor('another gateway', () => {
      const pid = server.gatewayPid();
      return pid !== undefined && pid !== before;
    });
    await waitFor('an answer over TLS', () =>
      ask(server, '/health').then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });
});

test('a restart keeps the authority; a name more makes a new one', async () => {
  const server = await startServerForTest({ env: TLS });
  const ca = () => readFileSync(recordOf(server).caFile, 'utf8');
  const first = ca();
  await server.stop();
  await server.start();
  expect(ca()).toBe(first);
  await server.stop();
  await server.start({ env: { RUNSTEAD_TLS_NAMES: 'box.local' } });
  expect(ca()).not.toBe(first);
  expect((await ask(server, '/health', { host: 'box.local' })).status).toBe(200);
});

test('a certificate of the operator’s own is served, and taken up when it is renewed', async () => {
  const maker = await startServerForTest({ env: { ...TLS, RUNSTEAD_TLS_NAMES: 'agents.example.com' } });
  const pem = readFileSync(join(maker.data, 'keys', 'tls.pem'), 'utf8');
  const ca = readFileSync(recordOf(maker).caFile);
  await maker.stop();
  const [cert, key] = [join(maker.data, 'own-cert.pem'), join(maker.data, 'own-key.pem')];
  writeFileSync(cert, pem.replace(/-----BEGIN PRIVATE[\s\S]+/, ''));
  writeFileSync(key, pem.replace(/^[\s\S]+?(?=-----BEGIN PRIVATE)/, ''));

  const args = ['--tls-cert', cert, '--tls-key', key];
  const server = await startServerForTest({ env: TLS, args });
  const { tlsUrl, caFile } = recordOf(server);
  expect(caFile).toBeUndefined();
  const status = () =>
    new Promise<number>((resolve, reject) => {
      const options = {
        ca,
        servername: 'agents.example.com',
        headers: { host: 'localhost' },
        agent: false as const,
      };
      request(`${tlsUrl}/health`, options, (answer) => {
        answer.resume();
        resolve(answer.statusCode!);
      })
        .on('error', reject)
        .end();
    });
  expect(await status()).toBe(200);

  // One that this client does not know: who sees it refused sees that it is served.
  const other = await startServerForTest({ env: TLS });
  const renewed = readFileSync(join(other.data, 'keys', 'tls.pem'), 'utf8');
  writeFileSync(cert, renewed);
  writeFileSync(key, renewed);
  await waitFor('the renewed certificate to be served', () =>
    status().then(
      () => false,
      () => true,
    ),
  );
});

describe('a certificate that cannot be served with ends the start with exit 2 and its reason', () => {
  test.each<[string, string, RegExp]>([
    ['missing', '', /^error: RUNSTEAD_TLS_CERT names .*none\.pem, which cannot be read: ENOENT\n$/],
    [
      'no certificate',
      'hello',
      /^error: RUNSTEAD_TLS_CERT names .*, which holds no certificate in PEM form\n$/,
    ],
  ])('%s', async (_, content, says) => {
    const server = await startServerForTest();
    const file = join(server.data, 'none.pem');
    if (content !== '') writeFileSync(file, content);
    const data = join(server.data, 'other');
    const flags = ['--port', '0', '--tls-port', '0', '--tls-cert', file, '--tls-key', file, '--data', data];
    const { code, stdout, stderr } = await cli(['serve', ...flags]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(says);
  });
});

/** An address of this machine that others reach it under. */
const outer = Object.values(networkInterfaces())
  .flat()
  .find((it) => it !== undefined && !it.internal && it.family === 'IPv4')?.address;

describe.skipIf(outer === undefined)('beyond loopback', () => {
  if (outer === undefined) console.warn('skipped: this machine has no address beyond loopback');
  const address = outer ?? '';

  test.each([address, '0.0.0.0'])('TLS listens on %s, and plain HTTP on loopback alone', async (host) => {
    const server = await startServerForTest({
      env: { ...TLS, RUNSTEAD_TLS_NAMES: address },
      args: ['--host', host],
    });
    const { url, tlsUrl } = recordOf(server);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect((await ask(server, '/health', { address, host: address })).status).toBe(200);
    expect(await isRefused(Number(new URL(url).port), address)).toBe(true);
    expect(await isRefused(Number(new URL(tlsUrl).port), '127.0.0.1')).toBe(host !== '0.0.0.0');
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  test('an endpoint without public access is closed to that address, and open to this machine', async () => {
    const server = await startServerForTest({ env: TLS, args: ['--host', address] });
    const client = server.client();
    const { agentRuntimeId, agentRuntimeName } = await deploy(client, { folder: fixture('chat-node') });
    const path = (name: string) => `/agent-runtimes/${agentRuntimeName}/endpoints/${name}/invocations/health`;
    const endpoint = await client.createEndpoint(agentRuntimeId, {
      agentRuntimeEndpointName: 'inner',
      disablePublicNetworkAccess: true,
    });
    const outside = async () => (await ask(server, path('inner'), { address, host: address })).status;
    const inside = async () => (await fetch(`${server.url}${path('inner')}`)).status;
    await waitFor('the endpoint to answer from inside', async () => (await inside()) === 200);
    expect(await outside()).toBe(403);
    await client.updateEndpoint(agentRuntimeId, endpoint.agentRuntimeEndpointId!, {
      disablePublicNetworkAccess: false,
    });
    await waitFor('the endpoint to be open', async () => (await outside()) === 200);
    await client.updateEndpoint(agentRuntimeId, endpoint.agentRuntimeEndpointId!, {
      disablePublicNetworkAccess: true,
    });
    await waitFor('the endpoint to be closed', async () => (await outside()) === 403);
  });

  test('plain HTTP goes there only when that is asked for', async () => {
    const refused = await cli(['serve', '--port', '0', '--host', address, '--data', '/nowhere']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/--host must be a loopback address .*--tls-port 7443.*--insecure-http/);
    const server = await startServerForTest({ args: ['--host', address, '--insecure-http'] });
    expect(server.url).toBe(`http://${address}:${server.port}`);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});
