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
  const { meetGateway } = await import(new URL('feed/meeting.js', DIST));
  const { GATEWAY_NODE_FLAGS } = await import(new URL('gateway/node-flags.js', DIST));
  const { planListeners } = await import(new URL('gateway/listen-plan.js', DIST));
  const { gatewayProcessSettings, SETTINGS_VARIABLE } = await import(new URL('gateway/settings.js', DIST));
  const settled = loadConfig({ host: '127.0.0.1', port: 0, ...config }, {});
  const folder = await belongings.folder();
  const settings = {
    ...gatewayProcessSettings(settled, planListeners(settled), undefined, join(folder, 'nobody.sock')),
    feedSocket: join(folder, 'feed.sock'),
  };

  const child = belongings.fork(fileURLToPath(new URL('gateway/main.js', DIST)), [], {
    execArgv: [
      ...GATEWAY_NODE_FLAGS,
      ...(profile
        ? ['--cpu-prof', `--cpu-prof-dir=${profile.folder}`, `--cpu-prof-name=${profile.name}.cpuprofile`]
        : []),
    ],
    env: { ...process.env, [SETTINGS_VARIABLE]: JSON.stringify(settings) },
  });
  await message(child, (said) => said === 'ready');
  const { feed } = await meetGateway(settings.feedSocket, MEET_WITHIN_MS);
  child.disconnect();
  const heard = listening(feed);
  // A profile is written by a process that ends by itself.
  child.bidFarewell = () => bidden(child, feed);
  feed.send({ type: 'listen' });
  const said = await heard(({ type }) => type === 'listening' || type === 'listen-failed');
  if (said.type === 'listen-failed') throw new Error(said.reason);
  let sequence = 0;
  const install = async ({ runtimes, keys = [] }) => {
    const mine = ++sequence;
    feed.send({ type: 'snapshot', sequence: mine, runtimes, keys });
    await heard((answer) => answer.type === 'installed' && answer.sequence === mine);
  };
  await install(routes);
  return { pid: child.pid, port: said.port, install };
}

/** How long a gateway that has loaded may take to answer, in ms. */
const MEET_WITHIN_MS = 5000;

/** @returns waits for the next message of a feed that passes the test */
function listening(feed) {
  const waiting = new Set();
  feed.onMessage((said) => {
    for (const one of waiting) {
      if (!one.test(said)) continue;
      waiting.delete(one);
      one.resolve(said);
    }
  });
  return (test) => new Promise((resolve) => waiting.add({ test, resolve }));
}

/** Long enough for a profile to be written, in ms. */
const LEAVE_WITHIN_MS = 10_000;

function bidden(child, feed) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, LEAVE_WITHIN_MS);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    feed.send({ type: 'shutdown', graceMs: 0 });
  });
}
