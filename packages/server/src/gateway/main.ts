/**
 * The gateway's process: settings in `RUNSTEAD_GATEWAY_SETTINGS`, the feed over a unix socket that it listens on. It
 * outlives the control process that started it and follows the next one. It ends when it is told to, or when none has
 * come for a while.
 */
import { writeSync } from 'node:fs';
import { BUILD } from '../feed/build.ts';
import { listenForControl } from '../feed/meeting.ts';
import type { GatewayEnd } from '../feed/port.ts';
import { createLog } from '../observe/log.ts';
import { RelayedLog } from './relayed-log.ts';
import { type GatewayProcessSettings, SETTINGS_VARIABLE } from './settings.ts';
import { type RunningGateway, startGateway } from './start-gateway.ts';

/** As long as a control process that is busy may take to read what was said last. */
const LAST_WORDS_MS = 1000;

let gateway: RunningGateway | undefined;
let isWanted = false;
// A signal to the whole group (Ctrl-C) is the control process's to act on: it says `shutdown`.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => gateway?.endIfUnattended());
// Node opens its inspector on SIGUSR1 unless somebody listens.
process.on('SIGUSR1', () => {});

const settings = readSettings();
const relayed = new RelayedLog();
const log = createLog(settings.logLevel, 'gateway', relayed);

process.on('uncaughtException', (error) => {
  lastWords(`${error.stack ?? error}\n`);
  process.exit(1);
});

const { controlSocket, feedSocket, settingsDigest, logLevel: _, ...gatewaySettings } = settings;
const meeting = await listenForControl(feedSocket, { build: BUILD, settings: settingsDigest });
try {
  const first = await firstControl();
  await toldToListen(first);
  const tell = (feed: GatewayEnd) => feed.onClose(relayed.attach((message) => feed.send(message)));
  tell(first);
  gateway = await startGateway({
    feed: first,
    nextFeeds: (take) =>
      meeting.onControl((feed) => {
        tell(feed);
        take(feed);
      }),
    settings: gatewaySettings,
    controlSocket,
    log,
  });
  await gateway.ended;
  meeting.close();
} catch (error) {
  meeting.close();
  process.exitCode = 1;
  // An address that cannot be had is the control process's to tell: it has heard of it over the feed.
  if (!/^Cannot listen on /.test((error as Error).message)) lastWords(`${(error as Error).stack}\n`);
}
// What was said last is on its way; nothing that is still open may keep the process.
setTimeout(() => process.exit(), LAST_WORDS_MS).unref();

/**
 * Whoever started this process comes first. If it is gone before, nobody knows of us; its end is seen on the channel
 * that it opened for this alone.
 */
function firstControl(): Promise<GatewayEnd> {
  return new Promise((resolve) => {
    const onLost = () => {
      meeting.close();
      process.exit(0);
    };
    process.once('disconnect', onLost);
    if (process.connected === false) return onLost();
    meeting.onControl((feed) => {
      process.removeListener('disconnect', onLost);
      if (process.connected) process.disconnect();
      resolve(feed);
    });
    process.send!('ready', () => {});
  });
}

/** All is ready then; until it is written down that we are there, our end must be its end. */
function toldToListen(first: GatewayEnd): Promise<void> {
  return new Promise((resolve) => {
    first.onMessage((message) => {
      if (message.type !== 'listen') return;
      first.onMessage(undefined);
      isWanted = true;
      resolve();
    });
    first.onClose(() => {
      if (isWanted) return;
      meeting.close();
      process.exit(0);
    });
  });
}

/** To a file that the next control process, or a person, reads. */
function lastWords(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // A disk that is full must not hurt more than it does.
  }
}

function readSettings(): GatewayProcessSettings {
  const text = process.env[SETTINGS_VARIABLE];
  if (!text || !process.send) {
    process.stderr.write(
      `The gateway is started by the server, which gives it ${SETTINGS_VARIABLE} and a channel\n`,
    );
    process.exit(2);
  }
  return JSON.parse(text) as GatewayProcessSettings;
}
