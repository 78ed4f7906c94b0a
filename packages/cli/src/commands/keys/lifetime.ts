import { CommandError } from '../../command.ts';
import { EXIT } from '../../exit-codes.ts';

const SECONDS = { s: 1, m: 60, h: 3600, d: 24 * 3600, w: 7 * 24 * 3600 };

/**
 * Reads a lifetime such as `12h`, `30d` or `52w`. A bare number is refused: of what, is easily misread.
 * @returns whole seconds, at least 1
 * @throws CommandError
 */
export function seconds(text: string, flag: string): number {
  const [, count = '', unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text.trim()) ?? [];
  const value = Number(count) * (SECONDS[unit as keyof typeof SECONDS] ?? Number.NaN);
  if (value > 0) return value;
  throw new CommandError(
    EXIT.usage,
    `${flag} must be a time from now such as 12h, 30d or 52w; got "${text}"`,
  );
}
