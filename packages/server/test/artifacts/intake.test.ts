import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sweepIncoming } from '../../src/artifacts/collect.ts';
import { blobFile } from '../../src/artifacts/folders.ts';
import { createPackageIntake, type PackageIntake } from '../../src/artifacts/intake.ts';
import { waitFor } from '../wait-for.ts';
import { type ArtifactBench, openBench, packageOf } from './bench.ts';

let bench: ArtifactBench;
let intake: PackageIntake;

beforeEach(() => {
  bench = openBench();
  intake = createPackageIntake(bench.folders, bench.thread);
});
afterEach(() => bench.dispose());

function bodyFile(text: string): string {
  const file = join(bench.folders.incoming, `${randomUUID()}.body`);
  writeFileSync(file, text);
  return file;
}

const bodyOf = (zip: Buffer, more = '') =>
  bodyFile(`{"codeConfiguration":{"language":"nodejs20","zipFile":"${zip.toString('base64')}"}${more}}`);
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const blobs = () =>
  readdirSync(bench.folders.blobs)
    .filter((name) => name.endsWith('.zip'))
    .sort();
const packagesUnderWay = () => readdirSync(bench.folders.incoming).filter((name) => name.endsWith('.zip'));

describe('taking packages in', () => {
  it('keeps the package under its digest, and says what starts it', async () => {
    const zip = await packageOf({ 'package.json': '{"scripts":{"start":"node a.js"}}', 'a.js': '' });
    const taken = await intake.accept(bodyOf(zip));
    expect(taken).toMatchObject({
      artifact: { digest: digestOf(zip), crc64: expect.stringMatching(/^\d+$/) },
      packageReadable: true,
    });
    expect(taken.artifact?.entry?.source).toContain('scripts.start');
    expect(JSON.parse(taken.json)).toEqual({ codeConfiguration: { language: 'nodejs20', zipFile: '' } });
    const blob = blobFile(bench.folders, digestOf(zip));
    expect(readFileSync(blob).equals(zip)).toBe(true);
    expect(statSync(blob).mode & 0o777).toBe(0o600);
    expect(packagesUnderWay()).toEqual([]);
    taken.release();
  });

  it('keeps the same bytes once, whoever sends them and how often', async () => {
    const zip = await packageOf({ 'index.js': '1' });
    const other = await packageOf({ 'index.js': '2' });
    const bodies = [zip, other, zip, zip, other, zip].map((bytes, index) => bodyOf(bytes, `,"n":${index}`));
    const all = await Promise.all(bodies.map((body) => intake.accept(body)));
    expect(blobs()).toEqual([`${digestOf(zip)}.zip`, `${digestOf(other)}.zip`].sort());
    const { ino } = statSync(blobFile(bench.folders, digestOf(zip)));
    all.push(await intake.accept(bodyOf(zip)));
    expect(statSync(blobFile(bench.folders, digestOf(zip))).ino).toBe(ino);
    expect(packagesUnderWay()).toEqual([]);
    for (const taken of all) taken.release();
  });

  it.each([
    ['none', '{"codeConfiguration":{}}'],
    ['an empty one', '{"codeConfiguration":{"zipFile":""}}'],
    ['broken JSON instead', '{"codeConfiguration":'],
  ])('keeps nothing of a body with %s', async (_name, text) => {
    const taken = await intake.accept(bodyFile(text));
    expect(taken).toEqual({ json: text, release: expect.any(Function) });
    taken.release();
    expect(blobs()).toEqual([]);
    expect(packagesUnderWay()).toEqual([]);
  });

  it('says what is wrong with a package that is no base64, and keeps nothing', async () => {
    const taken = await intake.accept(bodyFile('{"codeConfiguration":{"zipFile":"no base64!"}}'));
    expect(taken.fault).toMatch(/^codeConfiguration\.zipFile must be a ZIP archive in base64/);
    expect(taken.artifact).toBeUndefined();
    taken.release();
    expect(blobs()).toEqual([]);
    expect(packagesUnderWay()).toEqual([]);
  });

  it('keeps a package that is no archive, for the deploy to name the fault', async () => {
    const bytes = Buffer.from('no archive at all');
    const taken = await intake.accept(bodyOf(bytes));
    expect(taken).toMatchObject({ packageReadable: false, artifact: { digest: digestOf(bytes) } });
    taken.release();
  });

  it('leaves nothing under way when the body cannot be read, or the thread ends', async () => {
    await expect(intake.accept(join(bench.dataDir, 'missing'))).rejects.toThrow('ENOENT');
    const accepting = intake.accept(bodyOf(Buffer.alloc(3_000_000)));
    await bench.thread.close();
    await expect(accepting).rejects.toThrow('stopping');
    expect(packagesUnderWay()).toEqual([]);
    await expect(intake.accept(bodyOf(Buffer.alloc(3)))).rejects.toThrow('stopping');
  });

  it('takes 40 MiB without having them in the memory of the thread that answers calls', async () => {
    const file = join(bench.folders.incoming, 'large.body');
    const descriptor = openSync(file, 'w');
    writeSync(descriptor, '{"codeConfiguration":{"zipFile":"');
    const mebibyte = Buffer.alloc(1024 * 1024, 'QUJD');
    for (let i = 0; i < 40; i++) writeSync(descriptor, mebibyte);
    writeSync(descriptor, '"}}');
    closeSync(descriptor);
    // The thread is there already, with all that it has loaded.
    (await intake.accept(bodyOf(Buffer.from('first')))).release();
    const used = () => {
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const before = used();
    let peak = before;
    let turns = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, used());
      turns++;
    }, 2);
    try {
      const taken = await intake.accept(file);
      taken.release();
      expect(statSync(blobFile(bench.folders, taken.artifact!.digest)).size).toBe(30 * 1024 * 1024);
    } finally {
      clearInterval(sampling);
    }
    // The event loop went on turning meanwhile.
    expect(turns).toBeGreaterThan(5);
    expect(peak - before).toBeLessThan(8 * 1024 * 1024);
  });
});

describe('letting packages go', () => {
  const nothing = async () => new Set<string>();

  it('removes what nothing refers to, and only that', async () => {
    const [a, b] = [await packageOf({ a: '1' }), await packageOf({ b: '2' })];
    for (const zip of [a, b]) (await intake.accept(bodyOf(zip))).release();
    writeFileSync(join(bench.folders.blobs, 'README'), 'not ours');
    await intake.collect(async () => new Set([digestOf(b)]));
    expect(blobs()).toEqual([`${digestOf(b)}.zip`]);
    await intake.collect(nothing);
    expect(blobs()).toEqual([]);
    expect(existsSync(join(bench.folders.blobs, 'README'))).toBe(true);
  });

  it('waits while a package is on its way to its row, and is done as soon as none is', async () => {
    const taken = await intake.accept(bodyOf(await packageOf({ a: '1' })));
    const again = await intake.accept(bodyOf(await packageOf({ a: '1' })));
    await intake.collect(nothing);
    expect(blobs()).toHaveLength(1);
    taken.release();
    taken.release();
    await intake.collect(nothing);
    expect(blobs()).toHaveLength(1);
    again.release();
    await waitFor('what was asked for before', () => blobs().length === 0);
  });

  it('asked for twice at one time forgets neither', async () => {
    const zips = [await packageOf({ a: '1' }), await packageOf({ b: '2' })];
    for (const zip of zips) (await intake.accept(bodyOf(zip))).release();
    const kept = new Set(zips.map(digestOf));
    const deleted = zips.map(async (zip) => {
      const referenced = new Set(kept);
      kept.delete(digestOf(zip));
      // The first looks at what is referred to before the second is gone.
      await intake.collect(async () => (kept.size === 0 && zip === zips[1] ? kept : referenced));
    });
    await Promise.all(deleted);
    expect(blobs()).toEqual([]);
  });

  it('holds one that came by another way just the same, until it is released', async () => {
    const zip = await packageOf({ 'index.js': '' });
    const file = join(bench.folders.incoming, 'fetched.zip');
    writeFileSync(file, zip);
    const collecting = intake.collect(nothing);
    const kept = await intake.keep(file, { digest: digestOf(zip), crc64: '7' });
    await collecting;
    expect(kept).toMatchObject({
      artifact: { digest: digestOf(zip), crc64: '7', entry: { command: ['node', 'index.js'] } },
      packageReadable: true,
    });
    await intake.collect(nothing);
    expect(blobs()).toEqual([`${digestOf(zip)}.zip`]);
    expect(packagesUnderWay()).toEqual([]);
    kept.release();
    await intake.collect(nothing);
    expect(blobs()).toEqual([]);
  });

  it('does not need to be asked again when that package has arrived', async () => {
    const [a, b] = [await packageOf({ a: '1' }), await packageOf({ b: '2' })];
    (await intake.accept(bodyOf(a))).release();
    const arriving = await intake.accept(bodyOf(b));
    await intake.collect(async () => new Set([digestOf(b)]));
    expect(blobs()).toHaveLength(2);
    arriving.release();
    await waitFor('the other one to be gone', () => blobs().length === 1);
    expect(blobs()).toEqual([`${digestOf(b)}.zip`]);
  });

  it('looks once more for what ceased to be referred to while it was looking', async () => {
    (await intake.accept(bodyOf(await packageOf({ a: '1' })))).release();
    let go = (_: Set<string>) => {};
    const first = intake.collect(
      () =>
        new Promise((resolve) => {
          go = resolve;
        }),
    );
    const second = intake.collect(nothing);
    go(new Set(blobs().map((name) => name.replace('.zip', ''))));
    await Promise.all([first, second]);
    expect(blobs()).toEqual([]);
  });

  it('goes on taking packages in after a collection that failed', async () => {
    const failing = expect(intake.collect(() => Promise.reject(new Error('no store')))).rejects.toThrow(
      'no store',
    );
    const accepting = intake.accept(bodyOf(await packageOf({ a: '1' })));
    await failing;
    (await accepting).release();
    await intake.collect(nothing);
    expect(blobs()).toEqual([]);
  });

  it('never takes away a package that is about to be used, in any order of events', async () => {
    const zips = await Promise.all(['1', '2', '3'].map((text) => packageOf({ 'index.js': text })));
    const rows = new Map<string, string>();
    // A small generator with a seed, so that a failure can be looked at again.
    let state = 20_261_123;
    const random = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return state % below;
    };
    const turns = async (count: number) => {
      for (let i = 0; i < count; i++) await new Promise(setImmediate);
    };
    const missing: string[] = [];
    const check = (when: string) => {
      for (const digest of new Set(rows.values())) {
        if (!existsSync(blobFile(bench.folders, digest))) missing.push(`${when}: ${digest.slice(0, 8)}`);
      }
    };
    let collections = 0;
    const deploy = async (id: string) => {
      await turns(random(20));
      const taken = await intake.accept(bodyOf(zips[random(3)]!));
      const { digest } = taken.artifact!;
      await turns(random(10));
      if (!existsSync(blobFile(bench.folders, digest))) missing.push(`accepted: ${digest.slice(0, 8)}`);
      // One in four comes to nothing, as a body that is refused does.
      if (random(4) > 0) rows.set(id, digest);
      taken.release();
      check('written');
      await turns(random(30));
      rows.delete(id);
      await intake.collect(async () => {
        await turns(random(5));
        collections++;
        return new Set(rows.values());
      });
      check('collected');
    };
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 12 }, (_, index) => deploy(`r${round}-${index}`)));
    }
    expect(missing).toEqual([]);
    expect(collections).toBeGreaterThan(20);
    await intake.collect(nothing);
    expect(blobs()).toEqual([]);
    expect(packagesUnderWay()).toEqual([]);
  });

  it('empties at start what a crash left on its way in', async () => {
    for (const name of ['a.body', 'b.zip']) writeFileSync(join(bench.folders.incoming, name), 'half');
    await sweepIncoming(bench.folders);
    expect(readdirSync(bench.folders.incoming)).toEqual([]);
  });
});
