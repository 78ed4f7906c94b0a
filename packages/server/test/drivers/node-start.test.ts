import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modernNode } from './modern-node.ts';
import { openStartBench } from './node-start-bench.ts';

const hasProc = existsSync('/proc/self/environ');
if (!hasProc) console.warn('skipped: this machine has no /proc to look at processes with');
/** `RUNSTEAD_TEST_NODE=22` tries another release. */
const node = hasProc ? await modernNode(Number(process.env.RUNSTEAD_TEST_NODE ?? 24)) : undefined;

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const PLAYER = fileURLToPath(new URL('../../assets/preload/node-start/play.cjs', import.meta.url));
/** An addon for this machine, if there is a prebuilt one. */
const ADDON = join(
  ROOT,
  `node_modules/@photostructure/sqlite/prebuilds/${process.platform}-${process.arch}/@photostructure+sqlite.glibc.node`,
);

describe.skipIf(!node)('a recorded start', () => {
  let bench: Awaited<ReturnType<typeof openStartBench>>;

  beforeEach(async () => {
    bench = await openStartBench(node!);
  });
  afterEach(() => bench.dispose());

  /** The records of a runtime. */
  const records = (runtimeId: string) => {
    const folder = join(bench.folders.starts, runtimeId);
    return existsSync(folder) ? readdirSync(folder).map((key) => join(folder, key)) : [];
  };
  const small = async (runtimeId: string) => {
    const prepared = await bench.prepare(runtimeId);
    const spec = { runtimeId, codeDir: prepared.codeDir, command: ['node', 'small.mjs'] };
    return { ...prepared, spec };
  };

  it.each([
    ['an ES module', 'agent.mjs', {}],
    [
      'an ES module with hooks of the user before it',
      'agent.mjs',
      { NODE_OPTIONS: '--import ./preload.mjs' },
    ],
    ['CommonJS', 'agent.cjs', {}],
  ])('means what a plain one means: %s', async (_what, entry, environment) => {
    const addon = existsSync(ADDON) ? { 'addon.node': readFileSync(ADDON) } : {};
    const { codeDir } = await bench.prepare('rt', addon);
    const spec = { runtimeId: 'rt', codeDir, command: ['node', entry], environment };
    const plain = await bench.ask(spec, 'plain');
    const recorded = await bench.ask(spec);
    const played = await bench.ask(spec);
    // An exit of the agent by itself has left nothing in the record's cache, or it would not be played again.
    const again = await bench.ask(spec);
    expect([plain, recorded, played, again].map(({ mode }) => mode)).toEqual([
      'plain',
      'record',
      'play',
      'play',
    ]);
    for (const { text } of [recorded, played]) expect(JSON.parse(text)).toEqual(JSON.parse(plain.text));
    expect(bench.warnings).toEqual([]);
  });

  it('is of the package alone: what an agent has written or changed is never played', async () => {
    const { spec, codeDir, modules } = await small('rt');
    expect(await bench.ask(spec)).toEqual({
      mode: 'record',
      text: '{"answer":"as it was","generated":1,"beta":"beta"}',
    });
    // Installs are read-only, so nobody looks there again: this tells a module that is played from one that is read.
    writeFileSync(join(modules, 'esm-only/lib/answer.js'), 'export const answer = "read anew";');
    expect(await bench.ask(spec)).toEqual({
      mode: 'play',
      text: '{"answer":"as it was","generated":2,"beta":"beta"}',
    });
    // Its own folder an agent may write into.
    writeFileSync(join(codeDir, 'plugins/beta.mjs'), 'export default "changed since";');
    const { mode, text } = await bench.ask(spec);
    expect([mode, JSON.parse(text)]).toEqual([
      'record',
      { answer: 'read anew', generated: 3, beta: 'changed' },
    ]);
    const [record] = records('rt');
    const sources = readFileSync(join(record!, 'sources'), 'utf8');
    expect(sources).toContain("import { answer } from 'esm-only'");
    for (const foreign of ['changed since', 'read anew', 'export default 3'])
      expect(sources).not.toContain(foreign);
  });

  it('is for one package, command and environment, and for Node agents whose Node has hooks', async () => {
    const { spec } = await small('rt');
    const modes = [];
    for (const changes of [
      {},
      {},
      { environment: { NODE_ENV: 'production' } },
      { environment: { OTHER: 'one' } },
      { command: ['node', './small.mjs'] },
      { language: 'custom' as const },
      { environment: { NODE_OPTIONS: '--experimental-loader ./loader.mjs' } },
      { environment: { NODE_OPTIONS: '--experimental-loader ./loader.mjs' } },
    ]) {
      modes.push((await bench.ask({ ...spec, ...changes })).mode);
    }
    expect(modes).toEqual(['record', 'play', 'record', 'play', 'record', 'plain', 'record', 'record']);
    expect(bench.warnings.join()).toContain('the agent has module hooks in a thread of their own');

    // They may also come up in a start that is being played, or recorded.
    const hooked = { ...spec, environment: { HOOKED: 'yes' } };
    const { mode, text } = await bench.ask(hooked);
    expect([mode, JSON.parse(text).beta]).toEqual(['play', 'hooked']);
    const again = await bench.ask({ ...hooked, environment: { HOOKED: 'yes', NODE_ENV: 'test' } });
    expect([again.mode, JSON.parse(again.text).beta]).toEqual(['record', 'hooked']);
    expect(records('rt')).toHaveLength(3);
  });

  it('cannot be made to hold what an agent says of it, and one runtime has none of another', async () => {
    const secret = join(bench.dataDir, 'secret.mjs');
    writeFileSync(secret, 'export const answer = "of somebody else";');
    const first = await small('first');
    const second = await small('second');
    const environment = { TAMPER: secret };
    await bench.ask({ ...first.spec, environment: { ...environment, TAMPER_CACHE: 'yes' } });
    expect(records('first')).toEqual([]);
    expect(bench.warnings.splice(0).join()).toMatch(/could not be recorded/);

    expect((await bench.ask({ ...first.spec, environment })).mode).toBe('record');
    const [record] = records('first');
    const held = ['start.json', 'sources'].map((name) => readFileSync(join(record!, name), 'utf8')).join();
    expect(held).toContain('small.mjs');
    expect(held).not.toMatch(/somebody else|secret\.mjs|as it was/);
    const played = await bench.ask({ ...first.spec, environment });
    expect([played.mode, JSON.parse(played.text).answer]).toEqual(['play', 'as it was']);

    expect((await bench.ask(second.spec)).mode).toBe('record');
    expect((await bench.ask(second.spec)).mode).toBe('play');
    expect(records('second')).toHaveLength(1);
  });

  it('lies read-only, is played by a process that has long been running, and goes with its runtime', async () => {
    const { spec, codeDir, modules } = await small('rt');
    await bench.ask(spec);
    const [record] = records('rt');
    const all = readdirSync(record!, { recursive: true }) as string[];
    expect(all.length).toBeGreaterThan(6);
    for (const name of ['', ...all]) expect(lstatSync(join(record!, name)).mode & 0o222, name).toBe(0);

    writeFileSync(join(modules, 'esm-only/lib/answer.js'), 'export const answer = "read anew";');
    const late = join(bench.dataDir, 'late.cjs');
    const given = JSON.stringify({ recordFolder: record });
    writeFileSync(
      late,
      `setImmediate(async () => {
        console.log(require(${JSON.stringify(PLAYER)}).activate(${given}));
        await import(${JSON.stringify(`file://${codeDir}/small.mjs`)});
        process.exit();
      });`,
    );
    const { stdout } = await promisify(execFile)(node!.path, [late], { env: { PORT: '0' } });
    expect(stdout).toBe('true\nas it was\n');

    // That of a package which is there no more goes with the next one.
    const next = await bench.prepare('rt', { 'more.txt': 'of the next version' });
    rmSync(codeDir, { recursive: true });
    await bench.ask({ ...spec, codeDir: next.codeDir });
    const left = records('rt');
    expect([left.length, left[0] === record]).toEqual([1, false]);

    // What a crash leaves is swept at the next start, and a broken record is no reason not to start.
    mkdirSync(`${record}.left.tmp/cache`, { recursive: true });
    bench.starts.sweep();
    expect(records('rt')).toEqual(left);
    chmodSync(left[0]!, 0o700);
    chmodSync(join(left[0]!, 'start.json'), 0o600);
    writeFileSync(join(left[0]!, 'start.json'), '{');
    writeFileSync(join(next.modules, 'esm-only/lib/answer.js'), 'export const answer = "read at last";');
    expect((await bench.ask({ ...spec, codeDir: next.codeDir })).text).toContain('"read at last"');
    await bench.starts.forget('rt');
    expect(existsSync(join(bench.folders.starts, 'rt'))).toBe(false);
  });
});
