import { ValueError } from './errors.ts';

/**
 * An id or a name as one segment of a path. An empty one would name the list above it (and a DELETE something else
 * altogether), and URL parsers fold `.` and `..` away.
 */
export function pathSegment(name: string, value: string): string {
  if (typeof value !== 'string' || value === '') throw new ValueError(`${name} is required`);
  if (value === '.' || value === '..') throw new ValueError(`${name} cannot be "${value}"`);
  return value;
}
