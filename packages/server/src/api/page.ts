import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, type Page } from '@runstead/contract';
import type { PagePlace, PageRequest, PageResult } from '../store/store.ts';
import type { Call } from './call.ts';

/** Page number and size as asked for, with defaults; a size above the maximum is cut, and said. */
export function pageRequest(
  query: { pageNumber?: number | undefined; pageSize?: number | undefined },
  call: Call,
): PageRequest {
  const asked = query.pageSize ?? PAGE_SIZE_DEFAULT;
  if (asked > PAGE_SIZE_MAX) call.warn(`pageSize ${asked} was cut to ${PAGE_SIZE_MAX}`);
  return { pageNumber: query.pageNumber ?? 1, pageSize: Math.min(asked, PAGE_SIZE_MAX) };
}

/**
 * Reads a page of a list whose items come and go. It begins where the one before it ended, when this caller has just read
 * that.
 * @param filter whatever selects the items, the resource they lie under included
 */
export async function readPage<R extends PagePlace>(
  { deps: { walks }, principal }: Call,
  operation: string,
  filter: object,
  page: PageRequest,
  read: (page: PageRequest) => Promise<PageResult<R>>,
): Promise<PageResult<R>> {
  const list = { caller: principal.keyId, operation, filter, pageSize: page.pageSize };
  const result = await read({ ...page, after: walks.startOf(list, page.pageNumber) });
  const last = result.items.at(-1);
  if (last && result.items.length === page.pageSize) {
    walks.ended(list, page.pageNumber, { createdAt: last.createdAt, id: last.id });
  }
  return result;
}

export function toPage<R, T>(
  { items, total }: PageResult<R>,
  { pageNumber, pageSize }: PageRequest,
  toItem: (row: R) => T,
): Page<T> {
  return { items: items.map(toItem), total, pageNumber, pageSize };
}
