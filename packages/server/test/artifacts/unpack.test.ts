import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ZipFile } from 'yazl';
import { crc32ByTable } from '../../src/artifacts/crc32.ts';
import { inspect } from '../../src/artifacts/inspect.ts';
import { PackageRefused, unpack } from '../../src/artifacts/unpack.ts';
import { packageOf, tree, until } from './bench.ts';
import { type CraftedEntry, craftZip, extraField, u16, u32 } from './craft-zip.ts';

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
    ['a step up below a folder that is there', 'a/b/../../../x'],
    ['a step up in two slashes', '..//x'],
    ['a step up with a space, which Windows drops', '.. /x'],
    ['a step up with a space and a dot', 'a/.. ./x'],
    ['a part of spaces', 'a/  /x'],
    ['a drive', 'C:/x'],
    ['a drive and a step up', 'C:../x'],
    ['a share', '//server/share/x'],
    ['a share with backslashes', '\\\\server\\share\\x'],
    ['a device of Windows', '\\\\?\\C:\\x'],
    ['an absolute name with a backslash', '\\x'],
    ['a folder with a backslash', 'a\\'],
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
    expect(message).toContain(name.replace('\0', '\\u0000'));
    expect(message).toMatch(/does not stay inside the package|is a folder and has content/);
    expect(tree(targetDir)).toEqual({});
  });

  it('refuses a name that only a Unicode field makes climb, or that only the header before the data does', async () => {
    const checksum = (text: string) => u32(crc32ByTable(Buffer.from(text)));
    const field = extraField(0x7075, Buffer.from([1]), checksum('harmless'), Buffer.from('../x'));
    expect(await refusal(craftZip([{ name: 'harmless', both: { extra: field } }]))).toContain("'../x'");
    const split = craftZip([{ name: 'harmless', local: { extra: field } }]);
    expect(await refusal(split)).toMatch(/'harmless' has another name in its own header/);
    expect(await refusal(craftZip([{ name: 'harmless', local: { name: '../other' } }]))).toMatch(
      /another name/,
    );
  });

  it('keeps names that only look like a way out', async () => {
    const names = [
      '%2e%2e%2fx',
      '..%2fx',
      '...',
      '..x',
      'x..',
      'a./b ',
      '~',
      '$HOME',
      'ab:c',
      '．．／x',
      '-rf',
      'COM1',
    ];
    await unpackBytes(craftZip(names.map((name) => ({ name, data: name }))));
    const files = Object.entries(tree(targetDir)).filter(([name]) => !name.endsWith('/'));
    expect(files.map(([name]) => name).sort()).toEqual(names.toSorted());
  });

  it('shows names so that they cannot steer a terminal, nor fill it', async () => {
    const message = await refusal(craftZip([{ name: '../\u001b[2J\r\u202egpj' }]));
    expect(message).toContain("'../\\u001b[2J\\u000d\\u202egpj'");
    expect((await refusal(craftZip([{ name: `../${'é'.repeat(30_000)}` }]))).length).toBeLessThan(250);
  });

  const oddities: [string, CraftedEntry, RegExp][] = [
    ['a link', { name: 'l', data: '/etc/passwd', mode: 0o120777 }, /'l' is a link/],
    ['a link to a folder', { name: 'l/', mode: 0o120777 }, /'l\/' is a link/],
    ['a character device', { name: 'dev', mode: 0o020666 }, /'dev' is neither a regular file nor a folder/],
    ['a block device', { name: 'dev', mode: 0o060666 }, /'dev' is neither/],
    ['a pipe', { name: 'pipe', mode: 0o010666 }, /'pipe' is neither/],
    ['a socket', { name: 'sock', mode: 0o140666 }, /'sock' is neither/],
    ['a link that Windows made', { name: 'l', host: 0, mode: 0, dosAttributes: 0x400 }, /'l' is a link/],
    ['a device that Windows made', { name: 'd', host: 10, mode: 0, dosAttributes: 0x40 }, /'d' is neither/],
    ['a hard link', { name: 'h', central: { extra: unixField('index.js') } }, /'h' is a link/],
    ['a hard link of ASi', { name: 'h', central: { extra: asiField(0o100644, 8) } }, /'h' is a link/],
    ['a link of ASi', { name: 'h', central: { extra: asiField(0o120777, 0) } }, /'h' is a link/],
    ['a type that no system has', { name: 'odd', mode: 0o170644 }, /'odd' is neither/],
    ['a setuid file', { name: 'su', mode: 0o104755 }, /'su' has a setuid, setgid or sticky bit/],
    ['a setgid file', { name: 'sg', mode: 0o102755 }, /'sg' has a setuid, setgid or sticky bit/],
    ['a sticky file', { name: 'st', mode: 0o101755 }, /'st' has a setuid, setgid or sticky bit/],
    ['a setgid folder', { name: 'sg/', mode: 0o042755 }, /'sg\/' has a setuid, setgid or sticky bit/],
    ['a sticky folder', { name: 'st/', mode: 0o041777 }, /'st\/' has a setuid, setgid or sticky bit/],
    ['a setuid bit without a type', { name: 'su', mode: 0o4755 }, /'su' has a setuid/],
    ['a folder with content', { name: 'f/', data: 'x' }, /'f\/' is a folder and has content/],
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
      /'n+…' has a name with a part that is too long; 255 bytes/,
    ],
    ['a name too long by one byte', { name: 'n'.repeat(256) }, /too long; 255 bytes/],
    ['a name too long in bytes', { name: `${'é'.repeat(128)}` }, /too long; 255 bytes/],
    ['a folder name too long', { name: `${'n'.repeat(300)}/x` }, /a part that is too long/],
    ['a path too long', { name: `${'n'.repeat(99)}/`.repeat(41) }, /longer than 4096 bytes/],
    ['a path as long as can be written', { name: '/'.repeat(0xffff) }, /longer than 4096 bytes/],
    ['too many levels', { name: 'a/'.repeat(65) }, /is 65 levels deep; 64/],
    ['too many levels above a file', { name: `${'a/'.repeat(64)}x` }, /is 65 levels deep; 64/],
  ];
  it.each(oddities)('refuses %s', async (_name, entry, reason) => {
    expect(await refusal(craftZip([entry]))).toMatch(reason);
    expect(tree(targetDir)).toEqual({});
  });

  const twice: [string, string[], RegExp][] = [
    ['names that differ by case', ['Read.me', 'read.me'], /'read.me' .* differs from 'Read.me' only in case/],
    ['folders that differ by case', ['lib/a', 'LIB/b'], /'LIB\/b' .* differs from 'lib' only in case/],
    ['names of two Unicode forms', ['caf\u00e9', 'cafe\u0301'], /only in case or Unicode form/],
    ['folders of two Unicode forms', ['caf\u00e9/a', 'cafe\u0301/b'], /only in case or Unicode form/],
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
    expect(tree(targetDir)).toEqual({});
  });

  it('counts folders that no entry lists', async () => {
    const deep = craftZip([{ name: `a/${'x/'.repeat(20)}` }, { name: `b/${'x/'.repeat(20)}` }]);
    expect(await refusal(deep, { limitEntries: 41 })).toMatch(
      /more than 41 files and folders \(at entry 'b\//,
    );
    expect(tree(targetDir)).toEqual({});
    await unpackBytes(deep, { limitEntries: 42 });
  });

  it('refuses a bomb that declares what no compressor reaches', async () => {
    const zip = craftZip([{ name: 'bomb', data: 'x', deflate: true, declaredSize: 9_000_000 }]);
    expect(await refusal(zip)).toMatch(/'bomb' is said to be 9000000 bytes in 3 compressed/);
  });

  it('refuses a bomb whose entries share their data', async () => {
    const data = Buffer.alloc(1_000_000);
    const zip = craftZip(
      Array.from({ length: 5 }, () => ({ name: 'k', data, deflate: true, central: { offset: 0 } })),
    );
    expect(await refusal(zip)).toMatch(/entry 'k' overlaps entry 'k'/);
    expect(tree(targetDir)).toEqual({});
  });

  it.each([false, true])('holds every entry to its CRC-32 (deflated: %s)', async (deflate) => {
    const entries = [
      { name: 'good', data: 'x', deflate },
      { name: 'bad', data: 'y'.repeat(99_999), deflate, both: { crc32: 7 } },
    ];
    expect(await refusal(craftZip(entries))).toMatch(/'bad' cannot be unpacked: its CRC-32/);
    rmSync(targetDir, { recursive: true });
    mkdirSync(targetDir);
    const empty = craftZip([{ name: 'empty', deflate, both: { crc32: 7 } }]);
    expect(await refusal(empty)).toMatch(/'empty' cannot be unpacked: its CRC-32/);
  });

  it('refuses data that no inflater can read', async () => {
    const noise = craftZip([{ name: 'noise', data: Buffer.alloc(500, 0xff), both: { method: 8 } }]);
    expect(await refusal(noise)).toMatch(/'noise' cannot be unpacked: invalid/);
  });

  it('is not held up by bytes of an entry that its compressed data do not use', async () => {
    const trailing = Buffer.alloc(300_000, 1);
    const padded = { name: 'padded', data: 'content', deflate: true, trailing };
    await unpackBytes(craftZip([padded, { name: 'next', data: 'more' }]));
    expect(tree(targetDir)).toEqual({ padded: 'content', next: 'more' });
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
    expect(await refusal(craftZip([], { zip64: {} }))).toBe('the package is empty');
    for (let cut = 1; cut < good.length; cut += 37) await refusal(good.subarray(0, good.length - cut));
    const random = seeded(20);
    for (let round = 0; round < 20; round++) {
      expect(await refusal(good.subarray(0, random(good.length)))).toContain('no readable ZIP archive');
    }
    expect(tree(targetDir)).toEqual({});
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

  it.each([1, 2, 3, 4])(
    'after one wrong byte unpacks to the same content or not at all (seed %d)',
    async (seed) => {
      const random = seeded(seed);
      const good = craftZip([
        { name: 'index.js', data: 'console.log(1);\n'.repeat(40), deflate: true },
        { name: 'lib/stored.txt', data: 'stored as it is' },
        { name: 'lib/streamed.txt', data: 'streamed '.repeat(20), deflate: true, descriptor: 'signed' },
        { name: 'empty/' },
      ]);
      await unpackBytes(good);
      const expected = contents(targetDir);
      let refused = 0;
      for (let round = 0; round < 50; round++) {
        const damaged = Buffer.from(good);
        const position = random(good.length);
        damaged[position]! ^= 1 + random(255);
        rmSync(targetDir, { recursive: true });
        mkdirSync(targetDir);
        const error = await unpackBytes(damaged).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error) {
          expect(error).toBeInstanceOf(PackageRefused);
          refused++;
        } else {
          expect(contents(targetDir), `byte ${position}`).toEqual(expected);
        }
        expect(readdirSync(folder).sort()).toEqual(['outer', 'package.zip']);
        expect(readdirSync(join(folder, 'outer'))).toEqual(['target']);
      }
      expect(refused).toBeGreaterThan(15);
    },
  );

  it('leaves no file open, whether it unpacks or refuses', async () => {
    if (process.platform !== 'linux') return;
    const good = craftZip([{ name: 'a', data: 'x'.repeat(200_000), deflate: true }]);
    const bad = craftZip([{ name: 'a', data: 'x'.repeat(200_000), deflate: true, both: { crc32: 1 } }]);
    for (const bytes of [good, bad, Buffer.from('garbage'), craftZip([{ name: '../x' }])]) {
      rmSync(targetDir, { recursive: true });
      mkdirSync(targetDir);
      await unpackBytes(bytes).catch(() => {});
    }
    await until('all is closed', () => !openFiles().some((file) => file.startsWith(folder)));
  });

  it('unpacks a package that is only folders', async () => {
    await unpackBytes(craftZip([{ name: 'a/' }, { name: 'b/c/' }]));
    expect(tree(targetDir)).toEqual({ 'a/': '/', 'b/': '/', 'b/c/': '/' });
  });

  it.each([false, true])('leaves a zip within a zip a file (deflated: %s)', async (deflate) => {
    const inner = craftZip([{ name: '../x', data: 'never looked at' }]);
    await unpackBytes(craftZip([{ name: 'inner.zip', data: inner, deflate }]));
    expect(readFileSync(join(targetDir, 'inner.zip')).equals(inner)).toBe(true);
  });

  it('unpacks names as long and as deep as allowed', async () => {
    const deep = `${'d/'.repeat(63)}file`;
    await unpackBytes(craftZip([{ name: deep, data: 'deep' }, { name: 'n'.repeat(255) }]));
    expect(readFileSync(join(targetDir, deep), 'utf8')).toBe('deep');
  });

  it('unpacks what macOS adds', async () => {
    await unpackBytes(
      craftZip([
        { name: 'index.js', data: 'main', deflate: true, descriptor: 'signed', utf8: false },
        { name: '__MACOSX/', utf8: false },
        { name: '__MACOSX/._index.js', data: 'fork', deflate: true, descriptor: 'signed', utf8: false },
        { name: 'cafe\u0301.txt', data: 'é', utf8: false },
        { name: 'Icon\r', utf8: false },
        { name: '.DS_Store', utf8: false },
      ]),
    );
    expect(contents(targetDir)).toMatchObject({
      '__MACOSX/._index.js': Buffer.from('fork').toString('hex'),
      'cafe\u0301.txt': Buffer.from('é').toString('hex'),
      'Icon\r': '',
    });
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
    ];
    await unpackBytes(craftZip(modes.map(([name, mode]) => ({ name, mode, data: name }))));
    const executable = modes
      .filter(([name]) => statSync(join(targetDir, name)).mode & 0o100)
      .map(([name]) => name);
    expect(executable).toEqual(['start.sh', 'group']);
    for (const [name] of modes) {
      const { mode } = statSync(join(targetDir, name));
      expect(mode & 0o7022).toBe(0);
      expect(mode & 0o600).toBe(0o600);
    }
  });

  it('reads what yazl writes, as streams and with zip64 too', async () => {
    const big = Buffer.alloc(200_000, 7);
    await unpackBytes(await packageOf({ 'package.json': '{}', 'src/main.py': 'print()', 'data.bin': big }));
    expect(Object.keys(tree(targetDir))).toEqual(['data.bin', 'package.json', 'src/', 'src/main.py']);
    expect(statSync(join(targetDir, 'data.bin')).size).toBe(200_000);
    for (const forceZip64Format of [false, true]) {
      for (const compress of [false, true]) {
        const zip = new ZipFile();
        const options = { compress, forceZip64Format, mtime: new Date(2026, 0, 1) };
        zip.addReadStream(Readable.from([big, big]), 'streamed.bin', { ...options, mode: 0o100755 });
        zip.addBuffer(Buffer.from('ü'), 'données/日本.txt', options);
        zip.addEmptyDirectory('empty');
        zip.end({ forceZip64Format, comment: '' });
        rmSync(targetDir, { recursive: true });
        mkdirSync(targetDir);
        await unpackBytes(await buffer(zip.outputStream));
        expect(Object.keys(tree(targetDir))).toEqual([
          'données/',
          'données/日本.txt',
          'empty/',
          'streamed.bin',
        ]);
        expect(statSync(join(targetDir, 'streamed.bin')).size).toBe(400_000);
        expect(statSync(join(targetDir, 'streamed.bin')).mode & 0o111).toBe(0o111);
      }
    }
  });

  it.skipIf(!runs('python3'))('reads what Python’s zipfile writes, to files and to pipes', async () => {
    const script = `
import sys, zipfile
class Pipe:
    def __init__(self, file): self.file = file
    def write(self, data): return self.file.write(data)
    def flush(self): self.file.flush()
for path, kind in ((sys.argv[1], 'file'), (sys.argv[2], 'pipe')):
    with open(path, 'wb') as file:
        with zipfile.ZipFile(file if kind == 'file' else Pipe(file), 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.comment = b'made by a test'
            archive.writestr('empty/', b'')
            archive.writestr('main.py', b'print(1)' * 1000)
            archive.writestr('stored.bin', b'x' * 999, zipfile.ZIP_STORED)
            archive.writestr('donn\\u00e9es/\\u65e5\\u672c.txt', b'u')
            with archive.open('large.bin', 'w', force_zip64=True) as member: member.write(b'y' * 5000)
            run = zipfile.ZipInfo('run.sh'); run.external_attr = 0o100755 << 16
            archive.writestr(run, b'#!/bin/sh')
with zipfile.ZipFile(sys.argv[1], 'a') as archive: archive.writestr('appended.txt', b'later')
`;
    const made = ['file.zip', 'pipe.zip'].map((name) => join(folder, name));
    execFileSync('python3', ['-c', script, ...made]);
    const bytes = made.map((file) => readFileSync(file));
    for (const [index, zip] of bytes.entries()) {
      rmSync(made[index]!);
      rmSync(targetDir, { recursive: true });
      mkdirSync(targetDir);
      await unpackBytes(zip);
      const names = Object.keys(tree(targetDir)).filter((name) => name !== 'appended.txt');
      expect(names).toEqual([
        'données/',
        'données/日本.txt',
        'empty/',
        'large.bin',
        'main.py',
        'run.sh',
        'stored.bin',
      ]);
      expect(existsSync(join(targetDir, 'appended.txt'))).toBe(index === 0);
      expect(statSync(join(targetDir, 'run.sh')).mode & 0o111).toBe(0o111);
      expect(statSync(join(targetDir, 'large.bin')).size).toBe(5000);
    }
  });

  it.skipIf(!runs('zip', '-v'))('reads what the zip command writes, with its options', async () => {
    const source = join(folder, 'outer', 'target');
    for (const options of [
      ['-r'],
      ['-r', '-fd'],
      ['-r', '-fz'],
      ['-r', '-0'],
      ['-rX'],
      ['-rD'],
      ['-r', '-'],
    ]) {
      rmSync(source, { recursive: true });
      mkdirSync(join(source, 'données', 'empty'), { recursive: true });
      writeFileSync(join(source, 'données', '日本.txt'), 'text '.repeat(100));
      writeFileSync(join(source, 'run.sh'), '#!/bin/sh');
      chmodSync(join(source, 'run.sh'), 0o755);
      writeFileSync(join(source, 'empty.txt'), '');
      const before = contents(source);
      const file = join(folder, 'made.zip');
      const env = { ...process.env, LC_ALL: 'C.UTF-8' };
      // Without a file to write to, zip streams.
      const streams = options.includes('-');
      const output = execFileSync('zip', ['-q', ...options, ...(streams ? [] : [file]), '.'], {
        cwd: source,
        env,
      });
      const bytes = streams ? output : readFileSync(file);
      rmSync(file, { force: true });
      rmSync(source, { recursive: true });
      mkdirSync(source);
      await unpackBytes(bytes);
      expect(contents(targetDir), options.join(' ')).toEqual(before);
      expect(statSync(join(targetDir, 'run.sh')).mode & 0o111).toBe(0o111);
      if (!options.includes('-rD')) expect(existsSync(join(targetDir, 'données', 'empty'))).toBe(true);
    }
  });
});

describe('inspect', () => {
  async function inspected(bytes: Buffer) {
    const packageFile = join(folder, 'package.zip');
    writeFileSync(packageFile, bytes);
    return inspect(packageFile);
  }

  it('finds what starts an agent, and holds the manifest to its CRC-32', async () => {
    const data = JSON.stringify({ scripts: { start: 'node x.js' } });
    expect(await inspected(craftZip([{ name: 'package.json', data }]))).toMatchObject({
      readable: true,
      entry: { source: 'package.json scripts.start' },
    });
    const damaged = craftZip([{ name: 'package.json', data, both: { crc32: 1 } }]);
    expect(await inspected(damaged)).toEqual({ readable: false });
  });

  it('leaves to unpacking what is wrong with an archive', async () => {
    expect(await inspected(craftZip([{ name: 'index.js', encrypted: true }]))).toEqual({ readable: false });
    expect(await inspected(craftZip([{ name: 'index.js', local: { name: 'server.js' } }]))).toEqual({
      readable: false,
    });
    expect(await inspected(Buffer.from('garbage'))).toEqual({ readable: false });
  });
});

/** Files and their bytes in hexadecimal, which a difference shows better than a buffer. */
function contents(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = names.filter((item) => item.isFile()).map((item) => join(item.parentPath, item.name));
  return Object.fromEntries(
    files.sort().map((file) => [file.slice(root.length + 1), readFileSync(file).toString('hex')]),
  );
}

/** The same numbers below a bound each time (Lehmer's generator). */
function seeded(seed: number): (bound: number) => number {
  let state = seed * 7919;
  return (bound) => {
    state = (state * 48271) % 0x7fffffff;
    return state % bound;
  };
}

function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(join('/proc/self/fd', fd))];
    } catch {
      // The one that listed the others is gone again.
      return [];
    }
  });
}

function runs(command: string, flag = '--version'): boolean {
  return spawnSync(command, [flag]).status === 0;
}

/** PKWARE's Unix field with times, owner, and what a link leads to. */
function unixField(leadsTo: string): Buffer {
  return extraField(0x000d, Buffer.alloc(12), Buffer.from(leadsTo));
}

/** ASi's Unix field. */
function asiField(mode: number, linkBytes: number): Buffer {
  return extraField(0x756e, u32(0), u16(mode), u32(linkBytes), u16(0), u16(0));
}
