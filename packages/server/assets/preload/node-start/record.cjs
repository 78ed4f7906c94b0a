'use strict';
// Notes which modules are resolved and loaded, for the server to make a record of; see play.cjs. What it writes is a
// claim: the server believes none of it without looking at the package itself.
//
// recordFolder  holds order.json. `claimed` appears there at once; record.json and `cache` are written when the server
//               puts `flush` there, after the first healthy answer, and then `done`
const Module = require('node:module');
const fs = require('node:fs');
const { whenAtRest, collectAll } = require('./play.cjs');

const LOOK_EVERY_MS = 10;
/** The server asks after the first healthy answer, or never. */
const LOOK_FOR_MS = 600_000;
/** More than any start has; beyond it nothing is noted. */
const NOTES_MAX = 50_000;

function readOrder(recordFolder) {
  return JSON.parse(fs.readFileSync(`${recordFolder}/order.json`, 'utf8'));
}

function activate({ recordFolder, cacheFolder }) {
  fs.writeFileSync(`${recordFolder}/claimed`, '');
  const { hash } = require('node:crypto');
  const resolves = new Map();
  const loads = new Map();
  let unfit = usesLoader() ? 'the agent has module hooks in a thread of their own' : undefined;
  let isOn = true;

  const register = Module.register;
  const told = {
    register(...args) {
      unfit = 'the agent has module hooks in a thread of their own';
      return Reflect.apply(register, this, args);
    },
  };
  Module.register = told.register;
  // Also for those who import it by name.
  Module.syncBuiltinESMExports();

  Module.registerHooks({
    resolve(specifier, context, nextResolve) {
      const result = nextResolve(specifier, context);
      if (isOn && resolves.size < NOTES_MAX && result.url.startsWith('file:')) {
        const { parentURL = '', conditions = [], importAttributes } = context;
        const note = [parentURL, [...conditions].join(), importAttributes?.type ?? '', specifier];
        resolves.set(JSON.stringify(note), [
          ...note,
          result.url,
          result.format === undefined ? [] : [result.format],
        ]);
      }
      return result;
    },
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      if (isOn && loads.size < NOTES_MAX && url.startsWith('file:') && result.source) {
        const kind = context.conditions?.includes('require') ? 'require' : 'import';
        loads.set(`${kind} ${url}`, [url, kind, result.format ?? '', hash('sha256', result.source)]);
      }
      return result;
    },
  });
  const usesOwnCache = process.env.NODE_COMPILE_CACHE !== undefined;
  if (!usesOwnCache) Module.enableCompileCache(cacheFolder);

  const begun = Date.now();
  const timer = setInterval(() => {
    const isAsked = fs.existsSync(`${recordFolder}/flush`);
    if (!isAsked && Date.now() - begun < LOOK_FOR_MS) return;
    clearInterval(timer);
    isOn = false;
    if (!isAsked) return;
    try {
      const record =
        unfit === undefined ? { resolves: [...resolves.values()], loads: [...loads.values()] } : { unfit };
      fs.writeFileSync(`${recordFolder}/record.json`, JSON.stringify({ node: process.version, ...record }));
      if (!usesOwnCache && unfit === undefined) Module.flushCompileCache?.();
    } finally {
      fs.writeFileSync(`${recordFolder}/done`, '');
      resolves.clear();
      loads.clear();
      whenAtRest((isAtRest) => isAtRest && collectAll());
    }
  }, LOOK_EVERY_MS);
  timer.unref();
}

function usesLoader() {
  const words = `${process.env.NODE_OPTIONS ?? ''} ${process.execArgv.join(' ')}`;
  return /--(?:experimental-)?loader\b/.test(words);
}

module.exports = { activate, readOrder };
