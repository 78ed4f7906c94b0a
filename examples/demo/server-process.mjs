import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * Starts `runstead serve` as its users do, on a free port, and waits until it says that it listens.
 * @param env settings, such as `{ RUNSTEAD_IDLE_STOP: '1s' }`
 */
export async function startServer(data, env = {}) {
  const manifest = createRequire(import.meta.url).resolve('runstead/package.json');
  const bin = join(dirname(manifest), 'bin', 'runstead.js');
  const child = spawn(process.execPath, [bin, 'serve', '--port', '0', '--data', data], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
    // Ctrl-C is for the demo, which then stops the server in its own time.
    detached: true,
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
      const [, found] = /listens on (\S+)/.exec(text) ?? [];
      if (found) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`the server ended with code ${code}: ${text}`)));
  });
  const { apiKey } = JSON.parse(await readFile(join(data, 'local-key.json'), 'utf8'));
  return {
    url,
    data,
    apiKey,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
