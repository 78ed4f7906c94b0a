import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { message } from './belongings.mjs';

const DIST = new URL('../../packages/server/dist/', import.meta.url);

/**
 * Starts a gateway as the server does, with routes of ours in place of those of deployed agents.
 * @param routes `{ runtimes, keys }` as they travel down the feed
 * @param config of the server's settings, those that are not as usual, such as `{ queueLength: 10 }`
 * @param profile `{ folder, name }`: where it leaves a CPU profile when it ends
 * @returns `{ pid, port, install }`, once the routes are in force; `install(routes)` replaces all of them
 */
export async function startGateway(belongings, routes, { config = {}, profile } = {}) {
  const { loadConfig } = await import(new URL('config.js', DIST));
  const { planListeners } = await import(new URL('gateway/listen-plan.js', DIST));
  const { gatewayProcessSettings, SETTINGS_VARIABLE } = await import(new URL('gateway/settings.js', DIST));
  const settled = loadConfig({ host: '127.0.0.1', port: 0, ...config }, {});
  const nobody = join(tmpdir(), `runstead-bench-${randomUUID()}.sock`);
  const settings = gatewayProcessSettings(settled, planListeners(settled), undefined, nobody);

  const child = belongings.fork(fileURLToPath(new URL('gateway/main.js', DIST)), [], {
    execArgv: profile
      ? ['--cpu-prof', `--cpu-prof-dir=${profile.folder}`, `--cpu-prof-name=${profile.name}.cpuprofile`]
      : [],
    env: { ...process.env, [SETTINGS_VARIABLE]: JSON.stringify(settings) },
  });
  // A profile is written by a process that ends by itself.
  child.bidFarewell = () => bidden(child);
  const said = await message(child, ({ type }) => type === 'listening' || type === 'listen-failed');
  if (said.type === 'listen-failed') throw new Error(said.reason);
  let sequence = 0;
  const install = async ({ runtimes, keys = [] }) => {
    const mine = ++sequence;
    child.send({ type: 'snapshot', sequence: mine, runtimes, keys });
    await message(child, (answer) => answer.type === 'installed' && answer.sequence === mine);
  };
  await install(routes);
  return { pid: child.pid, port: said.port, install };
}

/** Long enough for a profile to be written, in ms. */
const LEAVE_WITHIN_MS = 10_000;

function bidden(child) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, LEAVE_WITHIN_MS);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.send({ type: 'shutdown', graceMs: 0 });
  });
}
