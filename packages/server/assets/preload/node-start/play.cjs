'use strict';
// Answers what modules are called and what stands in them from a record, so that a start neither looks for files nor
// reads hundreds of them. Whatever the record does not know goes the ordinary way.
//
// At boot, boot.cjs calls it. A process that was booted before anybody knew what it would run calls it late:
//
//   const { activate } = require('…/assets/preload/node-start/play.cjs');
//   const played = activate({ recordFolder, cacheFolder });
//   // then run the entry: require('node:module').runMain(), with process.argv[1] set, or import()
//
// recordFolder  holds start.json and sources, made by the server for exactly this Node, package, command and
//               start-relevant environment; only read
// cacheFolder   V8's compile cache for it; default: `cache` in recordFolder. Nothing is to be written there: give the
//               path of a link that is taken away after the start, or one on a read-only mount
// returns       false when the record is for another Node or this one has no synchronous hooks: nothing was changed then
// throws        when the record cannot be read: nothing was changed then either
//
// It must be called before the first module of the package is loaded, in the main thread, once.
const Module = require('node:module');
const fs = require('node:fs');

const VERSION = 1;
/** Numbers to an edge. */
const EDGE = 5;
/** How often it is looked whether the process has come to rest, and for how long. */
const REST_LOOK_MS = 1000;
const REST_LOOKS = 60;
/** Of a look's time, in which a process at rest is at work. */
const REST_SHARE = 0.1;

function readOrder(recordFolder) {
  return JSON.parse(fs.readFileSync(`${recordFolder}/start.json`, 'utf8'));
}

function activate({ recordFolder, cacheFolder = `${recordFolder}/cache`, given = readOrder(recordFolder) }) {
  const { registerHooks } = Module;
  if (given.version !== VERSION || given.node !== process.version || typeof registerHooks !== 'function')
    return false;
  let sources = fs.readFileSync(`${recordFolder}/sources`);
  if (sources.length !== given.sourceBytes) return false;

  const { specifiers, formats, edges } = given;
  const urls = given.urls.map(([root, path]) => given.roots[root] + path);
  // Where the edges of a parent begin in `edges`, by its URL; undefined stands for the process itself.
  const parents = new Map(given.parents.map(([url, at]) => [url < 0 ? undefined : urls[url], at]));
  const loads = new Map(given.loads.map((load) => [urls[load[0]], load]));
  const isLegacy = process.versions.node.startsWith('22.');

  // Hooks of the agent's run around these and see what they would see of Node itself. What replaces Node's own steps
  // would be passed over, though: from then on, nothing is answered here.
  let isOn = true;
  const register = Module.register;
  if (typeof register === 'function') {
    const told = {
      register(...args) {
        isOn = false;
        return Reflect.apply(register, this, args);
      },
    };
    Module.register = told.register;
    // Also for those who import it by name.
    Module.syncBuiltinESMExports();
  }
  const { readFileSync } = fs;
  const { _resolveFilename: resolveFilename, _findPath: findPath } = Module;
  const isUntouched = () =>
    isOn &&
    Module._resolveFilename === resolveFilename &&
    Module._findPath === findPath &&
    fs.readFileSync === readFileSync;

  const conditionsAt = (conditions) => {
    for (let i = 0; i < given.conditions.length; i++) {
      const known = given.conditions[i];
      let same = known.length === conditions?.length ? 0 : -1;
      while (same >= 0 && same < known.length) same = known[same] === conditions[same] ? same + 1 : -1;
      if (same >= 0) return i;
    }
    return -1;
  };

  registerHooks({
    resolve(specifier, context, nextResolve) {
      const begin = parents.get(context.parentURL);
      if (begin === undefined || !isUntouched()) return nextResolve(specifier, context);
      let conditions = -2;
      for (let i = begin + 1, end = i + EDGE * edges[begin]; i < end; i += EDGE) {
        // [specifier, conditions, type of the import attributes, URL, format]
        if (specifiers[edges[i]] !== specifier) continue;
        if (conditions === -2) conditions = conditionsAt(context.conditions);
        if (
          edges[i + 1] !== conditions ||
          given.types[edges[i + 2]] !== (context.importAttributes?.type ?? '')
        )
          continue;
        const url = urls[edges[i + 3]];
        const format = edges[i + 4];
        return format < 0
          ? { url, shortCircuit: true }
          : { url, format: formats[format], shortCircuit: true };
      }
      return nextResolve(specifier, context);
    },
    load(url, context, nextLoad) {
      const load = loads.get(url);
      if (load === undefined || sources === undefined || !isUntouched()) return nextLoad(url, context);
      // [url, offset, length, is it ASCII, format when required (absent: never was), format when imported]
      const [, offset, length, isAscii, required, imported] = load;
      if (context.conditions?.includes('require')) {
        if (required === null) return nextLoad(url, context);
        const text = isAscii
          ? sources.latin1Slice(offset, offset + length)
          : sources.utf8Slice(offset, offset + length);
        return { source: text, format: required === '' ? undefined : required, shortCircuit: true };
      }
      if (imported === null) return nextLoad(url, context);
      // Node 22 gives a CommonJS module whose source comes with the answer another `require`, without `cache`.
      if (isLegacy && imported === 'commonjs') return { format: imported, source: null, shortCircuit: true };
      return {
        format: imported,
        responseURL: url,
        source: sources.subarray(offset, offset + length),
        shortCircuit: true,
      };
    },
  });
  whenAtRest((isAtRest) => {
    // What is loaded from here on is read from its file.
    sources = undefined;
    if (isAtRest) collectAll();
  });
  if (given.hasCache && process.env.NODE_COMPILE_CACHE === undefined)
    Module.enableCompileCache?.(cacheFolder);
  return true;
}

/** Calls back once the process has done next to nothing for a while after its start, or has been at work all the time. */
function whenAtRest(callback) {
  let used = process.cpuUsage();
  let looks = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(used);
    used = process.cpuUsage();
    const isAtRest = (user + system) / 1000 < REST_LOOK_MS * REST_SHARE;
    if (!isAtRest && ++looks < REST_LOOKS) return;
    clearInterval(timer);
    callback(isAtRest);
  }, REST_LOOK_MS);
  timer.unref();
}

/**
 * A start leaves Node 24 with half as much memory again as Node 20, most of it room that it does not use and keeps: only
 * this kind of collection gives it back. The flag is on for the one context in which nothing else runs.
 */
function collectAll() {
  try {
    const { setFlagsFromString } = require('node:v8');
    setFlagsFromString('--expose-gc');
    const collect = require('node:vm').runInNewContext('gc');
    setFlagsFromString('--no-expose-gc');
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  } catch {
    // Memory is all that it costs.
  }
}

module.exports = { activate, readOrder, whenAtRest, collectAll };
