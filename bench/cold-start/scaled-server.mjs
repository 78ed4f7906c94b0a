// A server that tells how large its control process's heap is, after a collection. Started with --expose-gc, told over the
// channel to its parent: `heap`, `stop`. Settings come as variables, as always.
import { loadConfig, startServer } from '@runstead/server';

const begun = performance.now();
const server = await startServer(loadConfig());
process.send({ ready: server.url, startMs: performance.now() - begun });
process.on('message', (message) => {
  if (message === 'heap') {
    for (let i = 0; i < 4; i++) globalThis.gc();
    process.send({ heapBytes: process.memoryUsage().heapUsed });
  } else {
    void server.close({ graceMs: 0 }).then(() => process.disconnect());
  }
});
