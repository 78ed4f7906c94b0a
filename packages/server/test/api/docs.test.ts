import { buildOpenApiDocument } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { docsPaths } from '../../src/api/docs.ts';
import { API_KEY, openTestApi, type TestApi } from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const get = (url: string, authorization?: string, method: 'GET' | 'HEAD' | 'POST' = 'GET') =>
  api.app.inject({ method, url, headers: authorization === undefined ? {} : { authorization } });

describe('the API page', () => {
  it.each(docsPaths)(
    '%s is given for a key, sent as a bearer or as the password of anybody',
    async (path) => {
      for (const authorization of [`Bearer ${API_KEY}`, basic('', API_KEY), basic('some body', API_KEY)]) {
        const { statusCode, headers } = await get(path, authorization);
        expect(statusCode).toBe(path === '/docs/' ? 308 : 200);
        expect(headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
        expect(headers['content-security-policy']).not.toContain('unsafe');
        expect(headers['x-content-type-options']).toBe('nosniff');
        expect((await get(path, authorization, 'HEAD')).statusCode).toBe(statusCode);
      }
    },
  );

  it.each(docsPaths)('%s asks a browser for a key, and takes no wrong one', async (path) => {
    const wrong = [
      undefined,
      basic('rsk_of-the-tests', ''),
      basic('', 'rsk_wrong'),
      basic('', ''),
      'Basic ???',
      'Bearer rsk_wrong',
    ];
    for (const authorization of wrong) {
      const { statusCode, headers, body } = await get(path, authorization);
      expect(statusCode, authorization).toBe(401);
      expect(headers['www-authenticate']).toBe('Basic realm="runstead", charset="UTF-8"');
      expect(JSON.parse(body).code).toMatch(/^(AccessDenied|InvalidAccessKeyId\.NotFound)$/);
    }
  });

  it('is the only place where a password counts', async () => {
    const elsewhere = [
      '/2025-09-10/agents/runtimes',
      '/runstead/v1/instances',
      '/nowhere',
      '/docs/nowhere',
      '/docs/..%2f2025-09-10/agents/runtimes',
      '/docs/../2025-09-10/agents/runtimes',
      '//docs',
    ];
    for (const path of elsewhere) {
      const { statusCode, headers } = await get(path, basic('', API_KEY));
      expect(statusCode, path).toBe(401);
      expect(headers).not.toHaveProperty('www-authenticate');
    }
  });

  it('shows the document of this release, and sends calls to where it came from', async () => {
    const { headers, body } = await get('/docs/openapi.json', `Bearer ${API_KEY}`);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    const { servers, ...shown } = JSON.parse(body);
    const { servers: _servers, ...built } = buildOpenApiDocument();
    expect(shown).toEqual(JSON.parse(JSON.stringify(built)));
    expect(new URL(servers[0].url, 'http://any.test/behind/docs/openapi.json').href).toBe(
      'http://any.test/behind/',
    );
  });

  it('refers to nothing but parts of itself', async () => {
    const { body } = await get('/docs', `Bearer ${API_KEY}`);
    const links = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link!);
    expect(links.length).toBeGreaterThan(3);
    for (const link of links.filter((it) => it !== 'data:,')) expect(docsPaths).toContain(`/${link}`);
    expect(body).not.toMatch(/<script>|<style|style=|\son\w+=/);
  });

  it('is only read', async () => {
    const { statusCode, headers } = await get('/docs', `Bearer ${API_KEY}`, 'POST');
    expect([statusCode, headers.allow]).toEqual([405, 'GET, HEAD']);
  });
});
