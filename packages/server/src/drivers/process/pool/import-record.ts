import { createHmac } from 'node:crypto';
import {
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

const LINES_MAX = 20_000;
const LINE_MAX = 4096;
const BYTES_MAX = 2 * 1024 * 1024;
/** Of one runtime. */
const RECORDS_MAX = 30;
/** The lines that the recorder writes (sitecustomize.py): a module, with its place; a variable; something else of interest. */
const LINE =
  /^([\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*(\t[^\t]*)?|=[^\t]+|!(chdir|hooks [\w ]+))$/u;

/**
 * Which modules the agents of a version look for as they start: written by the first of them, kept in
 * `imports/<runtime>/<key>`. Of one runtime alone, as its agent may write there what it likes.
 */
export class ImportRecords {
  readonly #folder: string;

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'imports');
  }

  read(runtimeId: string, key: string): string[] | undefined {
    try {
      return readFileSync(this.#path(runtimeId, key), 'utf8').split('\n').filter(Boolean);
    } catch {
      return undefined;
    }
  }

  /**
   * Takes over what an agent's recorder has written, as far as it has its form.
   * @param file open for reading since before there was an agent: it may have put anything in its place
   * @returns the lines
   */
  keep(runtimeId: string, key: string, file: number): string[] | undefined {
    const bytes = Buffer.alloc(Math.min(fstatSync(file).size, BYTES_MAX + 1));
    const count = readSync(file, bytes, 0, bytes.length, 0);
    if (count > BYTES_MAX) return undefined;
    const lines = linesIn(bytes.toString('utf8', 0, count));
    const folder = join(this.#folder, runtimeId);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = this.#path(runtimeId, key);
    writeFileSync(`${path}.new`, lines.map((line) => `${line}\n`).join(''), { mode: 0o400 });
    renameSync(`${path}.new`, path);
    forgetOldest(folder);
    return lines;
  }

  async forget(runtimeId: string): Promise<void> {
    await rm(join(this.#folder, runtimeId), { recursive: true, force: true });
  }

  #path(runtimeId: string, key: string): string {
    return join(this.#folder, runtimeId, key);
  }
}

/** Every change of a configuration makes a record, and nobody says when it is needed no more. */
function forgetOldest(folder: string): void {
  const paths = readdirSync(folder).map((name) => join(folder, name));
  const writtenAt = new Map(paths.map((path) => [path, statSync(path).mtimeMs]));
  paths.sort((a, b) => writtenAt.get(b)! - writtenAt.get(a)!);
  for (const path of paths.slice(RECORDS_MAX)) rmSync(path, { force: true });
}

/** The well-formed lines of a recorder's file, each once, in their order. */
export function linesIn(text: string): string[] {
  const lines = new Set<string>();
  for (const line of text.split('\n')) {
    if (lines.size < LINES_MAX && line.length <= LINE_MAX && LINE.test(line)) lines.add(line);
  }
  return [...lines];
}

/**
 * Names a version's way of starting: where it lies, what starts it, by which interpreter, with which variables.
 * @param secret since values of variables are among the parts, and the name can be seen
 */
export function startKey(parts: readonly unknown[], secret: Uint8Array): string {
  return createHmac('sha256', secret).update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}
