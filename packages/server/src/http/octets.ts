/** Bytes that messages are made of, and which of them may stand where. */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** Indexed by byte; 1: it belongs. */
export type ByteClass = Readonly<Uint8Array>;

/** `tchar`, of which tokens are made (RFC 9110 section 5.6.2). */
export const TOKEN_BYTE = classOf(
  (code) =>
    /[0-9A-Za-z]/.test(String.fromCharCode(code)) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(code)),
);

/** What a field's value and a reason phrase are made of: HTAB, SP, visible ASCII and the bytes from 0x80 on. */
export const TEXT_BYTE = classOf((code) => code === HTAB || (code >= SP && code !== 0x7f));

/** What a request target may hold: visible ASCII without `#`, which begins what is never sent. */
export const TARGET_BYTE = classOf((code) => code > SP && code < 0x7f && code !== 0x23);

export function isDigit(code: number | undefined): boolean {
  return code !== undefined && code >= 0x30 && code <= 0x39;
}

export function isSpace(code: number | undefined): boolean {
  return code === SP || code === HTAB;
}

/** How a byte is told of in a message: never as itself when it could not be seen. */
export function nameOf(code: number): string {
  if (code === CR) return 'a CR alone';
  if (code === LF) return 'an LF alone';
  if (code === SP) return 'a space';
  if (code === HTAB) return 'a tab';
  if (code > SP && code < 0x7f) return JSON.stringify(String.fromCharCode(code));
  return `the byte 0x${code.toString(16).padStart(2, '0')}`;
}

function classOf(belongs: (code: number) => boolean): ByteClass {
  return Uint8Array.from({ length: 256 }, (_, code) => (belongs(code) ? 1 : 0));
}
