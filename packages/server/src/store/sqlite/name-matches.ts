import { type ExpressionBuilder, sql } from 'kysely';
import type { Tables } from '../rows.ts';

export function nameMatches<T extends 'runtimes' | 'endpoints' | 'workspaces'>(
  where: ExpressionBuilder<Tables, T>,
  name: string,
  mode: 'exact' | 'fuzzy',
) {
  if (mode === 'exact') return sql<boolean>`${where.ref('name' as never)} = ${name}`;
  const pattern = `%${name.replace(/[\\%_]/g, '\\$&')}%`;
  return sql<boolean>`${where.ref('name' as never)} like ${pattern} escape '\\'`;
}
