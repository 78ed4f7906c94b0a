// What an event stream costs: CPU per chunk while a hundred stream, memory per stream while thousands are open.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cpuMs, listenerLinks, memoryMiB } from '../processes.mjs';
import { bar } from '../report.mjs';
import { message } from './belongings.mjs';
import { startGateway } from './gateway-process.mjs';
import { startNginxProxy } from './nginx.mjs';
import { byTurns, middle, times } from './rounds.mjs';
import { callPath, runtimeRoute } from './routes.mjs';
import { Streams } from './streams.mjs';

export const needs = ['nginx'];
export const inputs =
  '100 streams, each a chunk of 50 bytes every 10 ms; then 500 to 2,000 streams, each a chunk every second';

const STREAMS = 100;
const EVERY_MS = 10;
const LEVELS = [500, 1000, 1500, 2000];
/** Of what was sent, as much may be on its way when the round ends. */
const ARRIVED_SHARE = 0.98;
const CHUNK_BYTES = 50;

export async function measure({ belongings, say, quick, profile }) {
  const child = belongings.fork(fileURLToPath(new URL('processes/streaming-agent.mjs', import.meta.url)));
  const { port } = await message(child, (said) => said.port !== undefined);
  const agent = { port, links: listenerLinks(child.pid, port) };
  const sent = async () => {
    child.send('count');
    return (await message(child, (said) => said.sent !== undefined)).sent;
  };
  // 2,200 slots.
  const runtimes = [runtimeRoute('hot', [Array(11).fill(agent)])];
  const start = (name) => startGateway(belongings, { runtimes }, { profile: profile(name) });
  const path = (every) => callPath('hot', `stream?every=${every}`);

  const contenders = [
    { name: 'nginx', ...(await startNginxProxy(belongings, port)) },
    { name: 'gateway', ...(await start('sse')) },
  ];
  const samples = await byTurns(contenders, quick ? 3 : 7, (proxy) =>
    chunks(proxy, { path: path(EVERY_MS), sent, seconds: quick ? 2 : 3 }),
  );
  for (const { name } of contenders) {
    const [cpu, rate] = [middle(samples[name], 'cpuUs'), middle(samples[name], 'perSecond')];
    say(`${name.padEnd(8)} ${cpu.toFixed(2)} µs of CPU per chunk at ${rate.toFixed(0)} chunks a second`);
  }

  // A process of its own, so that what the chunks left behind does not count.
  const slopes = {};
  for (const proxy of [
    { name: 'nginx', ...(await startNginxProxy(belongings, port)) },
    { name: 'gateway', ...(await start('sse-memory')) },
  ]) {
    slopes[proxy.name] = await memoryPerStream(proxy, path(1000), say, proxy.name === 'nginx' ? 2 : 8);
  }
  return [
    bar('CPU per chunk, times nginx', times(samples.gateway, samples.nginx, 'cpuUs'), 'times', 2),
    bar('memory per open stream', slopes.gateway, 'KiB', 20),
    bar('memory per open stream of nginx', slopes.nginx, 'KiB'),
  ];
}

/** One round: all streams open, so many seconds. */
async function chunks({ pid, port }, { path, sent, seconds }) {
  const streams = new Streams();
  try {
    await streams.openUpTo(STREAMS, port, path);
    await delay(500);
    const [sentBefore, bytesBefore, begun, used] = [
      await sent(),
      streams.bytes,
      performance.now(),
      cpuMs(pid),
    ];
    await delay(seconds * 1000);
    const usedMs = cpuMs(pid) - used;
    const took = performance.now() - begun;
    const count = (await sent()) - sentBefore;
    const bytes = streams.bytes - bytesBefore;
    streams.check();
    if (bytes < count * CHUNK_BYTES * ARRIVED_SHARE) {
      throw new Error(`of ${count} chunks only ${bytes} bytes came within ${seconds} s`);
    }
    return { cpuUs: (usedMs * 1000) / count, perSecond: (count / took) * 1000 };
  } finally {
    streams.close();
  }
}

/**
 * The slope of the proportional set size over the open streams, in KiB per stream (least squares over the levels). Each
 * level is the least of so many looks, two a second: between two collections garbage comes on top.
 */
async function memoryPerStream({ name, pid, port }, path, say, looks) {
  const streams = new Streams();
  try {
    const points = [];
    for (const level of LEVELS) {
      await streams.openUpTo(level, port, path);
      const seen = [];
      for (let look = 0; look < looks; look++) {
        await delay(500);
        seen.push(memoryMiB(pid) * 1024);
      }
      streams.check();
      points.push([level, Math.min(...seen)]);
    }
    say(
      `${name.padEnd(8)} ${points.map(([count, kib]) => `${count}: ${(kib / 1024).toFixed(1)} MiB`).join(', ')}`,
    );
    return slope(points);
  } finally {
    streams.close();
  }
}

function slope(points) {
  const mean = (at) => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const over = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return over / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}
