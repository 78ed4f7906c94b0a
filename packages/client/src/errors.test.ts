import { describe, expect, it } from 'vitest';
import * as errors from './errors.ts';
import { httpErrorFrom } from './errors.ts';

const runtime = { type: 'AgentRuntime', id: 'r1' } as const;

describe('httpErrorFrom', () => {
  it.each([
    [404, 'whatever', 'ResourceNotExistError', "AgentRuntime 'r1' does not exist"],
    [409, 'x already exists', 'ResourceAlreadyExistError', "AgentRuntime 'r1' already exists"],
    [409, 'Idempotency-Key was used', 'ResourceAlreadyExistError', 'Idempotency-Key was used'],
    [400, 'x already exists', 'ResourceAlreadyExistError', "AgentRuntime 'r1' already exists"],
    [500, 'x already exists', 'ResourceAlreadyExistError', "AgentRuntime 'r1' already exists"],
    [502, 'x already exists', 'ServerError', 'x already exists'],
    [400, 'CPU is required', 'ClientError', 'CPU is required'],
    [401, 'no', 'ClientError', 'no'],
    [429, 'no', 'ClientError', 'no'],
    [499, 'no', 'ClientError', 'no'],
    [500, 'no', 'ServerError', 'no'],
    [503, 'no', 'ServerError', 'no'],
    [599, 'no', 'ServerError', 'no'],
  ])('%d "%s" → %s', (statusCode, message, name, text) => {
    const error = httpErrorFrom({ statusCode, message, fromApi: true, resource: runtime, requestId: 'q' });
    expect(error).toMatchObject({ name, message: text, statusCode, requestId: 'q' });
  });

  it('does not take a page of a proxy for an answer about a resource', () => {
    for (const statusCode of [404, 409]) {
      const error = httpErrorFrom({ statusCode, message: 'nginx', fromApi: false, resource: runtime });
      expect(error).toMatchObject({ name: 'ClientError', message: 'nginx' });
    }
  });

  it('keeps the message of a 404 that is about no particular resource', () => {
    expect(
      httpErrorFrom({ statusCode: 404, message: 'workspace w does not exist', fromApi: true }),
    ).toMatchObject({
      name: 'ResourceNotExistError',
      message: 'workspace w does not exist',
    });
  });
});

describe('classes', () => {
  const parents: Record<string, string> = {
    ValueError: 'AgentRunError',
    HTTPError: 'AgentRunError',
    ClientError: 'HTTPError',
    ServerError: 'HTTPError',
    InvalidResponseError: 'HTTPError',
    ResourceNotExistError: 'ClientError',
    ResourceAlreadyExistError: 'ClientError',
    DeleteResourceError: 'ClientError',
    ResourceFailedError: 'AgentRunError',
    ConnectionError: 'AgentRunError',
    TimeoutError: 'ConnectionError',
    AbortError: 'AgentRunError',
    StreamError: 'AgentRunError',
    IncompleteStreamError: 'StreamError',
  };
  const classes = errors as unknown as Record<string, new (...args: unknown[]) => Error>;

  it.each(Object.entries(parents))('%s ← %s', (name, parent) => {
    const instance = new classes[name]!(404, 'm');
    expect(instance.name).toBe(name);
    let ancestor: string | undefined = parent;
    while (ancestor !== undefined) {
      expect(instance instanceof classes[ancestor]!).toBe(true);
      ancestor = parents[ancestor];
    }
    expect(instance instanceof Error).toBe(true);
    expect(new classes[parent]!(404, 'm') instanceof classes[name]!).toBe(false);
  });

  it('are known across copies of the package', async () => {
    // A query makes another module instance of the same file.
    const copy = (await import(/* @vite-ignore */ `${'./errors.ts'}?copy`)) as typeof errors;
    expect(copy.ServerError).not.toBe(errors.ServerError);
    const error = new copy.ResourceNotExistError('m');
    expect(error instanceof errors.ResourceNotExistError).toBe(true);
    expect(error instanceof errors.AgentRunError).toBe(true);
    expect(error instanceof errors.ServerError).toBe(false);
  });

  it("leave a caller's own subclasses to their prototype", () => {
    class Own extends errors.ClientError {}
    expect(new Own(400, 'm') instanceof Own).toBe(true);
    expect(new Own(400, 'm') instanceof errors.ClientError).toBe(true);
    expect(new errors.ClientError(400, 'm') instanceof Own).toBe(false);
    for (const value of [undefined, null, 'x', {}, new Error('x')]) {
      expect((value as unknown) instanceof errors.AgentRunError).toBe(false);
    }
  });
});
