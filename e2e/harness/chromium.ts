import { existsSync } from 'node:fs';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The browser of this machine; undefined, and said so, where there is none. @param what is tested with it */
export function chromiumOrSay(what: string): string | undefined {
  const found = [process.env.RUNSTEAD_TEST_CHROMIUM, ...PLACES].find(
    (path) => path !== undefined && existsSync(path),
  );
  if (found === undefined) console.warn(`skipped: ${what}: no Chromium is on this machine`);
  return found;
}
