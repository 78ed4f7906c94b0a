/**
 * A runtime as the control process tells a gateway of it: an endpoint `Default` that shares new sessions out between
 * the versions.
 * @param agents of each version, the servers that are its instances: `{ port, links }`; one server may be several of
 *   them. Without any the runtime sleeps
 */
export function runtimeRoute(name, agents, slotsPerInstance = 200) {
  return {
    runtimeId: `id-of-${name}`,
    name,
    workspaceId: 'default',
    state: 'serving',
    endpoints: [
      {
        name: 'Default',
        weights: agents.map((_, index) => ({ version: index + 1, share: 1 / agents.length })),
        disablePublicNetworkAccess: false,
      },
    ],
    versions: agents.map((instances, index) => ({
      version: index + 1,
      slotsPerInstance,
      instances: instances.map(({ port, links }, place) => ({
        id: `${name}-${index + 1}-${place}`,
        host: '127.0.0.1',
        port,
        state: 'ready',
        ...(links && { links }),
      })),
    })),
  };
}

/** Where its calls go. */
export function callPath(name, rest = '') {
  return `/agent-runtimes/${name}/endpoints/Default/invocations/${rest}`;
}
