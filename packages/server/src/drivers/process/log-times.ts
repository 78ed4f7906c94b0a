import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/**
 * When the lines of a log were written, as far as is known from outside: agents write without us. Whenever the file is
 * looked at, its last byte had been written at the file's time of modification, and all bytes before it no later. Kept
 * beside the log (`x.log.times`), a mark a line: position and ms since 1970.
 *
 * Many marks are thinned, the older half by half: what is old is known less finely.
 */
export class LogTimes {
  readonly #file: string;
  #positions: number[] = [];
  #times: number[] = [];

  /** @param logPath the log's; marks of an earlier server are taken up */
  constructor(logPath: string) {
    this.#file = `${logPath}.times`;
    let text = '';
    try {
      text = readFileSync(this.#file, 'latin1');
    } catch {
      return; // None were made yet.
    }
    for (const line of text.split('\n')) {
      const [, position, time] = /^(\d+) (\d+)$/.exec(line) ?? [];
      // Half a line, after a crash, could read as a smaller number.
      if (position !== undefined) this.#add(Number(position), Number(time));
    }
  }

  /** Where the last mark stands. */
  get end(): number {
    return this.#positions.at(-1) ?? 0;
  }

  get lastMs(): number {
    return this.#times.at(-1) ?? 0;
  }

  /** Up to `position`, everything had been written at `timeMs`. Nothing new changes nothing. */
  note(position: number, timeMs: number): void {
    if (!this.#add(position, Math.floor(timeMs))) return;
    if (this.#positions.length > MOST) {
      this.#thin();
      const lines = this.#positions.map((at, index) => `${at} ${this.#times[index]}\n`);
      writeFileSync(`${this.#file}.new`, lines.join(''), { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } else {
      appendFileSync(this.#file, `${position} ${this.lastMs}\n`, { mode: 0o600 });
    }
  }

  /** When the byte before `position` had certainly been written; undefined behind the last mark. */
  at(position: number): number | undefined {
    return this.#times[this.#firstMark((index) => this.#positions[index]! >= position)];
  }

  /** Before this position nothing was written at `timeMs` or later. */
  positionAt(timeMs: number): number {
    const index = this.#firstMark((at) => this.#times[at]! >= timeMs);
    return this.#positions[index - 1] ?? 0;
  }

  #add(position: number, timeMs: number): boolean {
    if (position <= this.end) return false;
    this.#positions.push(position);
    // Clocks are set back; the order of lines stays.
    this.#times.push(Math.max(timeMs, this.lastMs));
    return true;
  }

  #thin(): void {
    const keep = (_: number, index: number) => index >= MOST / 2 || index % 2 === 1;
    this.#positions = this.#positions.filter(keep);
    this.#times = this.#times.filter(keep);
  }

  /** Marks are in order, so are their times. */
  #firstMark(isIt: (index: number) => boolean): number {
    let from = 0;
    let to = this.#positions.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (isIt(middle)) to = middle;
      else from = middle + 1;
    }
    return from;
  }
}

const MOST = 1024;
