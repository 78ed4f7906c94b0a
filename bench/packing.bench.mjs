import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { zipFolder } from '@runstead/client/code';
import { Crc64 } from '@runstead/contract/crc64';
import { bar, floor, median, report } from './report.mjs';

/** How fast packages are made: the checksum over a stream, and packing beside what zlib alone takes for the same bytes. */

const MB = 1_000_000;
const RUNS = 7;

const piece = randomBytes(MB);
const checksum = ofRuns(256, () => {
  const crc = new Crc64();
  for (let i = 0; i < 256; i++) crc.update(piece);
  crc.digest();
});

const folder = mkdtempSync(join(tmpdir(), 'runstead-bench-'));
try {
  // Text as sources have it, and bytes that do not get smaller.
  const line = 'export function handle(request) { return request.headers.get("accept") ?? "*/*"; }\n';
  const text = Buffer.from(
    Array.from({ length: 12_000 }, (_, i) => `${line.slice(i % 40)}// ${i * 7919}\n`).join(''),
  );
  const contents = [text, randomBytes(MB)];
  mkdirSync(join(folder, 'src'));
  const bytes = 20 * (text.length + MB);
  for (let i = 0; i < 40; i++) writeFileSync(join(folder, 'src', `${i}.js`), contents[i % 2]);
  const deflate = ofRuns(bytes / MB, () => {
    for (let i = 0; i < 40; i++) deflateRawSync(contents[i % 2]);
  });
  const packing = [];
  for (let run = 0; run < RUNS; run++) {
    const begun = performance.now();
    await zipFolder(folder);
    packing.push(bytes / MB / ((performance.now() - begun) / 1000));
  }
  report('packing', [
    floor('CRC-64/XZ over a stream', checksum, 'MB/s', 300),
    bar('a folder of 40 files, half text, packed', median(packing), 'MB/s'),
    bar('the same bytes through zlib alone', deflate, 'MB/s'),
  ]);
} finally {
  rmSync(folder, { recursive: true });
}

/** Megabytes a second: the median of several runs, after one that warms up. */
function ofRuns(megabytes, work) {
  work();
  const rates = Array.from({ length: RUNS }, () => {
    const begun = performance.now();
    work();
    return megabytes / ((performance.now() - begun) / 1000);
  });
  return median(rates);
}
