// Holds the import direction: who may import whom, between packages and inside the server, and no cycles.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Package → packages it may import. `(types)` allows `import type` only. */
const PACKAGES = {
  '@runstead/contract': [],
  '@runstead/client': [
    '@runstead/contract (types)',
    '@runstead/contract/paths',
    '@runstead/contract/crc64',
    '@runstead/contract/signature',
  ],
  '@runstead/server': ['@runstead/contract', '@runstead/contract/crc64'],
  runstead: ['@runstead/client', '@runstead/server'],
};

/** Room of the server → rooms it may import. Files beside the rooms wire them and may import all. */
const ROOMS = {
  domain: [],
  observe: [],
  http: [],
  feed: ['auth', 'domain', 'observe'],
  auth: [],
  tls: ['domain'],
  store: ['domain', 'auth'],
  artifacts: ['domain', 'observe'],
  drivers: ['auth', 'domain', 'observe', 'config.ts'],
  logs: ['domain', 'drivers', 'observe'],
  api: ['auth', 'domain', 'store', 'artifacts', 'logs', 'observe'],
  reconcile: ['domain', 'store', 'drivers', 'feed', 'artifacts', 'observe'],
  // Its own process: never the store, never a driver.
  gateway: ['feed', 'auth', 'domain', 'http', 'observe', 'tls', 'config.ts'],
};

/** Only these may know a concrete store or driver. */
const CONCRETE = {
  'store/sqlite': ['compose.ts', 'folder-lock.ts'],
  // The docker driver shares what is not about processes: logs, ports, the health rule, what the kernel says of sockets.
  'drivers/process': ['start-server.ts', 'gateway-record.ts', 'drivers/docker/'],
  'drivers/docker': ['start-server.ts'],
};

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;

const faults = [];
const graph = new Map();

for (const [name, folder] of Object.entries({
  '@runstead/contract': 'contract',
  '@runstead/client': 'client',
  '@runstead/server': 'server',
  runstead: 'cli',
})) {
  const source = join(root, 'packages', folder, 'src');
  for (const file of sourceFiles(source)) {
    for (const { type, specifier } of importsOf(file)) {
      if (specifier.startsWith('.')) checkInside(name, source, file, resolve(dirname(file), specifier));
      else checkPackage(name, file, specifier, type);
    }
  }
}
for (const folder of ['examples', 'bench', 'e2e']) {
  for (const file of sourceFiles(join(root, folder))) {
    for (const { specifier } of importsOf(file)) {
      if (/packages\/|\/dist\//.test(specifier))
        fault(file, `imports ${specifier}; only published names may be used here`);
    }
  }
}
findCycles();

for (const line of faults) console.error(line);
console.error(
  faults.length === 0 ? `imports: ${graph.size} files, direction holds` : `imports: ${faults.length} faults`,
);
process.exitCode = faults.length === 0 ? 0 : 1;

function checkPackage(name, file, specifier, type) {
  if (!/^(@runstead\/|runstead$)/.test(specifier)) return;
  const allowed = PACKAGES[name];
  if (allowed.includes(specifier) || (type && allowed.includes(`${specifier} (types)`))) return;
  fault(file, `${name} may not import ${specifier}${type ? '' : ' at run time'}`);
}

function checkInside(name, source, file, target) {
  if (!target.startsWith(`${source}/`)) return fault(file, 'leaves its package by a relative path');
  graph.set(file, [...(graph.get(file) ?? []), target]);
  if (name !== '@runstead/server') return;
  const [from, to] = [relative(source, file), relative(source, target)];
  const [room, targetRoom] = [from.split('/')[0], to.split('/')[0]];
  const rules = ROOMS[room];
  if (rules && targetRoom !== room && !rules.includes(targetRoom))
    fault(file, `${room} may not import ${targetRoom}`);
  for (const [concrete, users] of Object.entries(CONCRETE)) {
    const outside = to.startsWith(`${concrete}/`) && !from.startsWith(`${concrete}/`);
    const mayUse = users.some((user) => (user.endsWith('/') ? from.startsWith(user) : from === user));
    if (outside && !mayUse) fault(file, `only ${users.join(', ')} may import ${concrete}`);
  }
}

function findCycles() {
  const state = new Map();
  const visit = (file, path) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      const loop = [...path.slice(path.indexOf(file)), file].map((part) => relative(root, part));
      faults.push(`cycle: ${loop.join(' → ')}`);
      return;
    }
    state.set(file, 'open');
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
}

function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(IMPORT)].map(([, type, from, dynamic]) => ({
    type: type !== undefined,
    specifier: from ?? dynamic,
  }));
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : sourceFiles(path);
    return /\.(ts|mts|mjs|js)$/.test(entry.name) &&
      !entry.name.endsWith('.test.ts') &&
      !entry.isSymbolicLink()
      ? [path]
      : [];
  });
}

function fault(file, text) {
  faults.push(`${relative(root, file)}: ${text}`);
}
