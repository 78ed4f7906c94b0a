import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumOrSay } from './harness/chromium.ts';
import { deploy, fixture, type Runtime } from './harness/deploy.ts';
import { type Server, startServer } from './harness/server.ts';

/** S13: pages of agents are not the platform's. */

const CHROMIUM = chromiumOrSay('pages of agents in a browser');
const AGENT_HOST = 'agents.localhost';

interface Attempts {
  origin: string;
  read: string;
  write: string;
  blindWrite: string;
  own: string;
  cookies: string;
  storage: string;
  worker: string;
  frame: string;
}

describe.skipIf(CHROMIUM === undefined)('a page of an agent in a browser', () => {
  let server: Server;
  let runtime: Runtime;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    server = await startServer({ args: ['--agent-hosts', AGENT_HOST] });
    runtime = await deploy(server.client(), {
      folder: fixture('serves-a-page'),
      command: ['node', 'agent.mjs'],
    });
    browser = await chromium.launch({ executablePath: CHROMIUM!, args: ['--no-sandbox'] });
    context = await browser.newContext({
      httpCredentials: { username: 'anybody', password: server.apiKey, origin: server.url },
    });
    // From here on the browser has what opens the API, and sends it along by itself.
    const docs = await context.newPage();
    expect((await docs.goto(`${server.url}/docs`))?.status()).toBe(200);
    await docs.close();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
  });

  async function tried(url: string): Promise<Attempts> {
    const page = await context.newPage();
    await page.goto(url);
    const text = await page.locator('#done').innerText();
    await page.close();
    return JSON.parse(text) as Attempts;
  }

  const pageUrl = () => `${server.invocationUrl(runtime.agentRuntimeName)}/page`;
  async function expectNothingPlanted() {
    const answer = await fetch(`${server.url}/2025-09-10/workspaces`, {
      headers: { authorization: `Bearer ${server.apiKey}` },
    });
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toContain('planted-by-a-page');
  }

  test('under the server’s own host can do nothing with it', async () => {
    const done = await tried(pageUrl());
    expect(done).toMatchObject({
      origin: 'null',
      read: 'failed: TypeError',
      write: 'failed: TypeError',
      own: 'failed: TypeError',
      cookies: 'failed: SecurityError',
      storage: 'failed: SecurityError',
      worker: expect.stringMatching(/^failed: /),
      frame: expect.stringMatching(/^failed: /),
    });
    await expectNothingPlanted();
  });

  test('under a host for agents alone works as pages do, and reaches the rest as little', async () => {
    const url = new URL(pageUrl());
    url.hostname = AGENT_HOST;
    url.searchParams.set('server', server.url);
    const done = await tried(url.href);
    expect(done).toMatchObject({
      origin: url.origin,
      own: 'answered 200',
      cookies: 'has 0',
      storage: 'has 0',
      worker: expect.stringMatching(/^registered http:\/\/agents\.localhost:\d+\/agent-runtimes\//),
      // Of the API, which is elsewhere, it gets as little.
      read: 'failed: TypeError',
      write: 'failed: TypeError',
      frame: expect.stringMatching(/^failed: /),
    });
    url.searchParams.delete('server');
    expect(await tried(url.href)).toMatchObject({ read: 'answered 404', write: 'answered 404' });
    await expectNothingPlanted();
  });
});
