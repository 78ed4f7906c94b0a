// A server that can be killed, with an engine: plain Node over the built driver. One argument, JSON:
// { dataDir, spec, socket, image }. Prints the running instance as JSON once it is ready, then does nothing.

import pino from 'pino';
import { createSecretBox } from '../../dist/auth/secret-box.js';
import { engineAddresses } from '../../dist/domain/engine-address.js';
import { createDockerDriver } from '../../dist/drivers/docker/docker-driver.js';
import { createEngine } from '../../dist/drivers/docker/engine.js';
import { createImageStore } from '../../dist/drivers/docker/image-store.js';

const { dataDir, spec, socket, image } = JSON.parse(process.argv[2]);
const log = pino({ level: 'silent' });
const engine = createEngine(engineAddresses(socket, {}));
const driver = createDockerDriver({
  dataDir,
  log,
  engine,
  images: createImageStore({ engine, mark: 'none', timeoutMs: 10_000, log }),
  box: () => createSecretBox(Buffer.alloc(32, 7)),
  logLimitBytes: 8 * 1024 * 1024,
  accountId: '0000000000000000',
  region: 'cn-test',
  codeImages: { custom: image },
  portRange: { from: 17_000, to: 17_999 },
});
const instance = await driver.start(spec, { signal: new AbortController().signal, onExit: () => {} });
console.log(JSON.stringify(instance));
setInterval(() => {}, 1000);
