import type { FieldSection } from '../src/http/fields.ts';
import { Malformed } from '../src/http/malformed.ts';
import { readResponseHead } from '../src/http/response-head.ts';

/** Fields as a reader gives them. @param fields names and values by turns */
export function sectionOf(fields: readonly string[]): FieldSection {
  let text = 'HTTP/1.1 200 OK\r\n';
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  const bytes = Buffer.from(`${text}\r\n`, 'latin1');
  const head = readResponseHead(bytes, 0, bytes.length, 'GET');
  if (head === undefined || head instanceof Malformed) throw new Error(`no head: ${head?.reason}`);
  return head.section;
}
