// Loaded before a server (`node --import`): numbers every step that changes something in the data folder, and kills the
// process at one of them. Variables: CRASH_DATA, the folder; CRASH_STEPS, a file that takes every step's name;
// CRASH_AT, `<name>@<which time>`, at which the process ends as by kill -9.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import Module, { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const { CRASH_DATA: data, CRASH_STEPS: stepsFile, CRASH_AT: at } = process.env;
const { appendFileSync } = fs;
const seen = new Map();

/** What two runs have in common of a path: ids, digests and random names are any. */
function shapeOf(path) {
  const text = String(path);
  if (!text.startsWith(data)) return undefined;
  return (
    text
      .slice(data.length + 1)
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
      .replace(/[0-9a-f]{32,64}/g, 'HASH')
      // Names with the process's number, and what lies side by side and is treated alike.
      .replace(/\.\d+(?=[./]|$)/g, '.N')
      .replace(/^(run\/bin)\/.+/, '$1/…')
      .replace(/^(logs\/ID)\/.+/, '$1/…')
      .replace(/^(code\/ID\/HASH(?:\.ID\.tmp)?|deps\/ID\/HASH\/(?:tree|work))\/.+/, '$1/…')
  );
}

function pass(name) {
  const times = (seen.get(name) ?? 0) + 1;
  seen.set(name, times);
  if (stepsFile) appendFileSync(stepsFile, `${name}@${times}\n`);
  if (at === `${name}@${times}`) {
    process.kill(process.pid, 'SIGKILL');
    // The signal ends the process before this returns; nothing may happen after it.
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  }
}

/** Names of threads differ, as their steps are counted apart. */
const thread = isMainThread ? '' : 'thread: ';

function around(name, run) {
  pass(`${thread}before ${name}`);
  const result = run();
  if (typeof result?.then !== 'function') {
    pass(`${thread}after ${name}`);
    return result;
  }
  return result.then((value) => {
    pass(`${thread}after ${name}`);
    return value;
  });
}

function wrap(owner, method, nameOf) {
  const original = owner[method];
  owner[method] = function (...args) {
    const name = nameOf(...args);
    return name === undefined ? original.apply(this, args) : around(name, () => original.apply(this, args));
  };
}

const onPath = (verb) => (path) => shapeOf(path) && `${verb} ${shapeOf(path)}`;
const onTarget = (verb) => (_from, to) => shapeOf(to) && `${verb} ${shapeOf(to)}`;
const isWriting = (flags) => typeof flags === 'string' && /[wa+]/.test(flags);
const onWrite = (verb) => (path, flags) => (isWriting(flags) ? onPath(verb)(path) : undefined);

if (data !== undefined) {
  for (const verb of ['mkdir', 'rm', 'unlink', 'writeFile', 'chmod']) {
    wrap(fs.promises, verb, onPath(verb));
    wrap(fs, `${verb}Sync`, onPath(verb));
  }
  for (const verb of ['rename', 'symlink', 'copyFile', 'cp', 'link']) {
    wrap(fs.promises, verb, onTarget(verb));
    wrap(fs, `${verb}Sync`, onTarget(verb));
  }
  wrap(fs.promises, 'open', onWrite('open'));
  wrap(fs, 'openSync', onWrite('open'));
  wrap(fs, 'createWriteStream', onPath('write'));
  wrap(fs, 'fsyncSync', () => 'fsync');
  wrap(childProcess, 'spawn', (file, args) => {
    const words = [file, ...(Array.isArray(args) ? args : [])].map((word) => String(word).split('/').at(-1));
    return `spawn ${words.slice(0, 2).join(' ').slice(0, 40)}`;
  });
  syncBuiltinESMExports();
  wrapDatabase();
}

/** Each statement that writes, and each commit. */
function wrapDatabase() {
  const nameOf = (sql) => {
    const writing =
      /^(insert into|update|delete from|begin|commit|create \w+|pragma user_version|vacuum)\s*"?(\w*)/i.exec(
        sql.trim(),
      );
    return writing ? `sql ${writing[1].toLowerCase()} ${writing[2]}`.trim() : undefined;
  };
  const wrapped = ({ DatabaseSync }) =>
    class extends DatabaseSync {
      exec(sql) {
        const name = nameOf(sql);
        return name === undefined ? super.exec(sql) : around(name, () => super.exec(sql));
      }

      prepare(sql) {
        const statement = super.prepare(sql);
        const name = nameOf(sql);
        if (name === undefined) return statement;
        const counted = {};
        for (const method of ['run', 'all', 'get', 'iterate'])
          counted[method] = (...args) => around(name, () => statement[method](...args));
        counted.columns = () => statement.columns();
        return counted;
      }
    };
  const load = Module._load;
  Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    return /^(?:node:sqlite|@photostructure\/sqlite)$/.test(request)
      ? { ...loaded, DatabaseSync: wrapped(loaded) }
      : loaded;
  };
}
