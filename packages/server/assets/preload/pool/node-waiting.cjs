'use strict';
// A Node that has begun to live and waits for the one start that it will be used for.
//
// Descriptor 3 leads to the server and to nobody else. A line comes over it, as JSON:
//
//   environment   the agent's, whole
//   cwd           the folder to start in
//   words         the file and its arguments
//   preloads      what NODE_OPTIONS would have had it load first, as it does for children
//
// Its end without a line is that of the server, or of the wish. What the order says begins as `node FILE …` begins.
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');

const ORDERS = 3;

// What agents that serve HTTP and call models load anyway, by their frameworks or by a global such as Response. Modules
// of Node alone: of others, each agent has its own.
const MODULES =
  'assert async_hooks buffer child_process cluster crypto dgram diagnostics_channel dns events fs/promises http http2 ' +
  'https net os perf_hooks querystring stream stream/web string_decoder timers/promises tls tty url util ' +
  'worker_threads zlib';
for (const name of MODULES.split(' ')) require(`node:${name}`);
const GLOBALS =
  'AbortSignal Blob FormData Headers MessageChannel ReadableStream Request Response TextDecoderStream';
for (const name of GLOBALS.split(' ')) void globalThis[name];
void globalThis.crypto?.subtle;
void globalThis.navigator;

// And the loader for ES modules, by a module without a file or a name that could be met again.
void import('data:text/javascript,').then(() => {
  // From now on nothing points to the memory that this environment is in: the server shows the
  // agent's there (show-environment.ts).
  for (const name of Object.keys(process.env)) delete process.env[name];
  fs.writeSync(ORDERS, 'ready\n');
  // Out of the promise: what the file throws is to be an exception, not a rejection.
  setImmediate(start);
});

function start() {
  // Blocks: nothing here is to run until it is an agent.
  const order = nextLine();
  if (order === undefined) process.exit(0);
  fs.closeSync(ORDERS);
  const { environment, cwd, words, preloads } = JSON.parse(order);
  Object.assign(process.env, environment);
  process.chdir(cwd);
  process.argv.splice(1, process.argv.length, path.resolve(words[0]), ...words.slice(1));
  // Of this file nothing is left to be met.
  delete require.cache[__filename];
  delete process.mainModule;
  // Where `require` looks last depends on HOME.
  Module._initPaths?.();
  for (const file of preloads) require(file);
  Module.runMain();
}

function nextLine() {
  const pieces = [];
  const piece = Buffer.alloc(64 * 1024);
  for (;;) {
    const count = fs.readSync(ORDERS, piece);
    if (count === 0) return undefined;
    const end = piece.subarray(0, count).indexOf(10);
    pieces.push(Buffer.from(piece.subarray(0, end < 0 ? count : end)));
    if (end >= 0) return Buffer.concat(pieces).toString('utf8');
  }
}
