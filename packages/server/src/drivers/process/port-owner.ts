import type { PortHolder, SocketLink } from '../driver.ts';
import type { ProcessInfo } from './processes.ts';
import type { Host } from './readiness.ts';
import { type Listener, listeners, listenersAt, socketsOf } from './sockets.ts';

/** Several processes may keep one socket open, and each may be the last to do so. */
const MAX_LINKS = 16;

/**
 * Who answers on an instance's port. Asked before calls are sent there: after a crash or a race for the port it may be
 * somebody else, and one tenant's calls would reach another.
 * @param members looks at every process of the machine; called only when the agent itself does not hold the socket
 */
export async function holderOf(
  instance: { port: number; agentPid: number | undefined },
  host: Host,
  members: () => Promise<ProcessInfo[]>,
): Promise<PortHolder> {
  const listening = listenersAt(host, instance.port);
  if (!listening) return { holder: 'instance' }; // No /proc: nothing can be said.
  if (listening.length === 0) return { holder: 'nobody' };
  const { agentPid } = instance;
  const own = agentPid === undefined ? undefined : socketsOf(agentPid);
  if (own && areCovered(listening, [own])) return { holder: 'instance', links: linksTo(listening, [own]) };
  const all = (await members()).map((it) => socketsOf(it.pid));
  const held = all.filter((it) => it !== undefined);
  if (areCovered(listening, held)) return { holder: 'instance', links: linksTo(listening, held) };
  // What may not be seen (a program that became another user) cannot be held against it.
  return held.length < all.length ? { holder: 'instance' } : { holder: 'stranger' };
}

/** Everything these processes listen on; undefined where the system does not say. */
export function listenersOf(processes: ProcessInfo[]): Listener[] | undefined {
  const held = processes.map((it) => socketsOf(it.pid));
  return listeners()?.filter((listener) => held.some((it) => it?.has(listener.inode)));
}

/** Inode → link, of one process. */
type Sockets = ReadonlyMap<string, string>;

function areCovered(listening: Listener[], held: Sockets[]): boolean {
  return listening.every(({ inode }) => held.some((it) => it.has(inode)));
}

function linksTo(listening: Listener[], held: Sockets[]): SocketLink[] {
  const links = held.flatMap((sockets) =>
    listening.flatMap(({ inode }) => {
      const path = sockets.get(inode);
      return path === undefined ? [] : [{ path, target: `socket:[${inode}]` }];
    }),
  );
  return links.slice(0, MAX_LINKS);
}
