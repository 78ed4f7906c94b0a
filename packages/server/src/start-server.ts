import { chmodSync, closeSync, existsSync, openSync, rmSync, statSync } from 'node:fs';
import { openDataFolders } from './artifacts/folders.ts';
import { createNodeShelf } from './artifacts/interpreters/node-shelf.ts';
import { packageFilesOf } from './artifacts/package-files.ts';
import { openSecretBox, type SecretBox } from './auth/secret-box.ts';
import { composeControl } from './compose.ts';
import { type Config, ConfigError } from './config.ts';
import { engineAddresses, unusableDockerHost } from './domain/engine-address.ts';
import { urlHost } from './domain/host-name.ts';
import { createChoosingDriver } from './drivers/choosing-driver.ts';
import { createDockerDriver, isInContainer } from './drivers/docker/docker-driver.ts';
import { createEngine } from './drivers/docker/engine.ts';
import { createImageStore } from './drivers/docker/image-store.ts';
import type { SandboxState } from './drivers/driver.ts';
import type { InstanceSpec } from './drivers/instance-spec.ts';
import { createInterpreterFinder } from './drivers/process/find-interpreter.ts';
import { dataMark } from './drivers/process/identity.ts';
import { isAProcess } from './drivers/process/is-a-process.ts';
import { openLimits } from './drivers/process/limits/limits.ts';
import { createNodeStarts } from './drivers/process/node-start/node-starts.ts';
import { createProcessDriver } from './drivers/process/process-driver.ts';
import { DATA_MARK } from './drivers/process/processes.ts';
import { trackProgram } from './drivers/process/program-family.ts';
import { confinePrograms } from './drivers/process/sandbox/confine-program.ts';
import { openSandbox } from './drivers/process/sandbox/sandbox.ts';
import { lockFolder } from './folder-lock.ts';
import { planListeners } from './gateway/listen-plan.ts';
import { startGatewayProcess } from './gateway-process.ts';
import { createLog } from './observe/log.ts';
import { privateSocketPath } from './private-socket.ts';
import { openServerCertificate } from './server-certificate.ts';
import { hostToAsk } from './tls/certificate-names.ts';

/** A server that answers: control process (this one), gateway process, and whatever agents run. */
export interface RunningServer {
  /** Such as `http://127.0.0.1:7700`. */
  url: string;
  /** Such as `https://127.0.0.1:7443`; undefined: TLS is off. */
  tlsUrl: string | undefined;
  sandbox: SandboxState;
  pid: { control: number; gateway: number | undefined };
  /** Stops intake, lets open calls finish within `graceMs`, then ends everything; agents as `onExit` says. */
  close(options?: { graceMs?: number }): Promise<void>;
}

const CLOSE_GRACE_MS = 10_000;

/**
 * Starts a server on a data folder. Resolves when it takes calls: what an earlier server left is settled by then.
 * @throws ConfigError, FolderInUse, MigrationError, or an Error when the address cannot be bound
 */
export async function startServer(config: Readonly<Config>): Promise<RunningServer> {
  const plan = planListeners(config);
  requireFolders(config.mounts);
  requireNodeDir(config.nodeDir);
  if (config.accessLog !== 'off' && config.accessLogFile !== undefined)
    requireAppendable(config.accessLogFile);
  const log = createLog(config.logLevel, 'control');
  const lock = lockFolder(config.dataDir);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    const certificate = plan.tls && (await openServerCertificate(config, log));
    if (certificate) undo.unshift(() => certificate.close());
    let localUrl = '';
    let url = config.publicUrl ?? '';
    let box: SecretBox | undefined;
    const { sandbox, state: sandboxState } = await openSandbox(config.sandbox);
    const { instanceProcesses: processes, instanceDiskBytes: diskBytes } = config;
    const limits = openLimits({ dataMark: dataMark(config.dataDir), processes, diskBytes });
    log.info({ sandbox: sandboxState, limits: limits.state }, 'how agents are held');
    const folders = openDataFolders(config.dataDir);
    const shelf = createNodeShelf({
      ...config,
      folder: folders.interpreters,
      timeoutMs: config.installTimeoutMs,
      marks: { [DATA_MARK]: dataMark(config.dataDir) },
      log,
    });
    undo.unshift(() => shelf.close());
    const findInterpreter = createInterpreterFinder((major, options) => shelf.provide(major, options));
    const driver = createProcessDriver({
      ...config,
      log,
      ...(sandbox && { confinedBy: sandbox }),
      sandboxState,
      limits,
      findInterpreter,
      nodeStarts: createNodeStarts({
        folder: folders.starts,
        packageFiles: (folder) => packageFilesOf(folders, folder),
        log,
      }),
      // Not before the store has held the key to account.
      box: () => (box ??= openSecretBox(folders.secretsKey)),
      // Whoever reaches the server would reach its agents as well, past all that it asks of callers.
      loopbackOnly: plan.beyondLoopback,
      isElsewhere: (instanceId) => isInContainer(config.dataDir, instanceId),
    });
    const engine = createEngine(engineAddresses(config.dockerHost, process.env));
    const unusable = config.dockerHost === undefined && unusableDockerHost(process.env);
    if (unusable) log.warn(unusable);
    const mark = dataMark(config.dataDir);
    const images = createImageStore({ engine, mark, timeoutMs: config.fetchTimeoutMs, log });
    const containers = createDockerDriver({
      ...config,
      log,
      engine,
      images,
      box: () => (box ??= openSecretBox(openDataFolders(config.dataDir).secretsKey)),
      isElsewhere: (instanceId) => isAProcess(config.dataDir, instanceId),
    });
    const isForContainers = (spec: InstanceSpec) =>
      spec.image !== undefined || config.codeDriver === 'docker';
    const control = await composeControl({
      config,
      driver: createChoosingDriver([driver, containers], (spec) =>
        isForContainers(spec) ? containers : driver,
      ),
      images,
      isPublic: plan.beyondLoopback,
      findInterpreter,
      trackProgram: (marks) => ({
        ...trackProgram(marks),
        ...(sandbox && { confine: confinePrograms(sandbox, config.dataDir) }),
      }),
      log,
      publicUrl: () => url,
    });
    // What an earlier server left running is not ended because this one could not start.
    undo.unshift(() => control.close({ stopInstances: false }));
    const controlSocket = privateSocketPath(config.dataDir, 'control.sock');
    // Ours alone by the folder's lock: what is still there, a server that was killed left behind.
    rmSync(controlSocket, { force: true });
    await control.api.listen({ path: controlSocket });
    chmodSync(controlSocket, 0o600);
    const gateway = await startGatewayProcess({
      config,
      plan,
      certificate,
      controlSocket,
      log,
      writeLog: (line) => void process.stderr.write(line),
      attach: (feed, { host, port }) => {
        // Never that of the TLS listener: what stands in `endpointPublicUrl` must work without trusting anybody first.
        localUrl = `http://${urlHost(hostToAsk(host, []))}:${port}`;
        url = config.publicUrl ?? localUrl;
        return control.attach(feed);
      },
    });
    const tlsUrl =
      gateway.tls && certificate
        ? `https://${urlHost(hostToAsk(gateway.tls.host, certificate.names))}:${gateway.tls.port}`
        : undefined;
    lock.listening({
      url,
      localUrl,
      ...(tlsUrl !== undefined && { tlsUrl }),
      ...(certificate?.caFile !== undefined && { caFile: certificate.caFile }),
      accountId: config.accountId,
      region: config.region,
    });
    return {
      url,
      tlsUrl,
      sandbox: sandboxState,
      pid: { control: process.pid, gateway: gateway.pid() },
      async close({ graceMs = CLOSE_GRACE_MS } = {}) {
        // The gateway waits for open calls; these would have it wait for as long as it can.
        control.endStreams();
        await gateway.close(graceMs);
        certificate?.close();
        await shelf.close();
        await control.close({ stopInstances: config.onExit === 'stop' });
        lock.release();
      },
    };
  } catch (error) {
    for (const step of undo) await step();
    throw error;
  }
}

/** A mount that is missing now would be missed by agents later, one by one. */
function requireFolders(mounts: readonly string[]): void {
  for (const path of mounts) {
    if (isFolder(path)) continue;
    throw new ConfigError(
      `RUNSTEAD_MOUNTS names ${path}, which is no directory of this machine; mount it before the server starts, or leave it out`,
    );
  }
}

/** @throws ConfigError */
function requireNodeDir(path: string | undefined): void {
  if (path === undefined || isFolder(path)) return;
  throw new ConfigError(
    `RUNSTEAD_NODE_DIR names ${path}, which is no directory of this machine; name one that holds 24/bin/node, or leave it out`,
  );
}

/** What cannot be written now would be missed when it is looked for. */
function requireAppendable(path: string): void {
  try {
    // Others, a pipe among them, may take lines only when somebody reads.
    if (existsSync(path) && !statSync(path).isFile()) throw new Error('it is no file');
    closeSync(openSync(path, 'a', 0o600));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `RUNSTEAD_ACCESS_LOG_FILE names ${path}, which cannot be appended to: ${code ?? message}; name a file in a folder that is there`,
    );
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // Not there, or not ours to see.
  }
}
