const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A moment as people write it: `15m`, `2h`, `7d` ago, or ISO 8601 (`2026-11-25`, `2026-11-25T14:52:22Z`); without a zone it
 * is UTC.
 * @returns ms since 1970; undefined for anything else
 */
export function readMoment(text: string, nowMs: number): number | undefined {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return nowMs - Number(count) * UNITS[unit]!;
  const [, date, time, zone] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  if (date === undefined) return undefined;
  const moment = Date.parse(`${date}T${time ?? '00:00'}${zone ?? 'Z'}`);
  // Some readers of dates take the 31st of April for the 1st of May.
  const isDay = new Date(`${date}T00:00Z`).toJSON()?.startsWith(date);
  return Number.isNaN(moment) || !isDay ? undefined : moment;
}
