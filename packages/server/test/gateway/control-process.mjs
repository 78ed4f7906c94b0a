// A control process over the built server, reduced to what has to do with its gateway. Two arguments: the data folder and
// settings as JSON. It says which gateway it has, and waits to be killed.
import { join } from 'node:path';
import pino from 'pino';
import { loadConfig } from '../../dist/config.js';
import { planListeners } from '../../dist/gateway/listen-plan.js';
import { startGatewayProcess } from '../../dist/gateway-process.js';

const [dataDir, settings] = process.argv.slice(2);
const config = loadConfig({ dataDir, port: 0, logLevel: 'info', ...JSON.parse(settings) }, {});
const gateway = await startGatewayProcess({
  config,
  plan: planListeners(config),
  certificate: undefined,
  controlSocket: join(dataDir, 'run', 'control.sock'),
  log: pino({ level: 'silent' }),
  writeLog: () => {},
  attach: (feed) => {
    feed.send({ type: 'snapshot', sequence: 1, runtimes: [], keys: [] });
    return new Promise((resolve) => {
      feed.onMessage((message) => {
        if (message.type === 'installed') resolve();
      });
    });
  },
});
process.send({ pid: gateway.pid(), port: gateway.port });
