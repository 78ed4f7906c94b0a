import { describe, expect, test } from 'vitest';
import { isDataPlane, resolve } from './resolve.ts';

const long = 'a'.repeat(128);

test.each([
  ['/agent-runtimes/echo/endpoints/Default/invocations', 'echo', 'Default', '/'],
  ['/agent-runtimes/echo/endpoints/Default/invocations/', 'echo', 'Default', '/'],
  ['/agent-runtimes/echo/endpoints/Default/invocations?a=1', 'echo', 'Default', '/?a=1'],
  ['/agent-runtimes/echo/endpoints/Default/invocations/?', 'echo', 'Default', '/?'],
  ['/agent-runtimes/e-c_h0/endpoints/d/invocations/openai/v1/models', 'e-c_h0', 'd', '/openai/v1/models'],
  [
    '/agent-runtimes/echo/endpoints/d/invocations/a%2Fb//c/../%00;x?q=/../%2e',
    'echo',
    'd',
    '/a%2Fb//c/../%00;x?q=/../%2e',
  ],
  [
    '/agent-runtimes/echo/endpoints/d/invocations/invocations/invocations',
    'echo',
    'd',
    '/invocations/invocations',
  ],
  [`/agent-runtimes/${long}/endpoints/${long}/invocations/x`, long, long, '/x'],
])('%s is a call', (target, runtimeName, endpointName, rest) => {
  expect(resolve(target)).toEqual({ kind: 'invocation', runtimeName, endpointName, rest });
  expect(isDataPlane(target)).toBe(true);
});

test.each([
  // Percent-encoding anywhere in the prefix, once and twice.
  '/agent-runtimes/ec%68o/endpoints/Default/invocations/x',
  '/agent-runtimes/echo%2Fendpoints/Default/invocations/x',
  '/agent%2Druntimes/echo/endpoints/Default/invocations/x',
  '/%61gent-runtimes/echo/endpoints/Default/invocations/x',
  '/%2561gent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/%65ndpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints/Default%00/invocations/x',
  '/agent-runtimes/echo/endpoints/Default/invocation%73/x',
  '/agent-runtimes%2Fecho/endpoints/Default/invocations/x',
  // Doubled slashes and backslashes.
  '//agent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes//echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo//endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints//Default/invocations/x',
  '/agent-runtimes/echo/endpoints/Default//invocations/x',
  '/agent-runtimes\\echo/endpoints/Default/invocations/x',
  '\\agent-runtimes/echo/endpoints/Default/invocations/x',
  // Dot segments.
  '/./agent-runtimes/echo/endpoints/Default/invocations/x',
  '/x/../agent-runtimes/echo/endpoints/Default/invocations/x',
  '/x/%2e%2e/agent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes/../2025-09-10/agents/runtimes',
  '/agent-runtimes/./echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints/other/../Default/invocations/x',
  '/agent-runtimes/../agent-runtimes/echo/endpoints/Default/invocations',
  // Parameters.
  '/agent-runtimes;v=1/echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo;v=1/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints/Default;v=1/invocations/x',
  '/agent-runtimes/echo/endpoints/Default/invocations;v=1/x',
  // Names that are not names.
  '/agent-runtimes/1echo/endpoints/Default/invocations/x',
  '/agent-runtimes/éç/endpoints/Default/invocations/x',
  '/agent-runtimes/a b/endpoints/Default/invocations/x',
  '/agent-runtimes/a.b/endpoints/Default/invocations/x',
  '/agent-runtimes//endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints//invocations/x',
  `/agent-runtimes/${long}a/endpoints/Default/invocations/x`,
  '/agent-runtimes/echo/endpoints/De#ault/invocations/x',
  // Not in origin form.
  'http://localhost/agent-runtimes/echo/endpoints/Default/invocations/x',
  '*',
  '',
])('%s is refused', (target) => {
  expect(resolve(target).kind).toBe('bad-path');
});

test.each([
  '/',
  '/2025-09-10/agents/runtimes',
  '/2025-09-10/agents/runtimes/a%2Fb?x=%2e',
  '/2025-09-10//agents',
  '/openai/v1/models',
  '/docs',
  '/healthy',
  '/health/',
  '/agent-runtimes',
  '/agent-runtimes/echo',
  '/agent-runtimes/echo/endpoints/Default/invocationsx',
  '/agent-runtimes/echo/endpoints/Default',
  '/x?next=/agent-runtimes/%2e',
  '/x/agent-runtimes%2F',
])('%s is for the control process', (target) => {
  expect(resolve(target)).toEqual({ kind: 'control' });
});

describe('under a custom domain', () => {
  const domain = { host: 'chat.example.com', runtimeName: 'hello', endpointName: 'blue' };

  test.each([
    '/',
    '/health',
    '/2025-09-10/agents/runtimes',
    '/runstead/v1/keys',
    '/openai/v1/models?x=1',
    '/agent-runtimes/other/endpoints/Default/invocations/x',
    '/a%2Fb//c/../%00;x?q=/../%2e',
  ])('%s is a call to its endpoint, as it is written', (target) => {
    expect(resolve(target, domain)).toEqual({
      kind: 'invocation',
      runtimeName: 'hello',
      endpointName: 'blue',
      rest: target,
    });
    expect(isDataPlane(target, domain)).toBe(true);
  });

  test.each(['*', '', 'http://chat.example.com/', 'x'])(
    '"%s" is refused in the form of the data plane',
    (target) => {
      expect(resolve(target, domain).kind).toBe('bad-path');
      expect(isDataPlane(target, domain)).toBe(true);
    },
  );
});

test('/health is answered by the gateway', () => {
  expect(resolve('/health')).toEqual({ kind: 'health' });
  expect(resolve('/health?full')).toEqual({ kind: 'health' });
});

test('no encoding of a prefix is read as a call that differs from the literal one', () => {
  const literal = '/agent-runtimes/echo/endpoints/Default/invocations/x';
  const encode = (char: string) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  const prefixLength = literal.length - '/x'.length;
  for (let at = 1; at < prefixLength; at++) {
    const encoded = literal.slice(0, at) + encode(literal[at]!) + literal.slice(at + 1);
    expect(resolve(encoded).kind, encoded).toBe('bad-path');
    const doubled = `${literal.slice(0, at)}%25${encode(literal[at]!).slice(1)}${literal.slice(at + 1)}`;
    expect(resolve(doubled).kind, doubled).toBe('bad-path');
  }
});
