import { AgentRunError, ValueError } from './errors.ts';
import { ApiPromise, type Run } from './transport/api-promise.ts';
import type { Page } from './wire.ts';

/** One page of a list: an array that also knows how many there are in all. */
export type ListResult<T> = T[] & {
  /** How many match, on all pages. */
  readonly total: number;
  readonly pageNumber: number;
  readonly pageSize: number;
};

/** The numbers do not show in `JSON.stringify`, `for … in` or a comparison with a plain array. */
export function listResult<T>(page: Partial<Page<T>>): ListResult<T> {
  // Servers that leave out empty lists mean one.
  const items = Array.isArray(page.items) ? page.items : [];
  const { total = items.length, pageNumber = 1, pageSize = items.length } = page;
  // Lists of workspaces have them as text.
  return Object.defineProperties(items, {
    total: { value: Number(total) },
    pageNumber: { value: Number(pageNumber) },
    pageSize: { value: Number(pageSize) },
  }) as ListResult<T>;
}

/** The size of the pages that everything is read in (contract: pagination). */
export const ALL_PAGE_SIZE = 50;
/** Half a million rows: no account has them, so the list of a server that goes on is one without an end. */
const MAX_PAGES = 10_000;

export interface Pages<T> {
  /** From 1. */
  page: (pageNumber: number) => Promise<ListResult<T>>;
  firstPage: number;
  /** What was asked for, if anything was. */
  pageSize: number | undefined;
  /** What tells rows apart. */
  idOf: (row: T) => string | undefined;
}

/**
 * Every row from `firstPage` on. While pages are read others write, so a row may come on two pages: each id is given
 * once. Rows without an id, which cannot be told apart, are left out. Ends at a page that is not full, or that holds
 * nothing new: a server that knows no page numbers gives the same page for ever.
 */
export async function* rowsOf<T>({
  page,
  firstPage,
  pageSize,
  idOf,
}: Pages<T>): AsyncGenerator<T, undefined> {
  const seen = new Set<string>();
  for (let number = firstPage; number < firstPage + MAX_PAGES; number++) {
    const rows = await page(number);
    const before = seen.size;
    for (const row of rows) {
      const id = idOf(row);
      if (!id || seen.has(id)) continue;
      seen.add(id);
      yield row;
    }
    // A server may have a limit of its own, in which case its full pages are smaller.
    const full = Math.min(pageSize ?? Number.POSITIVE_INFINITY, rows.pageSize || rows.length);
    if (rows.length < full || seen.size === before) return undefined;
  }
  throw new AgentRunError(`the list does not end: ${MAX_PAGES} pages were read`);
}

/** Awaited: one page. In `for await`: every row, from that page on. */
export class ListPromise<T> extends ApiPromise<ListResult<T>> implements AsyncIterable<T> {
  readonly #pages: Omit<Pages<T>, 'page'>;
  readonly #next: (pageNumber: number) => Promise<ListResult<T>>;

  constructor(run: Run<ListResult<T>>, pages: Pages<T>) {
    super(run);
    const { page, ...rest } = pages;
    this.#next = page;
    this.#pages = rest;
  }

  [Symbol.asyncIterator](): AsyncGenerator<T, undefined> {
    const { firstPage } = this.#pages;
    return rowsOf({ ...this.#pages, page: (number) => (number === firstPage ? this : this.#next(number)) });
  }
}

/**
 * Everything of a list, on whatever number of pages. Awaited: an array. In `for await`: the rows as their pages come.
 * Nothing is sent before either.
 */
export class ListAll<T> implements AsyncIterable<T>, Promise<T[]> {
  readonly [Symbol.toStringTag] = 'ListAll';
  readonly #page: (pageNumber: number, pageSize: number) => Promise<ListResult<T>>;
  readonly #idOf: (row: T) => string | undefined;
  readonly #input: object | undefined;
  #all: Promise<T[]> | undefined;

  /** @param input what the caller filters by; numbers of pages are not the caller's here */
  constructor(
    input: object | undefined,
    page: (pageNumber: number, pageSize: number) => Promise<ListResult<T>>,
    idOf: (row: T) => string | undefined,
  ) {
    this.#input = input;
    this.#page = page;
    this.#idOf = idOf;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, undefined> {
    for (const name of ['pageNumber', 'pageSize'] as const) {
      const value = (this.#input as Record<string, unknown> | undefined)?.[name];
      if (value === undefined || value === null) continue;
      throw new ValueError(`${name} cannot be given where all pages are read: ask for one page instead`);
    }
    yield* rowsOf({
      page: (number) => this.#page(number, ALL_PAGE_SIZE),
      firstPage: 1,
      pageSize: ALL_PAGE_SIZE,
      idOf: this.#idOf,
    });
    return undefined;
  }

  /** All rows, read once however often it is asked for. */
  toArray(): Promise<T[]> {
    this.#all ??= collect(this);
    return this.#all;
  }

  // biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for
  then<Result = T[], Failure = never>(
    fulfilled?: ((rows: T[]) => Result | PromiseLike<Result>) | null,
    rejected?: ((reason: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure> {
    return this.toArray().then(fulfilled, rejected);
  }

  catch<Failure = never>(
    rejected?: ((reason: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<T[] | Failure> {
    return this.toArray().catch(rejected);
  }

  finally(settled?: (() => void) | null): Promise<T[]> {
    return this.toArray().finally(settled);
  }
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
}
