import type { Log } from '../../observe/log.ts';
import { type PortHolder, StartFailure } from '../driver.ts';
import { LAST_LINES } from './await-process.ts';
import { readTail } from './instance-log.ts';
import { holderOf, listenersOf } from './port-owner.ts';
import { agentPidOf, hostIn, type Instance } from './process-instance.ts';
import type { ProcessInfo } from './processes.ts';
import type { Host } from './readiness.ts';
import { isLoopback } from './sockets.ts';

export interface OwnerSettings {
  /**
   * Refuse agents that can be reached past the gateway. To be set when the server itself can be reached from elsewhere:
   * the preload narrows Node and Python, other programs open what they like.
   */
  loopbackOnly?: boolean;
}

/** How it is found out whether an instance's port is the instance's. */
export function createOwnerCheck(
  options: OwnerSettings,
  parts: {
    members: (instance: Instance) => Promise<ProcessInfo[]>;
    log: Log;
  },
) {
  const { members, log } = parts;

  return { confirmOwner, whoListens, identify };

  /**
   * Whether what answers on the instance's port is the instance: otherwise its calls would go to a stranger.
   * @throws StartFailure when it certainly is another process.
   */
  async function confirmOwner(instance: Instance, host: Host): Promise<boolean> {
    // Twice: between the answer and the look, a parent may have handed the socket to its child.
    for (let again = 0; again < 2; again++) {
      const found = await whoListens(instance, host);
      if (found.holder === 'nobody') return false;
      if (found.holder === 'instance') {
        await refuseOpenListeners(instance);
        instance.links = found.links;
        return true;
      }
    }
    throw new StartFailure('probe', 'port-never-opened', `port ${instance.port} is held by another process`);
  }

  async function whoListens(instance: Instance, host: Host): Promise<PortHolder> {
    const agentPid = await agentPidOf(instance);
    return holderOf({ agentPid, port: instance.port! }, host, () => members(instance));
  }

  /** As `whoListens` for one that is up, remembered. */
  async function identify(instance: Instance): Promise<PortHolder> {
    const running = instance.running!;
    const found = await whoListens(instance, hostIn(running.host)).catch((error: unknown): PortHolder => {
      log.error({ err: error, instanceId: instance.instanceId }, 'who holds its port could not be found out');
      return { holder: 'nobody' };
    });
    if (found.holder !== 'instance') running.links = [];
    else if (found.links) running.links = found.links;
    else delete running.links;
    return found;
  }

  async function refuseOpenListeners(instance: Instance): Promise<void> {
    if (!options.loopbackOnly) return;
    const open = listenersOf(await members(instance))?.find((it) => !isLoopback(it.address));
    if (!open) return;
    const where = open.address.includes(':') ? `[${open.address}]` : open.address;
    throw new StartFailure(
      'probe',
      'cannot-start',
      `the process listens on ${where}:${open.port}, where it can be reached past the gateway; ` +
        'it must listen on 127.0.0.1',
      readTail(instance.log, LAST_LINES),
    );
  }
}
