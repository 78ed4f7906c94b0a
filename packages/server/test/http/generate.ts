import { METHODS } from 'node:http';
import type { Random } from '../model/random.ts';

/**
 * Messages by chance: first sound ones, from a grammar, then some damage. A case is a list of parts (lines, pieces of
 * bodies), so that a failing one can be made shorter by leaving parts out.
 */
export type Parts = readonly string[];

const TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const TARGET_MARKS = '/?%.;:@&=+$,-_~!*\'()[]{}|\\^`"<>#';
const ODD = [
  '\0',
  '\t',
  '\n',
  '\r',
  ' ',
  ':',
  ',',
  ';',
  '"',
  '\x0b',
  '\x7f',
  '\x80',
  '\xa0',
  '\xff',
  '\r\n',
  '0',
  'a',
];
const FIELD_NAMES = [
  'Accept',
  'Authorization',
  'Connection',
  'Content-Length',
  'content-length',
  'Content-Type',
  'Cookie',
  'Expect',
  'Host',
  'HOST',
  'Keep-Alive',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'transfer-encoding',
  'TRANSFER-ENCODING',
  'Upgrade',
  'User-Agent',
  'X-A',
  'Set-Cookie',
  'Content-Encoding',
  'Date',
];
const VALUES: Readonly<Record<string, readonly string[]>> = {
  connection: [
    'close',
    'keep-alive',
    'Keep-Alive',
    'upgrade',
    'close, x-a',
    'x-a,keep-alive',
    'keep-alive, close',
    ' , close',
    'closed',
    'close ,',
    'upgrade, close',
    'Upgrade, HTTP2-Settings',
    'proxy-connection',
    'close\tx',
    ',',
    'keep-alive,upgrade',
  ],
  'content-length': [
    '0',
    '1',
    '5',
    '5, 5',
    '05',
    '+5',
    '-1',
    '0x5',
    '5 ',
    '\t5',
    '5;',
    '',
    '99999999999999999999',
    '18446744073709551616',
    '4',
    '3',
    '10',
    '1 0',
  ],
  'transfer-encoding': [
    'chunked',
    'Chunked',
    'chunked ',
    '\tchunked',
    'identity',
    'gzip, chunked',
    'chunked, chunked',
    'chunked;q',
    'chunke',
    'chunkedd',
    'x, chunked',
    ', chunked',
    'chunked,',
    '"chunked"',
  ],
  expect: ['100-continue', '100-CONTINUE', '200-ok', '100-continue, x', ''],
  host: ['localhost', 'localhost:80', '[::1]', 'a.test', 'A.TEST', 'a b', '', 'a,b', 'a@b', 'a/b'],
  upgrade: ['websocket', 'h2c', 'HTTP/2.0, websocket', ''],
};

export function requestParts(random: Random): string[] {
  const parts: string[] = [];
  const count = random.weighted({ 1: 6, 2: 3, 3: 1 });
  for (let message = 0; message < Number(count); message++) {
    if (random.chance(0.05)) parts.push('\r\n');
    const host = random.chance(0.9) ? 'localhost' : word(random, 'abcXYZ019.-_~', 8);
    const method = random.chance(0.7)
      ? random.one(['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS'])
      : random.one(METHODS);
    const version = random.chance(0.9) ? '1.1' : random.one(['1.0', '1.0', '1.2', '2.0', '0.9']);
    parts.push(`${method} `, target(random, method, host), ` HTTP/${version}`, '\r\n');
    const body = bodyParts(random);
    const fields = [
      `Host: ${host}`,
      ...Array.from({ length: random.below(4) }, () => field(random, 0.15)),
      ...body.fields,
    ];
    if (version === '1.0' && random.chance(0.5)) fields.push('Connection: keep-alive');
    for (const line of shuffled(random, fields)) parts.push(line, '\r\n');
    parts.push('\r\n', ...body.parts);
  }
  damage(random, parts);
  return parts;
}

/** One final answer, with interim ones before it at times. */
export function answerParts(random: Random): string[] {
  const parts: string[] = [];
  while (random.chance(0.1)) {
    parts.push(`HTTP/1.1 ${random.one(['100', '102', '103'])} Wait`, '\r\n');
    if (random.chance(0.5)) parts.push(field(random, 0), '\r\n');
    parts.push('\r\n');
  }
  const status = random.chance(0.7)
    ? '200'
    : random.one(['201', '204', '205', '206', '301', '304', '404', '500', '599', '600', '099', '20', '2000']);
  const version = random.chance(0.9) ? '1.1' : random.one(['1.0', '1.2', '2.0']);
  const reason = random.chance(0.8) ? ' OK' : random.one(['', ' ', '  OK', ' \xe4\t!', ' Not Found']);
  parts.push(`HTTP/${version} ${status}${reason}`, '\r\n');
  const body = bodyParts(random);
  const fields = [...Array.from({ length: random.below(4) }, () => field(random, 0.1)), ...body.fields];
  for (const line of shuffled(random, fields)) parts.push(line, '\r\n');
  parts.push('\r\n', ...body.parts);
  if (random.chance(0.2)) parts.push(word(random, 'abc\r\n', 9));
  damage(random, parts);
  return parts;
}

function target(random: Random, method: string, host: string): string {
  const path = () => `/${word(random, TCHARS + TARGET_MARKS, 12)}`;
  if (method === 'OPTIONS' && random.chance(0.4)) return '*';
  if (random.chance(0.06)) {
    const scheme = random.one(['http', 'HTTP', 'https', 'hTTp']);
    const named = random.chance(0.9) ? host : word(random, 'abc:@[].%', 6);
    return `${scheme}://${named}${random.chance(0.8) ? path() : random.one(['', '?a=b', '?', '#'])}`;
  }
  if (random.chance(0.02)) return word(random, TCHARS + TARGET_MARKS, 6);
  const clean = random.chance(0.7) ? path().replaceAll('#', '') : path();
  return random.chance(0.2)
    ? `${clean}?${word(random, TCHARS + TARGET_MARKS, 8).replaceAll('#', '')}`
    : clean;
}

/** @param risk of a field that says something of the message */
function field(random: Random, risk: number): string {
  const name = random.chance(risk)
    ? random.one(FIELD_NAMES)
    : random.chance(0.5)
      ? `X-${word(random, TCHARS, 6)}`
      : random.one(['Accept', 'Cookie', 'User-Agent', 'Date', 'x-a']);
  const choices = VALUES[name.toLowerCase()];
  const value =
    choices && random.chance(0.95)
      ? random.one(choices)
      : word(random, `${TCHARS}${TCHARS} \t"(),;:/\\\x80\xe4\xff`, 15);
  return `${name}:${random.one([' ', ' ', ' ', '', '\t', '  '])}${value}${random.one(['', '', '', ' ', '\t'])}`;
}

function bodyParts(random: Random): { fields: string[]; parts: string[] } {
  const bytes = () => word(random, 'abc \r\n\0\xff0123', 20);
  switch (random.weighted({ none: 3, length: 3, chunked: 4 })) {
    case 'none':
      return { fields: [], parts: [] };
    case 'length': {
      const body = bytes();
      const off = random.chance(0.05) ? random.below(3) - 1 : 0;
      return { fields: [`Content-Length: ${body.length + off}`], parts: [body] };
    }
    case 'chunked': {
      const parts: string[] = [];
      for (let chunk = random.below(4); chunk > 0; chunk--) {
        const body = bytes();
        if (body === '') continue;
        parts.push(`${size(random, body.length)}${extension(random)}`, '\r\n', body, '\r\n');
      }
      parts.push(`${random.one(['0', '0', '0', '00', '000'])}${extension(random)}`, '\r\n');
      while (random.chance(0.1)) parts.push(field(random, 0.1), '\r\n');
      parts.push('\r\n');
      return { fields: ['Transfer-Encoding: chunked'], parts };
    }
  }
}

function size(random: Random, length: number): string {
  const digits = length.toString(16);
  return random.one([digits, digits, digits.toUpperCase(), `0${digits}`, `000${digits}`]);
}

function extension(random: Random): string {
  if (random.chance(0.8)) return '';
  const value = random.one([
    '',
    `=${word(random, TCHARS, 5)}`,
    `="${word(random, `${TCHARS} ;,\t\\"\x80`, 6)}"`,
    `="${word(random, TCHARS, 5)}"`,
  ]);
  return `;${word(random, TCHARS, 4)}${value}${random.chance(0.2) ? extension(random) : ''}`;
}

/** What errors, attacks and bad programs do to messages. */
function damage(random: Random, parts: string[]): void {
  if (random.chance(0.35)) return;
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(parts.length);
    const part = parts[at]!;
    const inside = random.below(part.length + 1);
    switch (
      random.weighted({
        insert: 5,
        flip: 4,
        drop: 2,
        twice: 2,
        swap: 1,
        cut: 1,
        fold: 1,
        ending: 2,
        lose: 1,
        join: 1,
      })
    ) {
      case 'insert':
        parts[at] = part.slice(0, inside) + random.one(ODD) + part.slice(inside);
        break;
      case 'flip': {
        if (part === '') break;
        const place = random.below(part.length);
        const code = part.charCodeAt(place) ^ (1 << random.below(8));
        parts[at] = part.slice(0, place) + String.fromCharCode(code) + part.slice(place + 1);
        break;
      }
      case 'lose':
        parts[at] = part.slice(0, inside) + part.slice(inside + 1);
        break;
      case 'drop':
        parts.splice(at, 1);
        if (parts.length === 0) parts.push('');
        break;
      case 'twice':
        parts.splice(at, 0, part, ...(random.chance(0.5) ? ['\r\n'] : []));
        break;
      case 'swap': {
        const other = random.below(parts.length);
        parts[at] = parts[other]!;
        parts[other] = part;
        break;
      }
      case 'cut':
        parts.length = at + 1;
        break;
      case 'fold':
        parts[at] = `${part.slice(0, inside)}\r\n${random.one([' ', '\t'])}${part.slice(inside)}`;
        break;
      case 'ending':
        if (part === '\r\n') parts[at] = random.one(['\n', '\r', '\r\r\n', '\n\r', '', ' \r\n', '\r\n\r\n']);
        break;
      case 'join':
        parts.splice(at, 0, ...parts.slice(random.below(parts.length)));
        break;
    }
    if (parts.length > 200) parts.length = 200;
  }
}

function word(random: Random, letters: string, most: number): string {
  let text = '';
  for (let left = random.below(most + 1); left > 0; left--) text += letters[random.below(letters.length)];
  return text;
}

function shuffled<T>(random: Random, items: T[]): T[] {
  for (let at = items.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [items[at], items[other]] = [items[other]!, items[at]!];
  }
  return items;
}

/** Cuts bytes at random places. */
export function randomCuts(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  while (from < bytes.length) {
    const to = Math.min(bytes.length, from + 1 + random.below(random.one([1, 4, 40])));
    pieces.push(bytes.subarray(from, to));
    from = to;
  }
  return pieces;
}
