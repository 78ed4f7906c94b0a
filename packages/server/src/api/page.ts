import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, type Page } from '@runstead/contract';
import type { PageRequest, PageResult } from '../store/store.ts';
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

export function toPage<R, T>(result: PageResult<R>, page: PageRequest, toItem: (row: R) => T): Page<T> {
  return { items: result.items.map(toItem), total: result.total, ...page };
}
