import { expect, test } from 'vitest';
import { type EndpointHistory, historiesAfter, versionsToCut } from './draining.ts';

/** Looks at an endpoint again and again: what it serves (null: it is gone), and what drains by then. */
function follow(...looks: [serves: number[] | null, draining: number[]][]): EndpointHistory | undefined {
  let histories = new Map<string, EndpointHistory>();
  for (const [serves, draining] of looks)
    histories = historiesAfter(histories, new Map(serves ? [['e', serves]] : []), draining);
  return histories.get('e');
}

test.each<[string, [number[] | null, number[]][], left: number[], cut: number[]]>([
  ['nothing has left', [[[1], []]], [], []],
  [
    'one version left',
    [
      [[1], []],
      [[2], [1]],
    ],
    [1],
    [],
  ],
  [
    'two may drain',
    [
      [[1], []],
      [[2], [1]],
      [[3], [1, 2]],
    ],
    [1, 2],
    [],
  ],
  [
    'of three the oldest is cut',
    [
      [[1], []],
      [[2], [1]],
      [[3], [1, 2]],
      [[4], [1, 2, 3]],
    ],
    [1, 2, 3],
    [1],
  ],
  [
    'one that has ended counts no more',
    [
      [[1], []],
      [[2], [1]],
      [[3], [2]],
      [[4], [2, 3]],
    ],
    [2, 3],
    [],
  ],
  [
    'the order of leaving counts, not the number',
    [
      [[3], []],
      [[1], [3]],
      [[2], [1, 3]],
      [[4], [1, 2, 3]],
    ],
    [3, 1, 2],
    [3],
  ],
  [
    'one that came back has not left',
    [
      [[1], []],
      [[2], [1]],
      [[1], [2]],
    ],
    [2],
    [],
  ],
  [
    'one that came back and left again is the newest',
    [
      [[1], []],
      [[2], [1]],
      [[1], [2]],
      [[3], [1, 2]],
    ],
    [2, 1],
    [],
  ],
  [
    'versions that shared an endpoint leave together',
    [
      [[1, 2], []],
      [[3], [1, 2]],
      [[4], [1, 2, 3]],
    ],
    [1, 2, 3],
    [1],
  ],
  [
    'what another endpoint serves does not drain',
    [
      [[1], []],
      [[2], []],
      [[3], [2]],
    ],
    [2],
    [],
  ],
  [
    'an endpoint that is gone has left all',
    [
      [[1], []],
      [null, [1]],
      [null, [1]],
    ],
    [1],
    [],
  ],
  ['of what was not seen, the lower numbers left first', [[[5], [4, 1, 3]]], [1, 3, 4], [1]],
  [
    'what came and left between two looks counts too',
    [
      [[1], []],
      [[4], [1, 2, 3]],
    ],
    [1, 2, 3],
    [1],
  ],
])('%s', (_, looks, left, cut) => {
  const history = follow(...looks);
  expect(history!.left).toEqual(left);
  expect([...versionsToCut([history!])]).toEqual(cut);
});

test('an endpoint that is gone is forgotten when nothing of it drains any more', () => {
  expect(follow([[1], []], [null, [1]], [null, []])).toBeUndefined();
});

test('what another endpoint was seen to serve has not left this one', () => {
  let histories = historiesAfter(
    new Map(),
    new Map([
      ['a', [1]],
      ['b', [2]],
    ]),
    [],
  );
  histories = historiesAfter(
    histories,
    new Map([
      ['a', [3]],
      ['b', [4]],
    ]),
    [1, 2],
  );
  expect([histories.get('a')!.left, histories.get('b')!.left]).toEqual([[1], [2]]);
});

test('each endpoint has its own two, and a version that is one too many for any is cut', () => {
  const histories = [
    { serves: [9], left: [1, 2] },
    { serves: [9], left: [3, 4] },
    { serves: [9], left: [5, 1, 3] },
  ];
  expect([...versionsToCut(histories)]).toEqual([5]);
});
