import { readAgentPid } from './identity.ts';
import type { ProcessInfo } from './processes.ts';
import type { Host } from './readiness.ts';
import { type Listener, listeners, listenersAt, socketInodes } from './sockets.ts';

/**
 * Who answers on an instance's port. Asked before calls are sent there: after a crash or a race for the port it may be
 * somebody else, and one tenant's calls would reach another.
 * @param members looks at every process of the machine; called only when the agent itself does not hold the socket
 */
export async function ownerOf(
  instance: { port: number; folder: string },
  host: Host,
  members: () => Promise<ProcessInfo[]>,
): Promise<'instance' | 'stranger' | 'nobody'> {
  const sockets = listenersAt(host, instance.port);
  if (!sockets) return 'instance'; // No /proc: nothing can be said.
  if (sockets.length === 0) return 'nobody';
  const areCovered = (held: (Set<string> | undefined)[]) =>
    sockets.every((socket) => held.some((it) => it?.has(socket.inode)));
  const agentPid = readAgentPid(instance.folder);
  if (agentPid !== undefined && areCovered([socketInodes(agentPid)])) return 'instance';
  const held = (await members()).map((it) => socketInodes(it.pid));
  // What may not be seen (a program that became another user) cannot be held against it.
  return areCovered(held) || held.includes(undefined) ? 'instance' : 'stranger';
}

/** Everything these processes listen on; undefined where the system does not say. */
export function listenersOf(processes: ProcessInfo[]): Listener[] | undefined {
  const held = processes.map((it) => socketInodes(it.pid));
  return listeners()?.filter((listener) => held.some((it) => it?.has(listener.inode)));
}
