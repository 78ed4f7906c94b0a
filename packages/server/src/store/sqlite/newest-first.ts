import type { Expression, ExpressionBuilder, Kysely, Selectable, SqlBool } from 'kysely';
import type { Tables } from '../rows.ts';
import type { PageRequest, PageResult } from '../store.ts';

/** Tables whose lists are newest first, ties by id. */
type Listed = 'runtimes' | 'endpoints' | 'workspaces' | 'sessions';

/**
 * Rows of one page and the number of all. Which rows they are is found by their keys alone, in the order of an index; only
 * those of the page are read whole.
 */
export async function newestFirst<T extends Listed>(
  db: Kysely<Tables>,
  table: T,
  matching: (where: ExpressionBuilder<Tables, T>) => Expression<SqlBool>,
  { pageNumber, pageSize, after }: PageRequest,
): Promise<PageResult<Selectable<Tables[T]>>> {
  // All of them have id and created_at alike; the compiler follows one of them.
  const rows = db.selectFrom(table as 'runtimes');
  const all = rows.where(matching as unknown as Matching);
  const { total } = await all
    .select((where) => where.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  const rest = after
    ? all
        .where('created_at', '<=', after.createdAt)
        .where((where) => where.or([where('created_at', '<', after.createdAt), where('id', '>', after.id)]))
    : all.offset((pageNumber - 1) * pageSize);
  const keys = rest.select('id').orderBy('created_at', 'desc').orderBy('id').limit(pageSize);
  const items = await rows
    .where('id', 'in', keys)
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .execute();
  return { items: items as unknown as Selectable<Tables[T]>[], total: Number(total) };
}

type Matching = (where: ExpressionBuilder<Tables, 'runtimes'>) => Expression<SqlBool>;
