/** What the driver stores faithfully. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/**
 * The one encoder that every bound value passes. Left to itself the driver stores a Date as NULL without a word, and
 * refuses booleans.
 * @throws TypeError for what has no faithful form: undefined, functions, symbols, objects, numbers that are not finite
 */
export function bindValue(value: unknown): SqlValue {
  switch (typeof value) {
    case 'string':
    case 'bigint':
      return value;
    case 'boolean':
      return value ? 1 : 0;
    case 'number':
      if (Number.isFinite(value)) return value;
      break;
    case 'object':
      if (value === null || value instanceof Uint8Array) return value;
      if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
      break;
  }
  const shown =
    typeof value === 'object' ? `an object of class ${value?.constructor?.name ?? 'null'}` : String(value);
  throw new TypeError(`Cannot bind a ${typeof value} to an SQL parameter: ${shown}`);
}
