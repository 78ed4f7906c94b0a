import { sql } from 'kysely';

/**
 * What a delete makes of a row that has a status. It outranks every attempt under way, whose outcome is then of an older
 * revision; asked again it changes nothing.
 * @param at ISO time
 */
export function deletingSince(at: string) {
  return {
    status: 'DELETING' as const,
    status_reason: null,
    revision: sql<number>`case when status = 'DELETING' then revision else revision + 1 end`,
    updated_at: sql<string>`case when status = 'DELETING' then updated_at else ${at} end`,
  };
}
