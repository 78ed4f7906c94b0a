import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

const LINES_MAX = 20_000;
const LINE_MAX = 4096;
const BYTES_MAX = 2 * 1024 * 1024;
/** The lines that the recorder writes (sitecustomize.py): a module, with its place; a variable; something else of interest. */
const LINE =
  /^([\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*(\t[^\t]*)?|=[^\t]+|!(chdir|hooks [\w ]+))$/u;

/**
 * Which modules the agents of a version look for as they start: written by the first of them, kept in
 * `starts/<runtime>/<key>.imports`. Of one runtime alone, as its agent may write there what it likes.
 */
export class ImportRecords {
  readonly #folder: string;

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'starts');
  }

  read(runtimeId: string, key: string): string[] | undefined {
    try {
      return readFileSync(this.#path(runtimeId, key), 'utf8').split('\n').filter(Boolean);
    } catch {
      return undefined;
    }
  }

  /** Takes over what an agent's recorder has written, as far as it has its form. @returns the lines */
  keep(runtimeId: string, key: string, file: string): string[] | undefined {
    let text: string;
    try {
      const bytes = readFileSync(file);
      if (bytes.length > BYTES_MAX) return undefined;
      text = bytes.toString('utf8');
    } catch {
      return undefined;
    }
    const lines = linesIn(text);
    mkdirSync(join(this.#folder, runtimeId), { recursive: true, mode: 0o700 });
    const path = this.#path(runtimeId, key);
    writeFileSync(`${path}.new`, lines.map((line) => `${line}\n`).join(''), { mode: 0o400 });
    renameSync(`${path}.new`, path);
    return lines;
  }

  drop(runtimeId: string, key: string): void {
    rmSync(this.#path(runtimeId, key), { force: true });
  }

  async forget(runtimeId: string): Promise<void> {
    await rm(join(this.#folder, runtimeId), { recursive: true, force: true });
  }

  #path(runtimeId: string, key: string): string {
    return join(this.#folder, runtimeId, `${key}.imports`);
  }
}

/** The well-formed lines of a recorder's file, each once, in their order. */
export function linesIn(text: string): string[] {
  const lines = new Set<string>();
  for (const line of text.split('\n')) {
    if (lines.size < LINES_MAX && line.length <= LINE_MAX && LINE.test(line)) lines.add(line);
  }
  return [...lines];
}

/** Names a version's way of starting: where it lies, what starts it, and by which interpreter. */
export function startKey(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}
