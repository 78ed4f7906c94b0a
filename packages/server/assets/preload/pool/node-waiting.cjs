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

// What an agent loads first anyway. Modules of Node alone: of others, each agent has its own.
for (const name of ['net', 'http', 'stream', 'events', 'util', 'url', 'crypto', 'fs/promises', 'async_hooks'])
  require(`node:${name}`);

// And the loader for ES modules, by a module without a file or a name that could be met again.
void import('data:text/javascript,').then(() => {
  // From now on nothing points to the memory that this environment is in: an agent's is shown there.
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
  showEnvironment(environment);
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

/**
 * Lets others see the agent's environment: /proc/PID/environ shows the memory it was first in, which nothing points to
 * any more. As far as there is room, the marks of the platform first. Where the system does not allow it, the mark that
 * this process was born with remains, and it is found by that. In the sandbox, where /proc is read-only, the server does it
 * (show-environment.ts).
 */
function showEnvironment(environment) {
  try {
    const fields = fs
      .readFileSync('/proc/self/stat', 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    const [start, end] = [Number(fields[47]), Number(fields[48])];
    const pairs = Object.entries(environment).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
    const isMark = (pair) => pair.toString('latin1', 0, 9) === 'RUNSTEAD_';
    const text = Buffer.alloc(end - start);
    let size = 0;
    for (const pair of [...pairs.filter(isMark), ...pairs.filter((it) => !isMark(it))])
      if (size + pair.length <= text.length) size += pair.copy(text, size);
    const memory = fs.openSync('/proc/self/mem', 'r+');
    try {
      fs.writeSync(memory, text, 0, text.length, start);
    } finally {
      fs.closeSync(memory);
    }
  } catch {
    // No Linux, or one that does not let a process do so.
  }
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
