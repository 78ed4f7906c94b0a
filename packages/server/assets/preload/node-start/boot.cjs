'use strict';
// Loaded first into every Node process of an instance whose start is recorded or played; see play.cjs and record.cjs.
// The one process that runs the package takes the order, and with it the variable: its children and threads start
// plainly. Before it there may be others, such as npm, that pass it on.
const { dirname, join, resolve, sep } = require('node:path');
const { realpathSync } = require('node:fs');

const order = /^(play|record):(.+)$/s.exec(process.env.RUNSTEAD_NODE_START ?? '');

/** Whether this process runs a file of the package, whose folder the instance was started in. */
function runsThePackage(roots) {
  if (process.argv[1] === undefined || !require('node:worker_threads').isMainThread) return false;
  try {
    const entry = realpathSync(resolve(process.argv[1]));
    return roots.some((root) => entry.startsWith(root.endsWith(sep) ? root : `${root}${sep}`));
  } catch {
    // Without its extension, as `node agent`.
    return roots.includes(dirname(resolve(process.argv[1])));
  }
}

if (order) {
  const [, mode, folder] = order;
  try {
    const file = require.resolve(mode === 'play' ? './play.cjs' : './record.cjs');
    const { activate, readOrder } = require(file);
    const given = readOrder(folder);
    if (runsThePackage(given.packageRoots)) {
      delete process.env.RUNSTEAD_NODE_START;
      activate({
        recordFolder: folder,
        cacheFolder: process.env.RUNSTEAD_NODE_CACHE ?? join(folder, 'cache'),
        given,
      });
      delete process.env.RUNSTEAD_NODE_CACHE;
    }
    for (const name of [file, require.resolve('./play.cjs')]) delete require.cache[name];
  } catch {
    // A start that cannot be recorded or played is a plain one.
    delete process.env.RUNSTEAD_NODE_START;
    delete process.env.RUNSTEAD_NODE_CACHE;
  }
  delete require.cache[__filename];
}
