import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PackageRefused, unpack } from '../../src/artifacts/unpack.ts';
import { packageOf, tree } from './bench.ts';
import { type CraftedEntry, craftZip } from './craft-zip.ts';

let folder: string;
let targetDir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-unpack-'));
  // Two levels down, so that what climbs out is still seen.
  targetDir = join(folder, 'outer', 'target');
  mkdirSync(targetDir, { recursive: true });
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function unpackBytes(
  bytes: Buffer,
  limits: { limitBytes?: number; limitEntries?: number } = {},
): Promise<void> {
  const packageFile = join(folder, 'package.zip');
  writeFileSync(packageFile, bytes);
  return unpack({ packageFile, targetDir, limitBytes: 10_000_000, limitEntries: 1000, ...limits });
}

async function refusal(
  bytes: Buffer,
  limits?: { limitBytes?: number; limitEntries?: number },
): Promise<string> {
  const error = await unpackBytes(bytes, limits).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PackageRefused);
  const { message } = error as Error;
  // The caller reads it, and has no business with the server's folders.
  expect(message).not.toContain(folder);
  // Nothing beside the folder that is thrown away on failure.
  expect(readdirSync(folder).sort()).toEqual(['outer', 'package.zip']);
  expect(readdirSync(join(folder, 'outer'))).toEqual(['target']);
  return message;
}

describe('unpack', () => {
  const names: [string, string][] = [
    ['a step up', '../x'],
    ['a step up further in', 'a/../../x'],
    ['a step up that stays inside', 'a/../x'],
    ['a step up at the end', 'a/..'],
    ['a step up as a folder', '../'],
    ['an absolute name', '/abs'],
    ['two slashes in front', '//abs'],
    ['a drive', 'C:/x'],
    ['a drive in small letters', 'c:x'],
    ['a backslash', 'a\\b'],
    ['a step up with backslashes', '..\\x'],
    ['a dot component', './x'],
    ['a dot component within', 'a/./x'],
    ['a dot alone', '.'],
    ['an empty component', 'a//x'],
    ['no name', ''],
    ['a slash alone', '/'],
    ['a NUL', 'a\0b'],
  ];
  it.each(names)('refuses %s in a name, and names it', async (_name, name) => {
    const message = await refusal(craftZip([{ name, data: 'x' }]));
    expect(message).toContain(name);
    expect(tree(targetDir)).toEqual({});
  });

  const oddities: [string, CraftedEntry, RegExp][] = [
    ['a link', { name: 'l', data: '/etc/passwd', mode: 0o120777 }, /'l' is a link/],
    ['a link to a folder', { name: 'l/', mode: 0o120777 }, /'l\/' is a link/],
    ['a character device', { name: 'dev', mode: 0o020666 }, /'dev' is neither a regular file nor a folder/],
    ['a block device', { name: 'dev', mode: 0o060666 }, /'dev' is neither/],
    ['a pipe', { name: 'pipe', mode: 0o010666 }, /'pipe' is neither/],
    ['a socket', { name: 'sock', mode: 0o140666 }, /'sock' is neither/],
    ['a folder under a file’s name', { name: 'f', mode: 0o040755 }, /'f' is neither/],
    ['a file under a folder’s name', { name: 'f/', mode: 0o100644 }, /'f\/' is neither/],
    [
      'an encrypted entry',
      { name: 'secret', data: 'x'.repeat(20), encrypted: true },
      /'secret' is encrypted/,
    ],
    [
      'a name too long for the disk',
      { name: 'n'.repeat(300) },
      /'n+' cannot be unpacked: its name is too long/,
    ],
    ['a folder name too long', { name: `${'n'.repeat(300)}/x` }, /cannot be unpacked: its name is too long/],
  ];
  it.each(oddities)('refuses %s', async (_name, entry, reason) => {
    expect(await refusal(craftZip([entry]))).toMatch(reason);
    expect(tree(targetDir)).toEqual({});
  });

  const twice: [string, string[], RegExp][] = [
    ['one file twice', ['a', 'a'], /'a' stands in the package twice/],
    ['one folder twice', ['a/', 'a/'], /'a\/' stands in the package twice/],
    ['a file after a folder', ['a/', 'a'], /'a' stands in the package twice/],
    ['a folder after a file', ['a', 'a/'], /'a\/' stands in the package twice/],
    ['a file below a file', ['a', 'a/b'], /'a\/b' would need one name to be a file and a folder/],
    ['a file deep below a file', ['a', 'a/b/c/d'], /'a\/b\/c\/d' would need one name/],
    ['a folder below a file', ['x/a', 'x/a/b/'], /'x\/a\/b\/' would need one name/],
    ['a file where others made a folder', ['a/b', 'a'], /'a' would need one name to be a file and a folder/],
    ['a file where others made folders above', ['a/b/c', 'a/b'], /'a\/b' would need one name/],
  ];
  it.each(twice)('refuses %s', async (_name, entries, reason) => {
    expect(await refusal(craftZip(entries.map((name) => ({ name }))))).toMatch(reason);
  });

  it('refuses more entries than allowed, before any is written', async () => {
    const entries = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` }));
    expect(await refusal(craftZip(entries), { limitEntries: 10 })).toMatch(/11 entries; at most 10/);
    expect(tree(targetDir)).toEqual({});
    await unpackBytes(craftZip(entries.slice(1)), { limitEntries: 10 });
  });

  it('refuses a bomb by the size it declares, before that entry is written', async () => {
    const bomb = craftZip([
      { name: 'small', data: 'x'.repeat(100) },
      { name: 'large', data: Buffer.alloc(3_000_000), deflate: true },
    ]);
    expect(bomb.length).toBeLessThan(10_000);
    const message = await refusal(bomb, { limitBytes: 2_000_000 });
    expect(message).toContain('2000000 bytes');
    expect(message).toContain("'large'");
    expect(Object.keys(tree(targetDir))).toEqual(['small']);
  });

  it('counts all entries together, up to the limit itself', async () => {
    const zip = craftZip(['a', 'b', 'c'].map((name) => ({ name, data: 'x'.repeat(100) })));
    expect(await refusal(zip, { limitBytes: 299 })).toContain("'c'");
    rmSync(targetDir, { recursive: true });
    mkdirSync(targetDir);
    await unpackBytes(zip, { limitBytes: 300 });
  });

  it('refuses a bomb that lies about its size, having written no more than it declared', async () => {
    const data = Buffer.alloc(2_000_000);
    for (const declaredSize of [0, 10, 100_000]) {
      const zip = craftZip([{ name: 'bomb', data, deflate: true, declaredSize }]);
      expect(await refusal(zip, { limitBytes: 1_000_000 })).toMatch(/'bomb' cannot be unpacked.*bytes/);
      const file = join(targetDir, 'bomb');
      if (existsSync(file)) expect(statSync(file).size).toBeLessThanOrEqual(declaredSize);
      rmSync(targetDir, { recursive: true });
      mkdirSync(targetDir);
    }
  });

  it('refuses an entry that is shorter than it says', async () => {
    const zip = craftZip([{ name: 'short', data: Buffer.alloc(1000), deflate: true, declaredSize: 2000 }]);
    expect(await refusal(zip)).toMatch(/'short' cannot be unpacked/);
  });

  it('refuses what is no archive, cut short, or empty', async () => {
    const good = await packageOf({ 'index.js': 'x'.repeat(1000), 'lib/a.js': 'a' });
    expect(await refusal(Buffer.alloc(0))).toContain('no readable ZIP archive');
    expect(await refusal(Buffer.from('PK'))).toContain('no readable ZIP archive');
    expect(await refusal(Buffer.from('<html>404</html>'.repeat(100)))).toContain('no readable ZIP archive');
    expect(await refusal(craftZip([]))).toBe('the package is empty');
    for (let cut = 1; cut < good.length; cut += 37) await refusal(good.subarray(0, good.length - cut));
    // Entries that the directory promises and does not have.
    await refusal(craftZip([{ name: 'a' }], 3));
  });

  it('refuses damage within an archive, or at least does not fall over it', async () => {
    const good = craftZip([
      { name: 'a.js', data: 'x'.repeat(500), deflate: true },
      { name: 'b/c.js', data: 'y' },
    ]);
    let refused = 0;
    for (let position = 0; position < good.length; position++) {
      const damaged = Buffer.from(good);
      damaged[position]! ^= 0xff;
      rmSync(targetDir, { recursive: true });
      mkdirSync(targetDir);
      await unpackBytes(damaged).catch((error: unknown) => {
        expect(error).toBeInstanceOf(PackageRefused);
        refused++;
      });
      expect(readdirSync(folder).sort()).toEqual(['outer', 'package.zip']);
    }
    expect(refused).toBeGreaterThan(50);
  });

  it('unpacks folders, nested and empty, and names in any script', async () => {
    await unpackBytes(
      craftZip([
        { name: 'index.js', data: 'main' },
        { name: 'empty/' },
        { name: 'a/b/c/deep.txt', data: 'deep', deflate: true },
        { name: 'a/b/' },
        { name: 'données/日本語 🙂.txt', data: 'ü' },
        { name: ' spaces and \'quotes" ', data: '' },
        { name: '...', data: 'three dots are a name' },
        { name: '.env', data: 'A=1' },
      ]),
    );
    expect(tree(targetDir)).toEqual({
      'index.js': 'main',
      'empty/': '/',
      'a/': '/',
      'a/b/': '/',
      'a/b/c/': '/',
      'a/b/c/deep.txt': 'deep',
      'données/': '/',
      'données/日本語 🙂.txt': 'ü',
      ' spaces and \'quotes" ': '',
      '...': 'three dots are a name',
      '.env': 'A=1',
    });
  });

  it('keeps whether a file may be executed, and no other permission', async () => {
    const modes: [string, number][] = [
      ['start.sh', 0o100755],
      ['group', 0o100610],
      ['plain', 0o100644],
      ['open', 0o100666],
      ['closed', 0o100000],
      ['none', 0],
      ['setuid', 0o104755],
    ];
    await unpackBytes(craftZip(modes.map(([name, mode]) => ({ name, mode, data: name }))));
    const executable = modes
      .filter(([name]) => statSync(join(targetDir, name)).mode & 0o100)
      .map(([name]) => name);
    expect(executable).toEqual(['start.sh', 'group', 'setuid']);
    for (const [name] of modes) {
      const { mode } = statSync(join(targetDir, name));
      expect(mode & 0o7022).toBe(0);
      expect(mode & 0o600).toBe(0o600);
    }
  });

  it('reads what ordinary packing tools write', async () => {
    const files = { 'package.json': '{}', 'src/main.py': 'print()', 'data.bin': Buffer.alloc(200_000, 7) };
    await unpackBytes(await packageOf(files));
    expect(Object.keys(tree(targetDir))).toEqual(['data.bin', 'package.json', 'src/', 'src/main.py']);
    expect(statSync(join(targetDir, 'data.bin')).size).toBe(200_000);
  });
});
