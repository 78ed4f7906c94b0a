import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc64 } from '@runstead/contract/crc64';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ExtractResult, extract } from '../../src/artifacts/extract.ts';

let folder: string;
let packageFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-extract-'));
  packageFile = join(folder, 'package.zip');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function extractText(body: string): ExtractResult {
  const bodyFile = join(folder, 'body');
  writeFileSync(bodyFile, body);
  return extract({ bodyFile, packageFile });
}

const withPackage = (bytes: Buffer) =>
  JSON.stringify({
    agentRuntimeName: 'a',
    codeConfiguration: { zipFile: bytes.toString('base64'), language: 'x' },
  });

describe('extract', () => {
  it('writes the package, and says its digest, checksum and size', () => {
    for (const size of [1, 2, 3, 1000, 700_001]) {
      const bytes = randomBytes(size);
      const result = extractText(withPackage(bytes));
      expect(readFileSync(packageFile).equals(bytes)).toBe(true);
      expect(statSync(packageFile).mode & 0o777).toBe(0o600);
      expect(result).toEqual({
        json: '{"agentRuntimeName":"a","codeConfiguration":{"zipFile":"","language":"x"}}',
        package: {
          digest: createHash('sha256').update(bytes).digest('hex'),
          crc64: crc64(bytes),
          bytes: size,
        },
      });
      rmSync(packageFile);
    }
  });

  const without: [string, string][] = [
    ['no configuration of code', '{"agentRuntimeName":"a"}'],
    ['no package', '{"codeConfiguration":{"language":"x"}}'],
    ['an empty package', '{"codeConfiguration":{"zipFile":""}}'],
    ['a package that is null', '{"codeConfiguration":{"zipFile":null}}'],
    ['nothing at all', ''],
    ['no object', '[1]'],
    ['broken JSON', '{"codeConfiguration":'],
  ];
  it.each(without)('leaves a body with %s as it is, and no file', (_name, body) => {
    expect(extractText(body)).toEqual({ json: body });
    expect(existsSync(packageFile)).toBe(false);
  });

  it('takes the package from JSON that is broken elsewhere, for the parser to refuse', () => {
    const { json, package: found } = extractText('{"codeConfiguration":{"zipFile":"QUJD"},"a":tru');
    expect(json).toBe('{"codeConfiguration":{"zipFile":""},"a":tru');
    expect(found?.bytes).toBe(3);
    expect(readFileSync(packageFile, 'utf8')).toBe('ABC');
  });

  const faults: [string, string, RegExp][] = [
    ['a foreign character', '{"codeConfiguration":{"zipFile":"QUJ*"}}', /zipFile must be .* base64.*"\*"/],
    ['a text cut short', '{"codeConfiguration":{"zipFile":"QUJDR"}}', /within a group/],
    ['a data URL', '{"codeConfiguration":{"zipFile":"data:application/zip;base64,QQ=="}}', /":"/],
    ['bytes beyond ASCII', '{"codeConfiguration":{"zipFile":"QÜJD"}}', /base64/],
    ['an escape that is none', '{"codeConfiguration":{"zipFile":"QU\\xD"}}', /base64/],
    ['two packages', '{"codeConfiguration":{"zipFile":"QQ==","zipFile":"QUJD"}}', /more than once|padding/],
    [
      'two halves',
      '{"codeConfiguration":{"zipFile":"QUJD"},"codeConfiguration":{"zipFile":"REVG"}}',
      /more than once/,
    ],
  ];
  it.each(faults)('names %s as the caller’s fault, and leaves no file', (_name, body, reason) => {
    const { fault, package: found } = extractText(body);
    expect(fault).toMatch(reason);
    expect(found).toBeUndefined();
    expect(existsSync(packageFile)).toBe(false);
  });

  it('finds the package wherever the pieces in which the file is read end', () => {
    const head = '{"d":"';
    const rest = '","codeConfiguration":{"language":"nodejs20","zipFile":"QUJD"},"e":1}';
    // The file is read in pieces of 256 KiB; each of these puts another byte of the keys first in the second piece.
    for (let shift = 0; shift <= rest.length; shift++) {
      const body = `${head}${'x'.repeat(256 * 1024 - head.length - shift)}${rest}`;
      expect(extractText(body).package?.bytes).toBe(3);
      expect(readFileSync(packageFile, 'utf8')).toBe('ABC');
      rmSync(packageFile);
    }
  });

  it('bounds what a body may say apart from the package', () => {
    const body = `{"codeConfiguration":{"zipFile":"QUJD"},"d":"${'x'.repeat(5 * 1024 * 1024)}"}`;
    expect(extractText(body).fault).toContain('larger than 4194304 bytes');
    expect(existsSync(packageFile)).toBe(false);
  });

  it('takes a hostile body of escapes about as fast as an ordinary one', () => {
    const timed = (text: string) => {
      const started = performance.now();
      const { package: found } = extractText(`{"codeConfiguration":{"zipFile":"${text}"}}`);
      expect(found?.bytes).toBe(3 * 1024 * 1024);
      rmSync(packageFile);
      return performance.now() - started;
    };
    timed('AAAA'.repeat(1024 * 1024));
    const plain = timed('AAAA'.repeat(1024 * 1024));
    const escaped = timed('\\/\\/\\/\\/'.repeat(1024 * 1024));
    // Twice the bytes and some work for each: measured 4 times. Searching the text anew for each was 40 times.
    expect(escaped).toBeLessThan(20 * plain + 100);
  });
});
