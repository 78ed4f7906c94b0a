import { expect, test } from 'vitest';
import type { RuntimeRoute } from '../feed/messages.ts';
import { chooseVersion, pickInstance, pickVersion } from './choose.ts';

const nineToOne = [
  { version: 1, share: 0.9 },
  { version: 2, share: 0.1 },
];

test.each([
  [0, 1],
  [0.5, 1],
  [0.8999, 1],
  [0.9, 2],
  [0.9999, 2],
])('point %d of 90 : 10 is version %d', (point, version) => {
  expect(pickVersion(nineToOne, point)).toBe(version);
});

test('a thousand even points split exactly as the weights say', () => {
  const counts = new Map<number, number>();
  const weights = [
    { version: 3, share: 0.25 },
    { version: 1, share: 0.5 },
    { version: 2, share: 0.25 },
  ];
  for (let at = 0; at < 1000; at++) {
    const version = pickVersion(weights, at / 1000)!;
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  expect(Object.fromEntries(counts)).toEqual({ 1: 500, 2: 250, 3: 250 });
});

test('shares that do not quite add up to 1 leave no point without a version', () => {
  const tenths = Array.from({ length: 10 }, (_, at) => ({ version: at + 1, share: 0.1 }));
  expect(pickVersion(tenths, 1 - Number.EPSILON / 2)).toBe(10);
});

test('without weights there is no version', () => {
  expect(pickVersion([], 0.5)).toBeUndefined();
});

test('of two random instances the less loaded one is taken', () => {
  const free = [
    { id: 'a', inFlight: 3 },
    { id: 'b', inFlight: 1 },
    { id: 'c', inFlight: 2 },
  ];
  // first = a; the others are b and c.
  expect(pickInstance(free, [0, 0])?.id).toBe('b');
  expect(pickInstance(free, [0, 0.99])?.id).toBe('c');
  // first = c; the others are a and b.
  expect(pickInstance(free, [0.99, 0])?.id).toBe('c');
  expect(pickInstance(free, [0.99, 0.99])?.id).toBe('b');
});

test('of equally loaded instances the first point decides, so that all get calls', () => {
  const free = ['a', 'b', 'c', 'd'].map((id) => ({ id, inFlight: 0 }));
  expect([0, 0.25, 0.5, 0.75].map((point) => pickInstance(free, [point, 0.5])?.id)).toEqual([
    'a',
    'b',
    'c',
    'd',
  ]);
});

test('one instance is taken, none is none', () => {
  expect(pickInstance([{ inFlight: 5 }], [0.9, 0.9])).toEqual({ inFlight: 5 });
  expect(pickInstance([], [0, 0])).toBeUndefined();
});

const serving: RuntimeRoute = {
  runtimeId: 'r',
  name: 'echo',
  state: 'serving',
  endpoints: [
    { name: 'Default', weights: nineToOne, disablePublicNetworkAccess: false },
    { name: 'inner', weights: nineToOne, disablePublicNetworkAccess: true },
    { name: 'empty', weights: [], disablePublicNetworkAccess: false },
  ],
  versions: [],
};

test('a call is sent to the version its point falls on', () => {
  expect(chooseVersion(serving, { runtimeName: 'echo', endpointName: 'Default' }, 0.95)).toEqual({
    runtimeId: 'r',
    runtimeName: 'echo',
    endpointName: 'Default',
    version: 2,
  });
});

test('an endpoint without public access takes the calls of private callers', () => {
  const names = { runtimeName: 'echo', endpointName: 'inner' };
  expect(chooseVersion(serving, { ...names, isPrivate: true }, 0)).toMatchObject({ version: 1 });
  expect(() => chooseVersion(serving, { ...names, isPrivate: false }, 0)).toThrow(/closed to public/);
});

test.each([
  [undefined, 'Default', 'ERR_NOT_FOUND', "Runtime 'echo' does not exist"],
  [{ ...serving, state: 'deleting' as const }, 'Default', 'ERR_NOT_FOUND', "Runtime 'echo' does not exist"],
  [serving, 'default', 'ERR_NOT_FOUND', "Endpoint 'default' of runtime 'echo' does not exist"],
  [serving, 'inner', 'Forbidden', "endpoint 'inner' of runtime 'echo' is closed to public network access"],
  [serving, 'empty', 'ERR_UNAVAILABLE', "Runtime 'echo' has no version to serve yet"],
  [{ ...serving, unavailableReason: 'still creating' }, 'empty', 'ERR_UNAVAILABLE', 'still creating'],
])('what cannot be called says why (%#)', (route, endpointName, code, message) => {
  expect(() => chooseVersion(route, { runtimeName: 'echo', endpointName }, 0)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});
