import { expect, it } from 'vitest';
import { type LineContext, lineFacts, reachesLevel } from './log-line.ts';

const NOW = Date.parse('2026-11-25T14:52:22.500Z');
const context = (changes: Partial<LineContext> = {}): LineContext => ({
  levelBefore: undefined,
  writtenAfterMs: NOW - 1000,
  writtenBeforeMs: NOW,
  startedMs: NOW - 3_600_000,
  ...changes,
});
const levelOf = (text: string, changes?: Partial<LineContext>) => lineFacts(text, context(changes)).level;
const timeOf = (text: string, changes?: Partial<LineContext>) => {
  const { timeMs } = lineFacts(text, context(changes));
  return timeMs === undefined ? undefined : new Date(timeMs).toISOString();
};

it.each([
  ['{"level":30,"msg":"pino"}', 'info'],
  ['{"level":50,"msg":"pino"}', 'error'],
  ['{"level":60}', 'fatal'],
  ['{"level":5}', 'trace'],
  ['{"level":"WARNING"}', 'warn'],
  ['{"severity":"CRITICAL"}', 'fatal'],
  ['{"levelname":"ERROR","message":"python-json-logger"}', 'error'],
  ['{"level":{"odd":1},"severity":"debug"}', 'debug'],
  ['{"msg":"ERROR inside a value"}', 'info'],
  ['{"level":"error", broken', 'info'],
  ['ERROR something broke', 'error'],
  ['error: something broke', 'error'],
  ['error handling is on', 'info'],
  ['INFO:     Started server process [17]', 'info'],
  ['WARNING:root:a Python default', 'warn'],
  ['[warn] careful', 'warn'],
  ['[2026-11-25 14:52:22 +0000] [17] [ERROR] gunicorn', 'error'],
  ['2026-11-25 14:52:22,123 - my.module - WARNING - a Python format', 'warn'],
  ['2026-11-25T14:52:22.123Z DEBUG app: started', 'debug'],
  ['2026-11-25 14:52:22.123 | CRITICAL | loguru', 'fatal'],
  ['time=2026-11-25T14:52:22Z level=warn msg="logfmt"', 'warn'],
  ['Traceback (most recent call last):', 'error'],
  ['TypeError: x is not a function', 'error'],
  ['TypeError [ERR_INVALID_ARG]: x', 'error'],
  ['asyncio.exceptions.CancelledError', 'error'],
  ['an answer of INFO to a question', 'info'],
  ['just text', 'info'],
  ['', 'info'],
])('%j is of level %s', (text, level) => {
  expect(levelOf(text)).toBe(level);
});

it('what is indented belongs to the line before', () => {
  expect(levelOf('    at main (agent.mjs:3:9)', { levelBefore: 'error' })).toBe('error');
  expect(levelOf('not indented', { levelBefore: 'error' })).toBe('info');
  expect(levelOf('   ', { levelBefore: 'error' })).toBe('info');
});

it.each([
  ['2026-11-25T14:52:22.123Z hello', '2026-11-25T14:52:22.123Z'],
  ['[2026-11-25T15:52:21+01:00] hello', '2026-11-25T14:52:21.000Z'],
  ['{"time":1795618342123,"level":30}', '2026-11-25T14:52:22.123Z'],
  ['{"ts":1795618342.5}', '2026-11-25T14:52:22.500Z'],
  ['{"timestamp":"2026-11-25T14:00:00Z"}', '2026-11-25T14:00:00.000Z'],
  // Nothing that can be true: before the instance began, or in the future.
  ['2020-01-01T00:00:00Z an order of long ago', undefined],
  ['2026-11-25T14:54:00Z is not yet', undefined],
  ['{"time":17}', undefined],
  ['2026-13-45T99:00:00Z', undefined],
  ['the time is 2026-11-25T14:52:22.123Z', undefined],
  ['no time', undefined],
])('%j is of the time %s', (text, time) => {
  expect(timeOf(text)).toBe(time);
});

it('a time without a zone is ours, and believed only when it is recent', () => {
  const local = new Date(NOW - 2000);
  const two = (value: number) => String(value).padStart(2, '0');
  const stamp = (date: Date) =>
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())},250 x`;
  expect(timeOf(stamp(local))).toBe(new Date(Math.floor(local.getTime() / 1000) * 1000 + 250).toISOString());
  expect(timeOf(stamp(new Date(NOW - 1_800_000)))).toBeUndefined();
});

it('levels are in order', () => {
  expect(reachesLevel('error', 'warn')).toBe(true);
  expect(reachesLevel('warn', 'warn')).toBe(true);
  expect(reachesLevel('info', 'warn')).toBe(false);
});
