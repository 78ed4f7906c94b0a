import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkHealth } from '../../src/drivers/process/readiness.ts';
import { containerRuntime, openTestApi, runtimeAt, type TestApi } from './harness.ts';

/** S11: `httpGetUrl` is a path on the agent. Whatever else it may look like, it is refused or asked of the agent. */

/** Somebody who must not be asked; PORT in the values below is his. */
let foreignPort: number;
let foreignConnections = 0;

/** Plays the agent and keeps what it was asked, byte for byte. */
let agentPort: number;
const asked: string[] = [];

const servers: Server[] = [];
async function listen(onConnection: Parameters<typeof createServer>[1], host: string): Promise<number> {
  const server = createServer(onConnection).listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

let api: TestApi;
let id: string;
beforeAll(async () => {
  api = await openTestApi();
  ({ id } = await runtimeAt(api, 'READY'));
  foreignPort = await listen(
    (socket) => {
      foreignConnections++;
      socket.on('error', () => {}).resume();
    },
    process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1',
  );
  agentPort = await listen((socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.endsWith('\r\n\r\n')) return;
      asked.push(text);
      socket.end('HTTP/1.1 204 No Content\r\n\r\n');
    });
  }, '127.0.0.1');
});
afterAll(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  await api.close();
});
afterEach(() => expect(foreignConnections).toBe(0));

const FOREIGN = '127.0.0.2:PORT';
const long = (length: number) => `/${'x'.repeat(length - 1)}`;

const REFUSED: [what: string, value: unknown][] = [
  ['nothing', ''],
  ['a path without "/"', 'ready'],
  ['a relative path', './ready'],
  ['a path to above', '../ready'],
  ['a query alone', '?x=1'],
  ['a fragment alone', '#ready'],
  ['an http URL', `http://${FOREIGN}/ready`],
  ['an https URL', `https://${FOREIGN}/ready`],
  ['a URL in capitals', `HTTP://${FOREIGN}/ready`],
  ['a URL of the metadata service', 'http://169.254.169.254/latest/meta-data/'],
  ['a URL of the agent itself', 'http://127.0.0.1:9000/ready'],
  ['a file URL', 'file:///etc/passwd'],
  ['an ftp URL', `ftp://${FOREIGN}/`],
  ['a gopher URL', `gopher://${FOREIGN}/_x`],
  ['a data URL', 'data:text/plain,ok'],
  ['a javascript URL', 'javascript:alert(1)'],
  ['a unix socket', 'unix:/run/docker.sock:/version'],
  ['a URL without a scheme', `//${FOREIGN}/ready`],
  ['three slashes', `///${FOREIGN}/ready`],
  ['backslashes', `\\\\${FOREIGN}\\ready`],
  ['a slash and a backslash', `/\\${FOREIGN}/ready`],
  ['a backslash later on', '/a\\b'],
  ['user and password', `user:password@${FOREIGN}/ready`],
  ['an "@" and a host', `@${FOREIGN}/ready`],
  ['a colon and a port', ':PORT/ready'],
  ['a host and a port', `${FOREIGN}/ready`],
  ['a space before', ' /ready'],
  ['a space within', '/ready now'],
  ['a space after', '/ready '],
  ['a second request line', '/ready HTTP/1.1\r\nHost: evil.test'],
  ['CR and LF', '/ready\r\nX-Injected: 1'],
  ['LF', '/ready\nX-Injected: 1'],
  ['LF at the end', '/ready\n'],
  ['CR at the end', '/ready\r'],
  ['a tab', '/ready\tnow'],
  ['NUL', '/ready\0'],
  ['DEL', '/ready\x7f'],
  ['a letter outside of ASCII', '/bereit-für-alles'],
  ['a character whose low byte is LF', '/ready\u010aX-Injected: 1'],
  ['a full-width slash', '\uff0fready'],
  ['a right-to-left mark', '/\u202eydaer'],
  ['half a surrogate', '/\ud800'],
  ['a fragment', '/ready#now'],
  ['a lone percent sign', '/100%'],
  ['a percent sign before no digits', '/%zz'],
  ['half an encoding', '/ready%0'],
  ['quotes', '/"ready"'],
  ['angle brackets', '/<ready>'],
  ['braces', '/{ready}'],
  ['a value that is too long', long(1025)],
  ['a number', 7],
  ['a list', ['/ready']],
  ['an object', { path: '/ready' }],
];

const ASKED: [what: string, value: string][] = [
  ['the root', '/'],
  ['a path', '/ready'],
  ['a query', '/healthz?x=1'],
  ['several parameters', '/healthz?x=1&y=2&check[]=db'],
  ['an empty query', '/ready?'],
  ['a question mark in the query', '/ready?a=b?c'],
  ['a slash at the end', '/ready/'],
  ['slashes later on', '/a//b'],
  ['"." and ".."', '/a/../b/./c'],
  ['".." from the root', '/../../etc/passwd'],
  ['an encoded "/"', '/%2f%2f127.0.0.2:PORT%2fready'],
  ['an encoded ".."', '/%2e%2e/%2E%2E/ready'],
  ['encoded CR and LF', '/ready%0d%0aX-Injected:%201'],
  ['an encoded NUL', '/ready%00'],
  ['an encoded space', '/ready%20now'],
  ['a URL behind a slash', `/http://${FOREIGN}/ready`],
  ['a URL in the query', `/ready?to=http://${FOREIGN}/`],
  ['an "@" and a host behind a slash', `/@${FOREIGN}/ready`],
  ['user, password and host behind a slash', `/user:password@${FOREIGN}/`],
  ['a colon and a port behind a slash', '/:PORT/ready'],
  ['a dot and slashes', `/.//${FOREIGN}/ready`],
  ['a semicolon', '/ready;v=1'],
  ['all that needs no encoding', "/-._~!$&'()*+,;=:@"],
  ['the longest', long(1024)],
];

const filled = <T>(value: T): T =>
  (typeof value === 'string' ? value.replaceAll('PORT', String(foreignPort)) : value) as T;

/** By create, and by update. */
async function answersTo(value: unknown) {
  const fields = { healthCheckConfiguration: { httpGetUrl: value } };
  return [
    await api.call('CreateAgentRuntime', { body: containerRuntime(fields) }),
    await api.call('UpdateAgentRuntime', { id, body: fields }),
  ];
}

describe('httpGetUrl', () => {
  it.each(REFUSED)('with %s is refused', async (_what, value) => {
    for (const answer of await answersTo(filled(value))) {
      expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
      expect(answer.message).toMatch(/^healthCheckConfiguration\.httpGetUrl must /);
    }
  });

  it.each(ASKED)('with %s is asked of the agent, byte for byte', async (_what, value) => {
    const path = filled(value);
    for (const answer of await answersTo(path)) {
      expect(answer).toMatchObject({
        status: 200,
        data: { healthCheckConfiguration: { httpGetUrl: path } },
      });
    }
    expect(await checkHealth(['127.0.0.1'], agentPort, { httpGetUrl: path })).toMatchObject({
      ok: true,
      detail: 'HTTP 204',
    });
    expect(asked.splice(0)).toEqual([
      `GET ${path} HTTP/1.1\r\nHost: localhost:${agentPort}\r\nUser-Agent: runstead-health\r\n` +
        'Accept: */*\r\nConnection: close\r\n\r\n',
    ]);
  });

  it('was tried with enough values', () => {
    expect(REFUSED.length + ASKED.length).toBeGreaterThanOrEqual(40);
    expect(new Set([...REFUSED, ...ASKED].map(([, value]) => JSON.stringify(value))).size).toBe(
      REFUSED.length + ASKED.length,
    );
  });
});
