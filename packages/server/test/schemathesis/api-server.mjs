// The control plane's API over the built server on a real socket, with a store and intake of its own and nothing behind
// that acts on what is written. Arguments: the data folder, the key. Says on stdout where it listens.
import pino from 'pino';
import { createApi } from '../../dist/api/app.js';
import { createWalks } from '../../dist/api/walks.js';
import { openDataFolders } from '../../dist/artifacts/folders.js';
import { createPackageIntake } from '../../dist/artifacts/intake.js';
import { createPackageThread } from '../../dist/artifacts/package-thread.js';
import { hashKey, KeyRing } from '../../dist/auth/key-ring.js';
import { Nonces } from '../../dist/auth/nonces.js';
import { openSecretBox } from '../../dist/auth/secret-box.js';
import { createAgentLogs } from '../../dist/logs/agent-logs.js';
import { openSqliteStore } from '../../dist/store/sqlite/sqlite-store.js';

const [dataDir, key] = process.argv.slice(2);
const folders = openDataFolders(dataDir);
const store = openSqliteStore(folders.database, openSecretBox(folders.secretsKey));
const thread = createPackageThread();

/** Every other runtime becomes ready at once, so that what needs a version is tried with one. */
let changes = 0;
async function runtimeChanged(id) {
  const runtime = await store.getRuntime(id);
  if (!runtime || !/^(CREATING|UPDATING)$/.test(runtime.status) || changes++ % 2 === 1) return;
  const at = new Date().toISOString();
  await store.settleRuntime(id, runtime.revision, { status: 'READY', newVersion: true, at });
}

const keys = new KeyRing([
  {
    kind: 'platform',
    id: 'tests',
    sha256: hashKey(key),
    accessKeyId: 'tests',
    accessKeySecret: 'tests',
    role: 'admin',
    workspaces: 'all',
  },
]);
const api = createApi({
  store,
  intake: createPackageIntake(folders, thread),
  folders,
  identity: { accountId: '0000000000000000', region: 'cn-hangzhou' },
  log: pino({ level: 'error' }, pino.destination({ fd: 2, sync: true })),
  bodyLimitBytes: 16 * 1024 * 1024,
  freeSpaceReserveBytes: 0,
  maxInstancesPerRuntime: 10,
  redactLists: false,
  walks: createWalks(() => performance.now()),
  authentication: { keys, nonces: await Nonces.open(store, Date.now()), now: Date.now },
  givenKeys: ['tests'],
  keysChanged: async () => {},
  publicUrl: () => 'http://agents.test:7700',
  runtimeChanged: (id) => void runtimeChanged(id),
  endpointsChanged: () => {},
  routesSettled: async () => {},
  progress: () => undefined,
  scalingStatus: () => ({ currentInstances: 0, minInstances: 0, targetInstances: 0 }),
  instances: () => [],
  containment: () => ({ sandbox: { kind: 'off', reason: 'it was switched off' }, limits: undefined }),
  namedKeyWarning: () => undefined,
  usageOf: async () => new Map(),
  logs: createAgentLogs({ driver: {}, versionsOf: async () => new Map(), now: Date.now }),
});
console.log(await api.listen({ host: '127.0.0.1', port: 0 }));
process.on('SIGTERM', async () => {
  await api.close();
  await thread.close();
  await store.close();
});
