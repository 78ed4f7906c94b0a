/**
 * What a call keeps in memory while it waits, in bytes: its head, and of its body what has been read.
 * @param fields names and values by turns
 */
export function heldBytes(target: string, fields: readonly string[], bodyBytes: number): number {
  let bytes = target.length + bodyBytes;
  // One byte a character: fields are Latin-1.
  for (let at = 0; at < fields.length; at++) bytes += fields[at]!.length;
  return bytes;
}
