import type { Agent } from 'node:http';

/**
 * Closes the kept connections that nothing is being asked on: they lead to a control process that is gone, and the next
 * request must not meet one of them.
 */
export function closeIdle(agent: Agent): void {
  for (const idle of Object.values(agent.freeSockets)) {
    for (const socket of idle ?? []) socket.destroy();
  }
}
