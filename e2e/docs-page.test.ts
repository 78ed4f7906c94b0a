import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumOrSay } from './harness/chromium.ts';
import { type Server, startServer } from './harness/server.ts';

const CHROMIUM = chromiumOrSay('the API page in a browser');

interface Document {
  paths: Record<string, Record<string, { operationId: string }>>;
}

describe.skipIf(CHROMIUM === undefined)('the API page in a browser', () => {
  let server: Server;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer();
    browser = await chromium.launch({ executablePath: CHROMIUM!, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
  });

  /** A page that is asked for user and password as a person would be, and all that it says and asks for. */
  async function open(path: string) {
    const context = await browser.newContext({
      httpCredentials: { username: 'anybody', password: server.apiKey, origin: server.url },
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    const foreign: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== server.url && url.protocol !== 'data:') foreign.push(request.url());
    });
    await page.goto(`${server.url}${path}`);
    await page.waitForSelector('.opblock');
    return { page, complaints, foreign };
  }

  /** Opens an operation and sends it as it stands. @returns the status shown */
  async function execute(page: Page, operationId: string): Promise<string> {
    const block = page.locator(`.opblock[id$="-${operationId}"]`);
    await block.locator('.opblock-summary-control').click();
    await block.locator('button.execute').click();
    const status = block.locator('.live-responses-table .response-col_status').last();
    return (await status.innerText()).split('\n')[0]!;
  }

  test('shows every operation, asks nobody else for anything, and has nothing to complain of', async () => {
    const { page, complaints, foreign } = await open('/docs');
    const response = await fetch(`${server.url}/docs/openapi.json`, {
      headers: { authorization: `Bearer ${server.apiKey}` },
    });
    const { paths } = (await response.json()) as Document;
    const expected = Object.values(paths)
      .flatMap((methods) => Object.values(methods))
      .map(({ operationId }) => operationId);
    expect(expected.length).toBeGreaterThan(10);
    const blocks = page.locator('.opblock');
    const shown = await blocks.evaluateAll((all) => all.map(({ id }) => id.split('-').at(-1)));
    expect(shown.sort()).toEqual(expected.sort());
    // Opened, each shows what it takes and answers.
    for (const control of await page.locator('.opblock-summary-control').all()) await control.click();
    await page
      .locator('.opblock.is-open .responses-table')
      .nth(expected.length - 1)
      .waitFor();
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
    await page.context().close();
  });

  test('tries an operation out with the key typed in, and without it is refused', async () => {
    const { page, complaints, foreign } = await open('/docs/');
    expect(new URL(page.url()).pathname).toBe('/docs');
    expect(await execute(page, 'ListAgentRuntimes')).toBe('401');
    // The browser says so by itself, and that is all it says.
    expect(complaints.filter((text) => !text.includes('status of 401'))).toEqual([]);
    complaints.length = 0;

    // Without the part that names the operation, which would be open already.
    await page.goto(`${server.url}/docs`);
    await page.locator('button.authorize').first().click();
    await page.locator('.auth-container input').fill(server.apiKey);
    await page.locator('.auth-container button.authorize').click();
    await page.locator('button.btn-done').click();
    expect(await execute(page, 'ListAgentRuntimes')).toBe('200');
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
    await page.context().close();
  });
});
