import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { beginStream, listen, readBody } from './listen.ts';

/**
 * The blocking forms, in processes of their own: here is the server. They run what was built, as every user's do, because
 * a worker thread cannot load TypeScript.
 */

const IMPORT = `import { AgentRuntimeClient, AgentRuntime, AgentRuntimeEndpoint, ResourceNotExistError, codeFromFile, codeFromOss,
  codeFromZipFile, zipFolder } from '@runstead/client/sync';
  const client = new AgentRuntimeClient({ maxRetries: 0 });
  const show = (value) => console.log(JSON.stringify(value));
  const caught = (work) => { try { work() } catch (error) { return error } throw new Error('nothing was thrown') };`;

interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  env?: Record<string, string>;
  args?: string[];
  stdin?: string;
  onOutput?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void;
}

async function node(args: string[], baseUrl: string, options: Options = {}): Promise<Ran> {
  const env = {
    PATH: process.env.PATH,
    HOME: tmpdir(),
    RUNSTEAD_BASE_URL: baseUrl,
    RUNSTEAD_API_KEY: 'rsk_k',
  };
  const child = spawn(process.execPath, args, {
    cwd: import.meta.dirname,
    env: { ...env, ...options.env },
    stdio: 'pipe',
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (piece) => {
    stdout += piece;
    options.onOutput?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.on('data', (piece) => {
    stderr += piece;
  });
  if (options.stdin === undefined) child.stdin.end();
  else child.stdin.end(options.stdin);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** An ES module given on the command line; what it printed, one JSON value a line. */
async function run(script: string, baseUrl: string, options: Options = {}): Promise<unknown[]> {
  const args = ['--input-type=module', '-e', IMPORT + script, ...(options.args ?? [])];
  const { code, stdout, stderr } = await node(args, baseUrl, options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

const runtime = (id: string, more: object = {}) => ({
  agentRuntimeId: id,
  agentRuntimeName: `n-${id}`,
  ...more,
});

function answer(response: ServerResponse, data: unknown): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ code: 'SUCCESS', requestId: 'q1', data }));
}

/** Answers like the API: pages of runtimes, a runtime that gets ready, one that does not exist. */
async function api(): Promise<{ url: string; seen: { method: string; path: string; auth: string }[] }> {
  const seen: { method: string; path: string; auth: string }[] = [];
  let looks = 0;
  const url = await listen(async (request, response) => {
    const path = request.url!;
    seen.push({ method: request.method!, path, auth: request.headers.authorization ?? '' });
    const body = await readBody(request);
    if (path.includes('/chat/completions')) {
      response.setHeader('content-type', 'application/json');
      return response.end(JSON.stringify({ choices: [{ message: { content: String(body.length) } }] }));
    }
    if (/\/runtimes\/missing$/.test(path)) {
      response.writeHead(404, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ code: 'ERR_NOT_FOUND', message: 'x', requestId: 'q404' }));
    }
    const page = /\/runtimes\?.*pageNumber=(\d+)/.exec(path);
    if (page) {
      const first = (Number(page[1]) - 1) * 50;
      const items = Array.from({ length: Math.min(50, 60 - first) }, (_, i) => runtime(`r${first + i}`));
      return answer(response, { items, total: 60, pageNumber: Number(page[1]), pageSize: 50 });
    }
    if (/\/runtimes(\?|$)/.test(path) && request.method === 'GET') {
      return answer(response, { items: [runtime('r0')], total: 60, pageNumber: 1, pageSize: 50 });
    }
    if (/\/runtimes\/fails$/.test(path)) {
      return answer(
        response,
        runtime('fails', { status: 'CREATE_FAILED', statusReason: 'npm ci ended with 1' }),
      );
    }
    looks += 1;
    return answer(response, runtime('r0', { status: looks > 2 ? 'READY' : 'CREATING' }));
  });
  return { url, seen };
}

describe('a blocking call', () => {
  it('gives its result, as an object of the blocking classes with its request id', async () => {
    const { url } = await api();
    const printed = await run(
      `const runtime = client.get('r0');
       show([runtime, runtime instanceof AgentRuntime, runtime.constructor.name, runtime.requestId, Object.keys(runtime)]);
       const page = client.list();
       show([page.total, page.length, page[0] instanceof AgentRuntime, page.requestId, Array.isArray(page)]);
       show(client.request('GET', '/runstead/v1/x').agentRuntimeId);
       show(client.invokeOpenai('a', undefined, { messages: [] }).choices[0].message.content);`,
      url,
    );
    const fields = runtime('r0', { status: 'CREATING' });
    expect(printed[0]).toEqual([fields, true, 'AgentRuntime', 'q1', Object.keys(fields)]);
    expect(printed[1]).toEqual([60, 1, true, 'q1', true]);
    expect(printed[2]).toBe('r0');
    expect(printed[3]).toBe(String(JSON.stringify({ messages: [], model: 'a', stream: false }).length));
  });

  it('changes the object it is made on, and gives that back', async () => {
    const { url, seen } = await api();
    const printed = await run(
      `const runtime = new AgentRuntime({ agentRuntimeId: 'r0', note: 'mine' });
       show([runtime.refresh() === runtime, runtime.status, 'note' in runtime]);
       show([runtime.waitUntilReadyOrFailed({ intervalMs: 1 }) === runtime, runtime.status]);
       runtime.setConfig({ apiKey: 'rsk_other' });
       runtime.agentRuntimeId = 'changed';
       runtime.delete();
       show(client.get('r0').updateSelf({ cpu: 1 }).cpu);`,
      url,
    );
    expect(printed).toEqual([[true, 'CREATING', false], [true, 'READY'], 1]);
    expect(seen.find(({ method }) => method === 'DELETE')).toMatchObject({
      path: expect.stringMatching(/runtimes\/changed$/),
      auth: 'Bearer rsk_other',
    });
  });

  it('reads every page of a list while it is iterated, and can be iterated again', async () => {
    const { url, seen } = await api();
    const printed = await run(
      `const rows = client.listAll();
       for (const row of rows) { show(row.agentRuntimeId); break }
       show([[...rows].length, rows.toArray().length, AgentRuntime.listAll().toArray().at(-1).agentRuntimeName]);
       show(String(caught(() => [...client.listAll({ pageNumber: 2 })])));`,
      url,
    );
    expect(printed.slice(0, 2)).toEqual(['r0', [60, 60, 'n-r59']]);
    expect(printed[2]).toMatch(/^ValueError: pageNumber cannot be given/);
    expect(seen.filter(({ path }) => path.includes('pageNumber')).length).toBe(4);
  });

  it('throws the error classes of the main entry, with all fields and the stack of its caller', async () => {
    const { url } = await api();
    const [notThere, failed, refused, wrong] = await run(
      `import * as main from '@runstead/client';
       function theCaller() { client.get('missing') }
       const notThere = caught(theCaller);
       show([notThere instanceof main.ResourceNotExistError, notThere instanceof ResourceNotExistError, notThere.stack,
         { ...notThere }, notThere.name, (await import('node:util')).types.isNativeError(notThere)]);
       const failed = caught(() => AgentRuntime.getById('fails').waitUntilReadyOrFailed());
       show([failed instanceof main.ResourceFailedError, failed.statusReason, failed.resource instanceof AgentRuntime]);
       const refused = caught(() => new AgentRuntimeClient({ baseUrl: 'http://127.0.0.1:9', maxRetries: 0 }).get('a'));
       show([refused instanceof main.ConnectionError, refused.mayHaveArrived, refused.cause instanceof Error]);
       show(String(caught(() => client.get(''))));`,
      url,
    );
    expect(notThere).toEqual([
      true,
      true,
      expect.stringMatching(
        /^ResourceNotExistError: AgentRuntime 'missing' does not exist\n {4}at theCaller /,
      ),
      {
        statusCode: 404,
        requestId: 'q404',
        errorCode: 'ERR_NOT_FOUND',
        resourceType: 'AgentRuntime',
        resourceId: 'missing',
      },
      'ResourceNotExistError',
      true,
    ]);
    expect(failed).toEqual([true, 'npm ci ended with 1', true]);
    expect(refused).toEqual([true, expect.any(Boolean), true]);
    expect(wrong).toBe('ValueError: agentRuntimeId is required');
  });

  it('refuses what would have to be called while it waits', async () => {
    const printed = await run(
      `show(String(caught(() => client.get('a', { signal: AbortSignal.timeout(1) }))));
       show(String(caught(() => new AgentRuntimeClient({ fetch }))));
       show(String(caught(() => client.withConfig({ logger: console }))));
       show(String(caught(() => new AgentRuntime({ agentRuntimeId: 'a' }).waitUntilReadyOrFailed({ onProgress() {} }))));
       show(String(caught(() => client.invokeOpenai('a', 'b', { messages: [], config: { fetch } }))));
       show(String(caught(() => codeFromFile('.', { language: 'nodejs20', onProgress() {} }))));
       show(String(caught(() => client.invokeOpenai('a', 'b', { messages: [{ role: 'user', content() {} }] }))));`,
      'http://127.0.0.1:9',
    );
    const names = ['signal', 'fetch', 'logger', 'onProgress', 'fetch', 'onProgress'];
    for (const [index, name] of names.entries()) {
      expect(printed[index]).toMatch(new RegExp(`^ValueError: a blocking call cannot take ${name}: `));
    }
    expect(printed[6]).toMatch(/^ValueError: invokeOpenai cannot take this in its blocking form: /);
  });

  it('sees environment variables set after the import, and logs while it waits', async () => {
    const { url, seen } = await api();
    const script = `client.get('r0'); process.env.RUNSTEAD_API_KEY = 'rsk_later'; process.env.RUNSTEAD_LOG = 'debug';
      client.get('r0');`;
    const { stdout, stderr } = await node(['--input-type=module', '-e', IMPORT + script], url);
    expect(seen.map(({ auth }) => auth)).toEqual(['Bearer rsk_k', 'Bearer rsk_later']);
    expect(stdout + stderr).toMatch(/GET .*runtimes\/r0/);
    expect(stdout + stderr).not.toContain('rsk_later');
  });

  it('serves several clients, each with its own settings and those laid over them', async () => {
    const { url, seen } = await api();
    await run(
      `const [a, b] = ['rsk_a', 'rsk_b'].map((apiKey) => new AgentRuntimeClient({ apiKey }));
       a.get('r0'); b.get('r0'); a.withConfig({ apiKey: 'rsk_c' }).get('r0'); a.get('r0').refresh();`,
      url,
    );
    expect(seen.map(({ auth }) => auth.slice(-5))).toEqual(['rsk_a', 'rsk_b', 'rsk_c', 'rsk_a', 'rsk_a']);
  });

  it('makes packages, large ones too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'runstead-sync-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'a.js'), 'a');
    const { url } = await api();
    const printed = await run(
      `const folder = process.argv[1];
       const { zip, files } = zipFolder(folder);
       show([Buffer.isBuffer(zip), zip.subarray(0, 2).toString(), files.map(({ path }) => path)]);
       const code = codeFromFile(folder, { language: 'nodejs20' });
       (await import('node:fs')).writeFileSync(folder + '/a.zip', zip);
       show(code.checksum === codeFromZipFile(folder + '/a.zip', { language: 'nodejs20' }).checksum);
       show(codeFromOss('b', 'o', { language: 'nodejs20' }));
       show(String(caught(() => codeFromFile(folder + '/nope', { language: 'nodejs20' }))).slice(0, 10));
       const runtime = client.create({ agentRuntimeName: 'a', codeConfiguration: { ...code, zipFile: 'x'.repeat(100_000_000) } });
       show(runtime.agentRuntimeId);`,
      url,
      { args: [folder] },
    );
    expect(printed).toEqual([
      [true, 'PK', ['a.js']],
      true,
      { language: 'nodejs20', ossBucketName: 'b', ossObjectName: 'o' },
      'ValueError',
      'r0',
    ]);
  });
});

describe('a blocking stream', () => {
  const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

  it('gives each chunk as it comes: the first is read before the last is sent', async () => {
    let open: ServerResponse | undefined;
    const url = await listen((_, response) => {
      beginStream(response);
      response.write(chunk('first'));
      open = response;
    });
    const printed = await run(
      `const { writeSync } = await import('node:fs');
       for (const { choices } of client.invokeOpenai('a', undefined, { messages: [], stream: true }))
         writeSync(1, JSON.stringify(choices[0].delta.content) + '\\n');`,
      url,
      {
        // Only what the other process has read makes this one send the rest.
        onOutput: () => {
          open?.end(`${chunk('last')}data: [DONE]\n\n`);
          open = undefined;
        },
      },
    );
    expect(printed).toEqual(['first', 'last']);
  });

  it('ends the agent’s work when the loop is left, and when it is cancelled', async () => {
    const closed: Promise<unknown>[] = [];
    const url = await listen((_, response) => {
      closed.push(once(response, 'close'));
      beginStream(response);
      response.write(chunk('one'));
    });
    await run(
      `const open = () => client.invokeOpenai('a', undefined, { messages: [], stream: true });
       for (const _ of open()) break;
       open().cancel();
       caught(() => { for (const _ of open()) throw new Error('mine') });
       const twice = open(); for (const _ of twice) break;
       show(String(caught(() => [...twice])));`,
      url,
    ).then((printed) => expect(printed).toEqual(['StreamError: a stream can be read only once']));
    expect(closed.length).toBe(4);
    await Promise.all(closed);
  });

  it('throws typed errors in its midst', async () => {
    let calls = 0;
    const url = await listen((_, response) => {
      beginStream(response);
      response.write(chunk('one'));
      calls += 1;
      response.end(calls === 1 ? `data: {"error":{"message":"no model","code":"e1"}}\n\n` : '');
    });
    const printed = await run(
      `import { StreamError, IncompleteStreamError } from '@runstead/client';
       for (const kind of [StreamError, IncompleteStreamError]) {
         const read = [];
         const error = caught(() => {
           for (const { choices } of client.invokeOpenai('a', undefined, { messages: [], stream: true })) read.push(choices[0].delta.content);
         });
         show([read, error instanceof kind, error.errorCode ?? null, error.requestId]);
       }`,
      url,
    );
    expect(printed).toEqual([
      [['one'], true, 'e1', 'q1'],
      [['one'], true, null, 'q1'],
    ]);
  });
});

describe('the blocking forms work', () => {
  const REQUIRE = `const { AgentRuntimeClient } = require('@runstead/client/sync'); const client = new AgentRuntimeClient();`;

  it('in CommonJS, with the classes of both builds', async () => {
    const { url } = await api();
    const script = `${REQUIRE}
      try { client.get('missing') } catch (error) {
        import('@runstead/client').then((esm) => console.log(error instanceof esm.ResourceNotExistError,
          error instanceof require('@runstead/client').ResourceNotExistError, error.constructor === esm.ResourceNotExistError));
      }`;
    expect(await node(['-e', script], url)).toEqual({ code: 0, stdout: 'true true false\n', stderr: '' });
  });

  it('in the REPL', async () => {
    const { url } = await api();
    const { code, stdout } = await node(['-i'], url, {
      stdin: `${REQUIRE}\nclient.get('r0').agentRuntimeName\n.exit\n`,
    });
    expect(code).toBe(0);
    expect(stdout).toContain("'n-r0'");
  });

  it('in worker threads, and under options for Node', async () => {
    const { url } = await api();
    const script = `const { Worker } = require('node:worker_threads');
      for (let i = 0; i < 2; i++) new Worker(${JSON.stringify(`${REQUIRE} console.log(client.get('r0').agentRuntimeId)`)}, { eval: true });`;
    const env = { NODE_OPTIONS: '--max-old-space-size=400 --no-warnings' };
    expect(await node(['-e', script], url, { env })).toEqual({ code: 0, stdout: 'r0\nr0\n', stderr: '' });
  });

  it('again after the worker has ended in the midst of a call, which says so', async () => {
    let calls = 0;
    const url = await listen((_, response) => {
      calls += 1;
      if (calls > 1) answer(response, runtime('r0'));
    });
    const folder = await mkdtemp(join(tmpdir(), 'runstead-sync-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    // Ends the first worker once its request is on its way.
    await writeFile(
      join(folder, 'end.cjs'),
      `const { isMainThread } = require('node:worker_threads');
       if (!isMainThread && !process.env.ENDED) require('node:diagnostics_channel').subscribe('undici:request:bodySent', end);
       if (!isMainThread && !process.env.ENDED) require('node:diagnostics_channel').subscribe('undici:client:sendHeaders', end);
       function end() { process.env.ENDED = '1'; setImmediate(() => process.exit(3)) }`,
    );
    const env = { NODE_OPTIONS: `--require ${join(folder, 'end.cjs')}` };
    const printed = await run(
      `show(String(caught(() => client.get('r0')))); show(client.get('r0').agentRuntimeId)`,
      url,
      { env },
    );
    expect(printed).toEqual([expect.stringMatching(/^AgentRunError: the worker thread .* has ended/), 'r0']);
  });

  it('until Ctrl-C, which ends a script that waits', async () => {
    const url = await listen(() => {});
    const ran = node(['-e', `${REQUIRE} require('fs').writeSync(1, 'waits'); client.get('r0')`], url, {
      onOutput: (_, kill) => kill('SIGINT'),
    });
    expect((await ran).code).toBe(null);
  });
});
