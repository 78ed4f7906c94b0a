import { describe, expect, it } from 'vitest';
import {
  AbortError,
  ClientError,
  ConnectionError,
  httpErrorFrom,
  IncompleteStreamError,
  InvalidResponseError,
  TimeoutError,
  ValueError,
} from '../errors.ts';
import { DEFAULT_RETRY_POLICY, parseRetryAfter, type Repetition, retryDelay } from './retry.ts';

const answered = (statusCode: number, more: { retryAfterMs?: number; origin?: string } = {}) =>
  httpErrorFrom({ statusCode, message: 'm', fromApi: true, ...more });
const refused = new ConnectionError('refused', { mayHaveArrived: false });
const brokeOff = new ConnectionError('reset');

const delay = (error: unknown, repetition: Repetition, retries = 0, chance = 0.5) =>
  retryDelay(error, retries, repetition, DEFAULT_RETRY_POLICY, chance);

describe('what is made again', () => {
  it.each<[string, unknown, boolean, boolean, boolean]>([
    // what happened                      safe   create invocation
    ['no connection was made', refused, true, true, true],
    ['the connection broke off', brokeOff, true, false, false],
    ['408', answered(408), true, false, false],
    ['429', answered(429), true, true, false],
    [
      '429 of the platform, with a time',
      answered(429, { origin: 'platform', retryAfterMs: 0 }),
      true,
      true,
      true,
    ],
    ['429 of the agent, with a time', answered(429, { origin: 'agent', retryAfterMs: 0 }), true, true, false],
    ['429 of who knows whom, with a time', answered(429, { retryAfterMs: 0 }), true, true, false],
    ['409: a name that is taken', answered(409), false, false, false],
    ['409 that says when it passes', answered(409, { retryAfterMs: 0 }), true, false, false],
    ['500', answered(500), true, false, false],
    ['502 of the platform', answered(502, { origin: 'platform' }), true, false, false],
    ['503', answered(503), true, false, false],
    ['503 of the platform', answered(503, { origin: 'platform' }), true, false, false],
    [
      '503 of the platform, with a time',
      answered(503, { origin: 'platform', retryAfterMs: 0 }),
      true,
      false,
      true,
    ],
    [
      '503 of the agent, with a time',
      answered(503, { origin: 'agent', retryAfterMs: 0 }),
      true,
      false,
      false,
    ],
    ['504', answered(504), true, false, false],
    ['599', answered(599), true, false, false],
    ...[501, 505, 506, 507, 508, 510, 511].map(
      (status) => [String(status), answered(status), false, false, false] as never,
    ),
    ...[400, 401, 403, 404, 413, 422].map(
      (status) => [String(status), answered(status), false, false, false] as never,
    ),
    ['the time is over', new TimeoutError('t', 1), false, false, false],
    ['the caller said stop', new AbortError('a'), false, false, false],
    ['no answer of this API', new InvalidResponseError(200, 'html'), false, false, false],
    ['a stream broke off', new IncompleteStreamError('s'), false, false, false],
    ['an argument cannot be used', new ValueError('v'), false, false, false],
    ['a fault of the caller’s own', new TypeError('x'), false, false, false],
  ])('%s', (_, error, safe, create, invocation) => {
    expect(delay(error, 'safe') !== undefined).toBe(safe);
    expect(delay(error, 'create') !== undefined).toBe(create);
    expect(delay(error, 'invocation') !== undefined).toBe(invocation);
  });

  it('as often as the policy says and no more', () => {
    const policy = { ...DEFAULT_RETRY_POLICY, maxRetries: 1 };
    expect(retryDelay(refused, 0, 'safe', policy, 0)).toBeDefined();
    expect(retryDelay(refused, 1, 'safe', policy, 0)).toBeUndefined();
    expect(retryDelay(refused, 0, 'safe', { ...policy, maxRetries: 0 }, 0)).toBeUndefined();
  });
});

describe('how long is waited', () => {
  it('doubles up to a limit, each time by half at least', () => {
    const policy = { ...DEFAULT_RETRY_POLICY, maxRetries: 99 };
    const least = [0, 1, 2, 5, 20].map((retries) => retryDelay(refused, retries, 'safe', policy, 0));
    expect(least).toEqual([125, 250, 500, 4000, 4000]);
    expect(retryDelay(refused, 1, 'safe', policy, 0.999_999)).toBeCloseTo(500, 1);
  });

  it('is what the server says', () => {
    expect(delay(answered(429, { retryAfterMs: 1500 }), 'safe')).toBe(1500);
    expect(delay(answered(503, { retryAfterMs: 0 }), 'safe')).toBe(0);
    expect(delay(answered(503, { retryAfterMs: 60_000 }), 'safe')).toBe(60_000);
  });

  it('is nothing where the server says too long: it is not asked early', () => {
    expect(delay(answered(503, { retryAfterMs: 60_001 }), 'safe')).toBeUndefined();
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-02T03:04:05Z');
  it.each<[string | null, number | undefined]>([
    ['0', 0],
    [' 3 ', 3000],
    ['1.5', 1500],
    ['Fri, 02 Jan 2026 03:04:15 GMT', 10_000],
    ['Fri, 02 Jan 2026 03:00:00 GMT', 0],
    ['-5', undefined],
    ['soon', undefined],
    ['', undefined],
    [null, undefined],
    ['1e3', undefined],
    ['100000000000000000000', 1e23],
  ])('%j', (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });

  it('stands on the error', () => {
    expect(answered(503, { retryAfterMs: 5 })).toMatchObject({ retryAfterMs: 5 });
    expect(new ClientError(400, 'm').retryAfterMs).toBeUndefined();
  });
});
