// Writes to a store until it is killed, and says what was acknowledged: one line per write, after its promise resolved.
import { writeSync } from 'node:fs';
import { createSecretBox } from '../../dist/auth/secret-box.js';
import { openSqliteStore } from '../../dist/store/sqlite/sqlite-store.js';

const [path, round] = process.argv.slice(2);
const store = openSqliteStore(path, createSecretBox(Buffer.alloc(32, 7)));
const at = new Date().toISOString();
const spec = { artifactType: 'Code', cpu: 1, memory: 512, port: 9000, description: 'd'.repeat(2000) };
// Past the event loop and its buffers: a line is with the reader before the next write begins.
const say = (line) => writeSync(1, `${line}\n`);

for (let i = 0; ; i++) {
  const id = `r${round}-${i}`;
  await store.createRuntime({ id, name: id, spec, at });
  say(`created ${id}`);
  await store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at });
  say(`ready ${id}`);
  await store.createEndpoint({
    id: `${id}-e`,
    runtimeId: id,
    name: 'prod',
    spec: { targetVersion: '1' },
    at,
  });
  say(`endpoint ${id}`);
  if (i % 3 === 2) {
    const gone = `r${round}-${i - 1}`;
    await store.removeRuntime(gone);
    say(`removed ${gone}`);
  }
}
