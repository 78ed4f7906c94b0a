import { describe, expect, test } from 'vitest';
import { checkHost, hostPolicy, isLoopback, isPreflight, preflightFields } from './host-check.ts';
import type { RequestHead } from './request-head.ts';

const settings = {
  publicUrl: 'https://agents.example.com/base',
  allowHosts: ['box.local', '::2'],
  allowOrigins: ['http://localhost:5173', 'https://front.example.com:443'],
};
const loopback = hostPolicy(settings, '127.0.0.1');
const beyond = hostPolicy(settings, '0.0.0.0');

function head(fields: string[], method = 'GET'): RequestHead {
  return { method, target: '/', fields, peer: '10.0.0.8', local: '10.0.0.7', secure: false };
}

describe('on loopback', () => {
  test.each([
    'localhost',
    'LocalHost:7700',
    '127.0.0.1',
    '127.0.0.1:1',
    '[::1]',
    '[::1]:7700',
    'agents.example.com',
    'agents.example.com:8443',
    'box.local',
    '[::2]',
  ])('Host %s is answered', (host) => {
    expect(checkHost(loopback, head(['Host', host]))).toMatchObject({
      host,
      crossOrigin: undefined,
      agentsOnly: false,
    });
  });

  test.each(['evil.test:7700', 'localhost.evil.test', '127.0.0.2', '0.0.0.0:7700', '[::3]', 'localhost.'])(
    'Host %s is forbidden',
    (host) => {
      expect(() => checkHost(loopback, head(['Host', host]))).toThrow(
        expect.objectContaining({ code: 'Forbidden' }),
      );
    },
  );
});

test('beyond loopback any one Host is answered', () => {
  expect(checkHost(beyond, head(['host', 'whatever.test:80'])).host).toBe('whatever.test:80');
});

test.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
  'a listener on every address answers who came by %s to known names only',
  (local) => {
    const came = (host: string) => ({ ...head(['host', host]), local });
    expect(() => checkHost(beyond, came('evil.test'))).toThrow(
      expect.objectContaining({ code: 'Forbidden' }),
    );
    expect(checkHost(beyond, came('box.local')).host).toBe('box.local');
  },
);

test('names of the certificate, private hosts and custom domains are names of the server', () => {
  const policy = hostPolicy(
    {
      ...settings,
      tlsNames: ['tls.example'],
      privateHosts: ['agents.internal', 'fd00::7'],
      domains: [{ host: 'chat.example.com', runtimeName: 'hello', endpointName: 'Default' }],
    },
    '127.0.0.1',
  );
  for (const host of ['tls.example', 'agents.internal:7700', '[fd00::7]', 'chat.example.com']) {
    expect(checkHost(policy, head(['host', host])).host).toBe(host);
  }
});

describe('a page of the same host', () => {
  const domains = [{ host: 'chat.example.com', runtimeName: 'hello', endpointName: 'Default' }];
  const policy = hostPolicy({ ...settings, domains }, '127.0.0.1');
  const from = (host: string, origin: string, secure: boolean) => () =>
    checkHost(policy, { ...head(['host', host, 'origin', origin]), secure });

  test('is our own if it came over what the call came over', () => {
    expect(from('localhost:7443', 'https://localhost:7443', true)()).toMatchObject({
      crossOrigin: undefined,
    });
    expect(from('localhost:7443', 'http://localhost:7443', true)).toThrow(/may not call/);
    expect(from('localhost:7700', 'https://localhost:7700', false)).toThrow(/may not call/);
  });

  test('of a custom domain is our own over TLS also where a proxy ends that', () => {
    expect(from('chat.example.com', 'https://chat.example.com', false)()).toMatchObject({
      crossOrigin: undefined,
    });
    expect(from('chat.example.com', 'http://chat.example.com', true)).toThrow(/may not call/);
    expect(from('chat.example.com', 'https://other.example.com', false)).toThrow(/may not call/);
  });
});

test('a host for agents alone is a name of the server, and known as such', () => {
  const domains = [{ host: 'chat.example.com', runtimeName: 'hello', endpointName: 'Default' }];
  const policy = hostPolicy(
    { ...settings, domains, agentHosts: ['agents.localhost', 'fd00::9'] },
    '127.0.0.1',
  );
  for (const host of ['agents.localhost', 'Agents.LocalHost:7700', '[fd00::9]:1', 'chat.example.com']) {
    expect(checkHost(policy, head(['host', host])).agentsOnly, host).toBe(true);
  }
  for (const host of ['localhost', 'box.local', 'agents.example.com']) {
    expect(checkHost(policy, head(['host', host])).agentsOnly, host).toBe(false);
  }
  const page = (host: string, origin: string) => () =>
    checkHost(policy, head(['host', host, 'origin', origin]));
  expect(page('agents.localhost:7700', 'http://agents.localhost:7700')()).toMatchObject({
    crossOrigin: undefined,
  });
  // What one of its pages may not: call the rest of the server.
  expect(page('localhost:7700', 'http://agents.localhost:7700')).toThrow(/may not call/);
});

test.each([
  ['missing', []],
  ['empty', ['host', '']],
  ['repeated', ['host', 'localhost', 'Host', 'localhost']],
  ['two in one', ['host', 'localhost, evil.test']],
  ['with a path', ['host', 'localhost/x']],
  ['with a user', ['host', 'me@localhost']],
])('a Host that is %s is a bad request', (_, fields) => {
  for (const policy of [loopback, beyond]) {
    expect(() => checkHost(policy, head(fields))).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
    );
  }
});

test.each([
  ['localhost:7700', 'http://localhost:7700'],
  ['localhost', 'http://localhost'],
  ['localhost:80', 'http://localhost'],
  ['[::1]:7700', 'http://[::1]:7700'],
  ['agents.example.com', 'https://agents.example.com'],
])('a page of Host %s with Origin %s is our own', (host, origin) => {
  expect(checkHost(loopback, head(['host', host, 'Origin', origin]))).toMatchObject({
    host,
    crossOrigin: undefined,
    agentsOnly: false,
  });
});

test.each(['http://localhost:5173', 'https://front.example.com'])('a page of %s may call', (origin) => {
  expect(checkHost(loopback, head(['host', 'localhost:7700', 'origin', origin])).crossOrigin).toBe(origin);
});

test.each([
  'null',
  'http://evil.test',
  'http://localhost:7701',
  'https://localhost:7700',
  'http://localhost:51730',
  'http://localhost:5173.evil.test',
  'http://evil@localhost:7700',
  'file://',
  '',
])('a page of "%s" may not call', (origin) => {
  for (const policy of [loopback, beyond]) {
    expect(() => checkHost(policy, head(['host', 'localhost:7700', 'origin', origin]))).toThrow(
      expect.objectContaining({ code: 'Forbidden' }),
    );
  }
});

test('two Origin fields are forbidden even if both are allowed', () => {
  const fields = ['host', 'localhost', 'origin', 'http://localhost', 'origin', 'http://localhost'];
  expect(() => checkHost(loopback, head(fields))).toThrow(expect.objectContaining({ code: 'Forbidden' }));
});

test('only what an allowed foreign page asks beforehand is a preflight', () => {
  const asking = head(['access-control-request-method', 'POST'], 'OPTIONS');
  expect(isPreflight(asking, { host: 'localhost', crossOrigin: 'http://localhost:5173' })).toBe(true);
  expect(isPreflight(asking, { host: 'localhost', crossOrigin: undefined })).toBe(false);
  expect(isPreflight(head([], 'OPTIONS'), { host: 'localhost', crossOrigin: 'http://x.test' })).toBe(false);
});

test('a preflight is granted the fields it asks for', () => {
  const fields = preflightFields(
    head(['Access-Control-Request-Headers', 'authorization,x-agentrun-session-id']),
    'http://localhost:5173',
  );
  expect(fields).toContain('http://localhost:5173');
  expect(fields).toContain('authorization,x-agentrun-session-id');
});

test.each([
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['192.168.1.5', false],
])('%s is loopback: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});
