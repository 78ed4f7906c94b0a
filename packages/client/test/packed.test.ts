import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen } from './listen.ts';

/** What `npm publish` would send, installed into a project that has nothing else. */

const execute = promisify(execFile);
const root = join(import.meta.dirname, '..');
const tsc = join(root, '..', '..', 'node_modules', 'typescript', 'bin', 'tsc');

let folder: string;
let tarball: string;
let files: string[];
let project: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runstead-packed-'));
  const packed = await execute('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  const [{ filename, files: contents }] = JSON.parse(packed.stdout) as [
    { filename: string; files: { path: string }[] },
  ];
  tarball = join(folder, filename);
  files = contents.map(({ path }) => path);
  project = join(folder, 'project');
  await mkdir(project);
  await writeFile(join(project, 'package.json'), '{ "private": true }');
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  await execute('npm', ['install', ...quiet, tarball], { cwd: project });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Node in the project; its output is one JSON value. */
async function node(name: string, script: string, ...args: string[]): Promise<unknown> {
  await writeFile(join(project, name), script);
  const env = { PATH: process.env.PATH, HOME: folder };
  const { stdout, stderr } = await execute(process.execPath, [name, ...args], { cwd: project, env });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe('the package', () => {
  it('holds both builds, their types and their sources, and no tests', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'dist/esm/index.js',
        'dist/cjs/index.cjs',
        'dist/esm/sync/worker.js',
        'dist/index.d.ts',
        'dist/cjs/index.d.cts',
        'dist/cjs/sync/worker.cjs',
        'src/index.ts',
      ]),
    );
    expect(files.filter((file) => /\.test|tsbuildinfo/.test(file))).toEqual([]);
  });

  it('needs two libraries at run time, for code packages, and neither the contract nor the schema library', async () => {
    const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    expect(Object.keys(dependencies)).toEqual(['ignore', 'yazl']);
    const lock = JSON.parse(await readFile(join(project, 'package-lock.json'), 'utf8'));
    expect(Object.keys(lock.packages).filter(Boolean).sort()).toEqual(
      ['@runstead/client', 'buffer-crc32', 'ignore', 'yazl'].map((name) => `node_modules/${name}`),
    );
  });

  it('has nothing that publint objects to', async () => {
    const { messages } = await publint({ pkgDir: root, strict: true, pack: false });
    expect(messages).toEqual([]);
  });

  it('gives every way of importing the types of what it gets', async () => {
    const { problems, types } = (await checkPackage(
      createPackageFromTarballData(await readFile(tarball)),
    )) as { types: unknown; problems: { kind: string; resolutionKind?: string; entrypoint?: string }[] };
    expect(types).toMatchObject({ kind: 'included' });
    // Resolution as of Node 10 knows no `exports`: there only the main entry can be found.
    expect(
      problems.filter(
        ({ kind, resolutionKind }) => !(kind === 'NoResolution' && resolutionKind === 'node10'),
      ),
    ).toEqual([]);
  }, 60_000);
});

describe('installed, it', () => {
  const use = `try { new AgentRuntimeClient({ baseUrl: process.argv[2], apiKey: 'rsk_k', maxRetries: 0 }); } catch {}
    const client = new AgentRuntimeClient({ baseUrl: process.argv[2], apiKey: 'rsk_k', maxRetries: 0 });
    const blocking = new sync.AgentRuntimeClient({ baseUrl: process.argv[2], apiKey: 'rsk_k', maxRetries: 0 });
    async function main() {
      const error = await client.get('missing').catch((error) => error);
      let thrown; try { blocking.get('missing') } catch (error) { thrown = error }
      console.log(JSON.stringify([(await client.get('a')).agentRuntimeId, blocking.get('a').agentRuntimeId,
        (await code.codeFromFile(process.argv[1], { language: 'nodejs20' })).checksum !== undefined,
        error instanceof ResourceNotExistError, thrown instanceof ResourceNotExistError, thrown instanceof other.ResourceNotExistError,
        other.ResourceNotExistError === ResourceNotExistError, code.codeFromOss('b', 'o', { language: 'custom' }).ossBucketName]));
    }`;
  const expected = ['a', 'a', true, true, true, true, false, 'b'];

  const serve = () =>
    listen((request, response) => {
      const missing = request.url!.endsWith('/missing');
      response.writeHead(missing ? 404 : 200, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify(
          missing
            ? { code: 'ERR_NOT_FOUND', message: 'x', requestId: 'q' }
            : { code: 'SUCCESS', requestId: 'q', data: { agentRuntimeId: 'a' } },
        ),
      );
    });

  it('is imported as ES modules, knowing the errors of the other build', async () => {
    const script = `import { AgentRuntimeClient, ResourceNotExistError } from '@runstead/client';
      import * as sync from '@runstead/client/sync';
      import * as code from '@runstead/client/code';
      import { createRequire } from 'node:module';
      const other = createRequire(import.meta.url)('@runstead/client');
      ${use}; await main();`;
    expect(await node('use.mjs', script, await serve())).toEqual(expected);
  });

  it('is required as CommonJS, knowing the errors of the other build', async () => {
    const script = `const { AgentRuntimeClient, ResourceNotExistError } = require('@runstead/client');
      const sync = require('@runstead/client/sync');
      const code = require('@runstead/client/code');
      let other;
      ${use}; import('@runstead/client').then((esm) => { other = esm; return main(); });`;
    expect(await node('use.cjs', script, await serve())).toEqual(expected);
  });

  it.each([
    ['import', `import * as client from '@runstead/client'; console.log(client)`],
    ['require', `console.log(require('@runstead/client'))`],
  ])('takes no module of Node along into a browser or an edge worker: %s', async (name, text) => {
    await writeFile(join(project, `${name}.js`), text);
    const input = join(project, `${name}.js`);
    const bundle = await rolldown({ input, platform: 'browser', treeshake: false });
    const { output } = await bundle.generate();
    await bundle.close();
    const code = output.map((chunk) => ('code' in chunk ? chunk.code : '')).join();
    expect(code).toContain('AgentRuntimeClient');
    expect(code).not.toMatch(/["']node:|require\(["'](fs|os|path)["']\)/);
  });

  const program = `
    import { AgentRuntimeClient, HTTPError, type AgentRuntimeData, type Config } from '@runstead/client';
    import { codeFromFile } from '@runstead/client/code';
    import * as sync from '@runstead/client/sync';
    const config: Config = { apiKey: 'rsk_x' };
    export async function main(): Promise<void> {
      const client = new AgentRuntimeClient(config);
      const runtime = await client.create({ agentRuntimeName: 'a', codeConfiguration: await codeFromFile('.', { language: 'nodejs20' }) });
      const data: AgentRuntimeData = runtime;
      // @ts-expect-error languages are a closed set: the types are there, and are not any
      await codeFromFile('.', { language: 'cobol' });
      // @ts-expect-error a status is a word, not a number
      const status: number = data.status;
      const blocking = new sync.AgentRuntimeClient(config).get('a');
      const id: string | undefined = blocking.agentRuntimeId;
      for (const chunk of new sync.AgentRuntimeClient().invokeOpenai('a', undefined, { messages: [], stream: true })) {
        const content: string | null | undefined = chunk.choices[0]?.delta.content;
        console.log(content, id, status);
      }
      // @ts-expect-error a blocking call gives no promise
      blocking.refresh().then(() => {});
      if ((data as unknown) instanceof HTTPError) console.log(1);
    }`;
  it.each([
    ['nodenext', 'nodenext', 'main.mts'],
    ['nodenext', 'nodenext', 'main.cts'],
    ['node16', 'node16', 'main.mts'],
    ['node16', 'node16', 'main.cts'],
    ['esnext', 'bundler', 'main.ts'],
  ])(
    'type-checks: module %s, resolution %s, %s',
    async (module, moduleResolution, file) => {
      const place = await mkdtemp(join(project, 'types-'));
      await writeFile(join(place, file), program);
      const compilerOptions = {
        module,
        moduleResolution,
        target: 'es2022',
        lib: ['es2023', 'esnext.disposable', 'dom'],
        strict: true,
        noEmit: true,
        // Without it: what the declarations themselves lead to must be there.
        skipLibCheck: false,
        typeRoots: [join(root, '..', '..', 'node_modules', '@types')],
        // Code packages and blocking calls are Node's, and give its buffers.
        types: ['node'],
      };
      await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));
      const { stdout } = await execute(process.execPath, [tsc, '-p', place], { cwd: place }).catch(
        (error: { stdout: string }) => error,
      );
      expect(stdout).toBe('');
    },
    60_000,
  );

  it('type-checks without the types of Node, where only the main entry is used', async () => {
    const place = await mkdtemp(join(project, 'types-'));
    await writeFile(
      join(place, 'main.ts'),
      `import { AgentRuntimeClient } from '@runstead/client'; export const client = new AgentRuntimeClient();`,
    );
    const compilerOptions = {
      module: 'esnext',
      moduleResolution: 'bundler',
      target: 'es2022',
      lib: ['es2023', 'dom', 'dom.asynciterable'],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
    };
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
    const { stdout } = await execute(process.execPath, [tsc, '-p', place]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  }, 60_000);
});
