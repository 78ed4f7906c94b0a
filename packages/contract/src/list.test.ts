import { describe, expect, it } from 'vitest';
import { ListAgentRuntimesQuery } from './list.ts';

describe('list queries', () => {
  it('turn numbers into numbers and lists into lists', () => {
    expect(
      ListAgentRuntimesQuery.parse({
        pageNumber: '2',
        pageSize: '100',
        status: 'READY, CREATING,,',
        systemTags: '',
      }),
    ).toEqual({ pageNumber: 2, pageSize: 100, status: ['READY', 'CREATING'], systemTags: [] });
  });

  it.each(['0', '-1', '1.0', '1e3', '', ' 1', '+1', '01', '2147483648', 'Infinity'])(
    'have no page %j',
    (pageNumber) => {
      const { error } = ListAgentRuntimesQuery.safeParse({ pageNumber });
      expect(error?.issues.map(({ path, message }) => [path[0], message])).toEqual([
        ['pageNumber', 'must be an integer from 1 to 2147483647'],
      ]);
    },
  );
});
