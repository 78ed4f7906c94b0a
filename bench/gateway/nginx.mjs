import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, listenerLinks } from '../processes.mjs';

/** How long it may take to listen, in ms. */
const STARTS_WITHIN_MS = 5000;

/**
 * nginx as what the gateway is held against: one worker, kept connections to the upstream, nothing buffered or logged.
 * @returns `{ pid, port }`; the pid is the worker's
 */
export function startNginxProxy(belongings, upstreamPort) {
  return startNginx(belongings, (port) => [
    `upstream agent { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }`,
    'server {',
    `  listen 127.0.0.1:${port} backlog=4096;`,
    '  location / {',
    '    proxy_pass http://agent;',
    '    proxy_http_version 1.1;',
    '    proxy_set_header Connection "";',
    '    proxy_set_header Host $http_host;',
    '    proxy_buffering off;',
    '  }',
    '}',
  ]);
}

/**
 * nginx as an agent that costs next to nothing: it answers everything with the same text.
 * @returns `{ pid, port, links }`
 */
export async function startNginxAgent(belongings, text) {
  const agent = await startNginx(belongings, (port) => [
    `server { listen 127.0.0.1:${port} backlog=4096; default_type application/json; return 200 '${text}'; }`,
  ]);
  return { ...agent, links: listenerLinks(agent.pid, agent.port) };
}

async function startNginx(belongings, servers) {
  const folder = await belongings.folder();
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configuration(folder, servers(port)));
  const child = belongings.spawn('nginx', ['-p', folder, '-c', file, '-e', 'stderr']);
  const deadline = performance.now() + STARTS_WITHIN_MS;
  // The port is open before there is a worker.
  while (!(await isOpen(port)) || childrenOf(child.pid).length === 0) {
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`nginx does not listen: ${child.said() || 'it says nothing'}`);
    }
    await delay(10);
  }
  const [worker] = childrenOf(child.pid);
  return { pid: worker, port };
}

function configuration(folder, servers) {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return [
    // Else a worker of root's would be somebody else, and could not open this folder.
    ...(process.getuid?.() === 0 ? ['user root root;'] : []),
    'daemon off;',
    'worker_processes 1;',
    'worker_rlimit_nofile 16384;',
    `pid ${folder}/nginx.pid;`,
    'error_log stderr crit;',
    'events { worker_connections 16384; }',
    'http {',
    '  access_log off;',
    '  keepalive_requests 1000000000;',
    ...kinds.map((kind) => `  ${kind}_temp_path ${folder}/${kind};`),
    ...servers,
    '}',
    '',
  ].join('\n');
}

/** nginx cannot say which port it was given. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (open) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
