import { randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type LogCursor, NOTHING_READ, readLogCursor, writeLogCursor } from '../../src/domain/log-cursor.ts';
import type { FollowEvent } from '../../src/logs/agent-logs.ts';
import { LINE_BYTES } from '../../src/logs/log-lines.ts';
import { KeptLogs, RUNTIME, T0 } from './kept-logs.ts';

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i}`);
const textOf = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
/** As a client keeps it. */
const carried = (cursor: LogCursor) => readLogCursor(writeLogCursor(cursor, RUNTIME), RUNTIME)!;

describe('a page', () => {
  it('has the lines of all instances in the order they were written, each of its own version', async () => {
    const kept = new KeptLogs();
    kept.versions = new Map([
      [1, 1],
      [4, 2],
    ]);
    kept.begin('old-1', { revision: 1 });
    kept.write('old-1', 'a1\na2\n');
    kept.begin('new-1', { revision: 4 });
    kept.nowMs += 1000;
    kept.write('new-1', 'b1\n');
    kept.nowMs += 1000;
    kept.write('old-1', 'a3\n');
    kept.end('old-1');
    kept.nowMs += 1000;
    kept.write('new-1', 'b2\n');
    const { lines } = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 10);
    expect(
      lines.map(({ text, version, timeMs, log }) => [text, version, timeMs - T0, log.instanceId]),
    ).toEqual([
      ['a1', 1, 0, 'old-1'],
      ['a2', 1, 0, 'old-1'],
      ['b1', 2, 1000, 'new-1'],
      ['a3', 1, 2000, 'old-1'],
      ['b2', 2, 3000, 'new-1'],
    ]);
    expect(await kept.texts({ version: 2 })).toEqual(['b1', 'b2']);
    expect(await kept.texts({ instance: 'old' })).toEqual(['a1', 'a2', 'a3']);
    expect(await kept.texts({ sinceMs: T0 + 1500 })).toEqual(['a3', 'b2']);
    expect(await kept.texts({ sinceMs: T0 + 500, untilMs: T0 + 2000 })).toEqual(['b1', 'a3']);
    expect(await kept.texts({}, { at: 'newest', count: 2 })).toEqual(['a3', 'b2']);
    expect(await kept.texts({ text: 'a' }, { at: 'newest', count: 2 })).toEqual(['a2', 'a3']);
  });

  it('is followed by the next, whatever their size, and each line is on one of them', async () => {
    const kept = new KeptLogs();
    const written: string[] = [];
    for (let n = 0; n < 40; n++) {
      const id = `inst-${randomInt(4)}`;
      if (!written.some((line) => line.startsWith(id))) kept.begin(id);
      kept.nowMs += randomInt(3);
      written.push(`${id} ${n}`);
      kept.write(id, `${id} ${n}\n`);
    }
    kept.end('inst-0');
    for (const limit of [1, 3, 7, 40]) {
      const pages = await kept.pages({}, limit);
      expect(pages.flat().sort()).toEqual([...written].sort());
      for (const page of pages.slice(0, -1)) expect(page).toHaveLength(limit);
      for (const id of ['inst-0', 'inst-1', 'inst-2', 'inst-3'])
        expect(pages.flat().filter((line) => line.startsWith(id))).toEqual(
          written.filter((line) => line.startsWith(id)),
        );
    }
  });

  it('goes on where the one before ended, after a restart and with logs that came meanwhile', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    kept.write('aaaa', textOf(numbered(0, 5)));
    const first = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 3);
    kept.end('aaaa');
    kept.restart();
    kept.begin('bbbb');
    kept.nowMs += 10;
    kept.write('bbbb', textOf(numbered(5, 8)));
    const second = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor: carried(first.cursor) }, 100);
    expect(second.lines.map(({ text }) => text)).toEqual(numbered(3, 8));
    expect(second.hasMore).toBe(false);
    // The one that is over is not carried along.
    expect([...second.cursor.places.keys()]).toEqual(['bbbb']);
  });

  it('passes over no log that was begun before another, but written to after it', async () => {
    const kept = new KeptLogs();
    kept.announce('slow');
    kept.begin('fast');
    kept.write('fast', 'first\n');
    const first = await kept.logs.page(RUNTIME, {}, { at: 'newest', count: 5 }, 5);
    kept.end('fast');
    kept.nowMs += 10;
    kept.write('slow', 'second\n');
    const start = { at: 'cursor', cursor: carried(first.cursor) } as const;
    expect((await kept.logs.page(RUNTIME, {}, start, 5)).lines.map(({ text }) => text)).toEqual(['second']);
  });

  it('has levels, and what is indented goes with the line it belongs to, also across pages', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    kept.write('aaaa', 'fine\nTypeError: no\n    at one\n    at two\nfine again\n{"level":40,"msg":"hm"}\n');
    const errors = ['TypeError: no', '    at one', '    at two'];
    expect(await kept.texts({ level: 'error' })).toEqual(errors);
    expect(await kept.texts({ level: 'warn' })).toEqual([...errors, '{"level":40,"msg":"hm"}']);
    expect((await kept.pages({ level: 'error' }, 1)).flat()).toEqual(errors);
    expect(await kept.texts({ level: 'error' }, { at: 'newest', count: 1 })).toEqual(['    at two']);
  });

  it('shows no secret, and cannot be asked for one', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa', { secrets: ['sesame-open'] });
    kept.write('aaaa', 'try sesame-open now\n');
    expect(await kept.texts()).toEqual(['try *** now']);
    expect(await kept.texts({ text: 'sesame' })).toEqual([]);
  });

  it('finds the newest lines without reading all there is', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    for (let n = 0; n < 60_000; n += 10_000) {
      kept.nowMs += 1000;
      kept.write('aaaa', textOf(numbered(n, n + 10_000).map((line) => `${line} ${'x'.repeat(80)}`)));
    }
    const page = await kept.logs.page(RUNTIME, {}, { at: 'newest', count: 5 }, 5);
    expect(page.lines.map(({ text }) => text.slice(0, 10))).toEqual(numbered(59_995, 60_000));
    expect(await kept.texts({ text: 'line 17 ' }, { at: 'newest', count: 5 })).toHaveLength(1);
  });
});

describe('lines', () => {
  const shown = async (bytes: string | Buffer, { secrets = [] as string[], isOver = true } = {}) => {
    const kept = new KeptLogs();
    kept.begin('aaaa', { secrets });
    kept.write('aaaa', bytes);
    if (isOver) kept.end('aaaa');
    const { lines } = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 1000);
    return lines.map(({ text, isCut, isOpen }) => [text, isCut ? 'cut' : isOpen ? 'open' : ''].join('|'));
  };

  it('of bytes that are no text are shown all the same', async () => {
    expect(await shown(Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x00, 0x00, 0x62, 0x0d, 0x0a, 0x0a]))).toEqual([
      'a\ufffd\ufffd|',
      'b|',
      '|',
    ]);
  });

  it('have no colours, and a progress bar is its last state', async () => {
    expect(await shown('\x1b[31mred\x1b[0m\n10%\r50%\r100%\n')).toEqual(['red|', '100%|']);
  });

  it('that are too long are cut, and what follows them is not', async () => {
    const long = 'x'.repeat(5 * LINE_BYTES);
    expect(await shown(`${long}\nnext\n${'y'.repeat(LINE_BYTES)}\n`)).toEqual([
      `${'x'.repeat(LINE_BYTES)}…|cut`,
      'next|',
      `${'y'.repeat(LINE_BYTES)}|`,
    ]);
  });

  it('are never cut within a secret or a character', async () => {
    const secret = 'sesame-open-yourself';
    for (const before of [LINE_BYTES - 30, LINE_BYTES - 10, LINE_BYTES - 1, LINE_BYTES]) {
      const [line] = await shown(`${'x'.repeat(before)}${secret}${'y'.repeat(LINE_BYTES)}\n`, {
        secrets: [secret],
      });
      expect(line).not.toMatch(/sesa|elf/);
    }
    const [snow] = await shown(`x${'☃'.repeat(LINE_BYTES)}\n`);
    expect(snow).not.toContain('\ufffd');
  });

  it('without an end are shown when their writer is over, or has been quiet; the rest comes later, and nothing twice', async () => {
    expect(await shown('no end')).toEqual(['no end|']);
    const kept = new KeptLogs();
    kept.begin('aaaa', { secrets: ['sesame'] });
    kept.write('aaaa', 'whole\nname? ses');
    const first = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 10);
    expect(first.lines.map(({ text }) => text)).toEqual(['whole']);
    kept.nowMs += 2000;
    const second = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor: first.cursor }, 10);
    // What may become a secret waits.
    expect(second.lines.map(({ text, isOpen }) => [text, isOpen])).toEqual([['name? ', true]]);
    kept.write('aaaa', 'ame, thanks\nmore\n');
    const third = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor: carried(second.cursor) }, 10);
    expect(third.lines.map(({ text }) => text)).toEqual(['***, thanks', 'more']);
  });

  it('do not become empty ones when the end of an open line is all that comes', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    kept.write('aaaa', 'dots...');
    kept.nowMs += 2000;
    const { cursor } = await kept.logs.page(RUNTIME, {}, { at: 'newest', count: 5 }, 5);
    kept.write('aaaa', '\n\nnext\n');
    const { lines } = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor }, 10);
    expect(lines.map(({ text }) => text)).toEqual(['', 'next']);
  });

  it('of one that writes without end and without a line end cost no more than the first', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    let cursor = NOTHING_READ;
    const texts: string[] = [];
    for (let n = 0; n < 10; n++) {
      kept.write('aaaa', 'z'.repeat(300_000));
      const page = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor: carried(cursor) }, 10);
      texts.push(...page.lines.map(({ text }) => text));
      ({ cursor } = page);
    }
    expect(texts).toEqual([`${'z'.repeat(LINE_BYTES)}…`]);
    expect(cursor.places.get('aaaa')).toMatchObject({ position: 3_000_000, isSkipping: true });
  });

  it('that were freed before they were read are told of, and the rest is whole', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    kept.write('aaaa', textOf(numbered(0, 100)));
    const first = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 100);
    kept.write('aaaa', textOf(numbered(100, 20_000)));
    await kept.bound('aaaa', 64 * 1024);
    const start = { at: 'cursor', cursor: first.cursor } as const;
    const read = await kept.logs.page(RUNTIME, {}, start, 20_000);
    const [line] = read.lines;
    expect(read.lines.map(({ text }) => text)).toEqual(numbered(Number(line!.text.slice(5)), 20_000));
    const lost = textOf(numbered(100, Number(line!.text.slice(5)))).length;
    expect(read.lost).toEqual([{ instanceId: 'aaaa', bytes: lost }]);
    expect(await kept.texts({}, { at: 'newest', count: 3 })).toEqual(numbered(19_997, 20_000));
  });

  it('keep their place when an older part is moved aside, where blocks cannot be given back', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    const notFreed = async () => false;
    let cursor = NOTHING_READ;
    const texts: string[] = [];
    for (let n = 0; n < 30; n++) {
      kept.write('aaaa', textOf(numbered(n * 100, (n + 1) * 100)));
      const page = await kept.logs.page(
        RUNTIME,
        {},
        { at: 'cursor', cursor: carried(cursor) },
        70 + (n % 3) * 20,
      );
      texts.push(...page.lines.map(({ text }) => text));
      ({ cursor } = page);
      if (n % 4 === 3) await kept.bound('aaaa', 100, notFreed);
    }
    const { lines, lost } = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor }, 1000);
    texts.push(...lines.map(({ text }) => text));
    expect(lost).toEqual([]);
    expect(texts).toEqual(numbered(0, 3000));
  });

  it('that nobody looked at in time are of the moment when the file was last written', async () => {
    const kept = new KeptLogs();
    kept.begin('aaaa');
    kept.write('aaaa', 'seen\n');
    kept.nowMs += 5000;
    kept.write('aaaa', 'not seen\n', { isSeen: false });
    kept.restart();
    kept.nowMs += 60_000;
    const { lines } = await kept.logs.page(RUNTIME, {}, { at: 'oldest' }, 10);
    expect(lines.map(({ text, timeMs }) => [text, timeMs - T0])).toEqual([
      ['seen', 0],
      ['not seen', 5000],
    ]);
  });
});

describe('who follows', () => {
  const collect = async (events: AsyncIterable<FollowEvent>, isEnough: (texts: string[]) => boolean) => {
    const texts: string[] = [];
    let cursor = NOTHING_READ;
    for await (const event of events) {
      if (event.kind === 'end') return { texts, cursor, reason: event.reason };
      if (event.kind === 'line') texts.push(event.line.text);
      cursor = carried(event.cursor());
      if (isEnough(texts)) break;
    }
    return { texts, cursor };
  };

  it('gets each line once however often it comes back, with several that write, are shortened and end', async () => {
    const kept = new KeptLogs();
    const stop = new AbortController();
    const written = { 'inst-a': 0, 'inst-b': 0, 'inst-c': 0 };
    kept.begin('inst-a');
    kept.begin('inst-b');
    const write = (id: keyof typeof written, count: number) => {
      const lines = numbered(written[id], written[id] + count).map((line) => `${id} ${line}`);
      written[id] += count;
      // As agents do: not by lines.
      const text = textOf(lines);
      const at = randomInt(text.length);
      kept.write(id, text.slice(0, at));
      kept.write(id, text.slice(at));
    };
    const seen: string[] = [];
    let cursor = NOTHING_READ;
    for (let round = 0; round < 20; round++) {
      kept.nowMs += 50;
      write('inst-a', 30);
      if (round < 10) write('inst-b', 20);
      if (round === 10) kept.end('inst-b');
      if (round === 12) kept.begin('inst-c');
      if (round > 12) write('inst-c', 10);
      if (round === 5) await kept.bound('inst-a', 512 * 1024);
      if (round === 8) kept.restart(['inst-a', 'inst-b']);
      const there = Object.values(written).reduce((sum, count) => sum + count);
      const enough = seen.length + 1 + randomInt(there - seen.length);
      const events = kept.logs.follow(RUNTIME, {}, { at: 'cursor', cursor }, stop.signal);
      const got = await collect(events, (texts) => seen.length + texts.length >= enough);
      seen.push(...got.texts);
      ({ cursor } = got);
    }
    const rest = await kept.logs.page(RUNTIME, {}, { at: 'cursor', cursor }, 1000);
    seen.push(...rest.lines.map(({ text }) => text));
    for (const [id, count] of Object.entries(written))
      expect(seen.filter((line) => line.startsWith(id))).toEqual(
        numbered(0, count).map((line) => `${id} ${line}`),
      );
  });

  it('may leave in the middle of the newest lines and come back', async () => {
    const kept = new KeptLogs();
    kept.begin('inst-a');
    kept.begin('inst-b');
    for (let n = 0; n < 20; n++) {
      kept.nowMs += 10;
      kept.write(n % 3 === 0 ? 'inst-a' : 'inst-b', `line ${n}\n`);
    }
    const { signal } = new AbortController();
    const first = await collect(
      kept.logs.follow(RUNTIME, {}, { at: 'newest', count: 10 }, signal),
      ({ length }) => length === 4,
    );
    expect(first.texts).toEqual(numbered(10, 14));
    const start = { at: 'cursor', cursor: first.cursor } as const;
    const second = await collect(kept.logs.follow(RUNTIME, {}, start, signal), ({ length }) => length === 6);
    expect(second.texts).toEqual(numbered(14, 20));
  });

  it('shares one watch with all others of the runtime, and it ends with the last of them', async () => {
    const kept = new KeptLogs();
    kept.begin('inst-a');
    const stops = Array.from({ length: 20 }, () => new AbortController());
    let paused = 0;
    let allPaused = () => {};
    const arePaused = new Promise<void>((resolve) => {
      allPaused = resolve;
    });
    const all = stops.map(async ({ signal }) => {
      let isFirst = true;
      for await (const event of kept.logs.follow(RUNTIME, {}, { at: 'oldest' }, signal)) {
        if (event.kind === 'pause' && isFirst && ++paused === stops.length) allPaused();
        if (event.kind === 'pause') isFirst = false;
      }
    });
    await arePaused;
    expect(kept.logs.following()).toEqual({ runtimes: 1, followers: 20 });
    const looks = kept.looks;
    kept.write('inst-a', 'news\n');
    await expect.poll(() => kept.looks).toBeGreaterThan(looks + 1);
    // A look is for all of them.
    expect(kept.looks - looks).toBeLessThan(stops.length);
    for (const stop of stops) stop.abort();
    await Promise.all(all);
    expect(kept.logs.following()).toEqual({ runtimes: 0, followers: 0 });
  });

  it('is told when the server stops, and when the time asked for is over', async () => {
    const kept = new KeptLogs();
    kept.begin('inst-a');
    kept.write('inst-a', 'one\n');
    const { signal } = new AbortController();
    kept.nowMs += 10_000;
    const until = await collect(
      kept.logs.follow(RUNTIME, { untilMs: T0 + 5000 }, { at: 'oldest' }, signal),
      () => false,
    );
    expect(until).toMatchObject({ texts: ['one'], reason: 'The time asked for is over' });
    const following = collect(kept.logs.follow(RUNTIME, {}, { at: 'oldest' }, signal), (texts) => {
      if (texts.length > 0) kept.logs.close();
      return false;
    });
    expect(await following).toMatchObject({ texts: ['one'], reason: 'The server is stopping' });
    expect(kept.logs.following().followers).toBe(0);
    expect(() => kept.logs.requireRoom()).toThrow('stopping');
  });

  it('reads no faster than it takes: what waits, waits in the file', async () => {
    const kept = new KeptLogs();
    kept.begin('inst-a');
    kept.write('inst-a', textOf(numbered(0, 200_000).map((line) => `${line} ${'x'.repeat(100)}`)));
    const { signal } = new AbortController();
    const events = kept.logs.follow(RUNTIME, {}, { at: 'oldest' }, signal);
    await events.next();
    globalThis.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    // Nobody asks for more, and much more comes.
    appendFileSync(kept.path('inst-a'), 'y'.repeat(20_000_000));
    const { value } = await events.next();
    expect((value as { line: { text: string } }).line.text).toMatch(/^line 1 x/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(5_000_000);
    await events.return(undefined);
    expect(kept.logs.following().followers).toBe(0);
  });
});
