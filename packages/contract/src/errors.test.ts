import { describe, expect, it } from 'vitest';
import { type ErrorCode, type ErrorKind, errorTable, RunsteadError } from './errors.ts';
import { buildOpenApiDocument } from './openapi.ts';

const all = Object.entries(errorTable) as [ErrorCode, ErrorKind][];

/** Codes about who calls: some clients drop the field and look for the word in the message. */
const IN_THE_MESSAGE: readonly ErrorCode[] = [
  'AccessDenied',
  'InvalidAccessKeyId.NotFound',
  'SignatureDoesNotMatch',
  'Forbidden',
  'NoPermission',
];

describe('the table of errors', () => {
  it.each(all)('has %s under a status that says whose fault it is', (_code, { status, fault }) => {
    if (fault === 'caller') expect([400, 401, 403, 404, 405, 409, 413, 415]).toContain(status);
    if (fault === 'agent') expect([502, 503, 504]).toContain(status);
    if (fault === 'platform') expect([429, 500, 503, 507]).toContain(status);
  });

  it.each(all)(
    'tells to try %s again exactly where time alone may mend it',
    (code, { status, retryable }) => {
      expect(retryable).toBe(status >= 429 || code === 'ERR_RUNTIME_NOT_READY');
    },
  );

  it.each(all)('names %s as codes are named, and says what its message has', (code, { message }) => {
    // Clients of the cloud raise another class, which they do not catch, for codes that begin with Throttling.
    expect(code).not.toMatch(/^Throttling/);
    if (!IN_THE_MESSAGE.includes(code)) expect(code).toMatch(/^ERR_[A-Z]+(_[A-Z]+)*$/);
    expect(message).not.toBe('');
  });

  it("has the contract's codes under the contract's statuses", () => {
    expect(errorTable.ERR_BAD_REQUEST.status).toBe(400);
    expect(errorTable.ERR_VALIDATION_FAILED.status).toBe(400);
    expect(errorTable.ERR_INTERNAL_SERVER_ERROR.status).toBe(500);
  });

  it('promises the words that clients look for', () => {
    expect(errorTable.ERR_NOT_FOUND.message).toContain('does not exist');
    expect(errorTable.ERR_ALREADY_EXISTS.message).toContain('already exists');
    expect(errorTable.ERR_RUNTIME_NOT_READY.message).toContain('runtime must be in READY status');
    for (const code of IN_THE_MESSAGE) expect(errorTable[code].message.startsWith(`${code}: `)).toBe(true);
  });

  it('is documented whole', () => {
    const { components } = buildOpenApiDocument() as {
      components: { schemas: { Error: { properties: { code: { enum: string[] } } } } };
    };
    expect(components.schemas.Error.properties.code.enum).toEqual(all.map(([code]) => code));
  });
});

describe('RunsteadError', () => {
  it('takes its status from the table', () => {
    for (const [code, { status }] of all) expect(new RunsteadError(code, 'x').status).toBe(status);
  });

  it('keeps cause and time to wait, and has neither by itself', () => {
    const cause = new Error('inner');
    const error = new RunsteadError('ERR_UNAVAILABLE', 'busy', { cause, retryAfterSeconds: 3 });
    expect(error).toMatchObject({ name: 'RunsteadError', message: 'busy', cause, retryAfterSeconds: 3 });
    const plain = new RunsteadError('ERR_UNAVAILABLE', 'busy');
    expect('cause' in plain).toBe(false);
    expect(plain.retryAfterSeconds).toBeUndefined();
    expect(plain).toBeInstanceOf(Error);
  });
});
