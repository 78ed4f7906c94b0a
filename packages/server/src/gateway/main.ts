/**
 * The gateway's process: settings in `RUNSTEAD_GATEWAY_SETTINGS`, the feed over the inherited IPC channel.
 * It ends when it is told to, or a while after the control process is gone.
 */
import type { DownMessage, UpMessage } from '../feed/messages.ts';
import { overIpc } from '../feed/port.ts';
import { createLog } from '../observe/log.ts';
import { type GatewayProcessSettings, SETTINGS_VARIABLE } from './settings.ts';
import { startGateway } from './start-gateway.ts';

// A signal to the whole group (Ctrl-C) is the parent's to act on: it says `shutdown`.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// Node opens its inspector on SIGUSR1 unless somebody listens.
process.on('SIGUSR1', () => {});

const settings = readSettings();
const log = createLog(settings.logLevel, 'gateway');
const feed = overIpc<UpMessage, DownMessage>(process);

process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
  // Whoever read our log is gone; calls still get their time.
  if (error.code === 'EPIPE' && error.syscall === 'write') return;
  log.fatal({ err: error }, 'uncaught error');
  process.exit(1);
});

const { controlSocket, logLevel: _, ...gatewaySettings } = settings;
try {
  const gateway = await startGateway({
    feed,
    settings: gatewaySettings,
    controlSocket,
    log,
  });
  await gateway.ended;
  process.exit(0);
} catch (error) {
  // An address that cannot be had is the control process's to tell: it has heard of it over the feed.
  const isTold = /^Cannot listen on /.test((error as Error).message);
  log[isTold ? 'debug' : 'fatal']({ err: error }, 'cannot start');
  process.exit(1);
}

function readSettings(): GatewayProcessSettings {
  const text = process.env[SETTINGS_VARIABLE];
  if (!text || !process.send) {
    process.stderr.write(
      `The gateway is started by the server, which gives it ${SETTINGS_VARIABLE} and a feed\n`,
    );
    process.exit(2);
  }
  return JSON.parse(text) as GatewayProcessSettings;
}
