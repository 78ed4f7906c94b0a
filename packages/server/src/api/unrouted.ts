import { METHODS } from 'node:http';
import { RunsteadError } from '@runstead/contract';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Why a request that no route takes is refused: for its method, if the path has others; else for its path. */
type Unrouted = (request: FastifyRequest, reply: FastifyReply) => RunsteadError;

/**
 * Makes the API hear of requests with any method there is, so that those no route takes are answered by `Unrouted`. Not
 * as routes of their own: some six hundred of them would take longer to register than all else at a start.
 */
export function unrouted(
  app: FastifyInstance,
  routes: readonly { method: string; path: string }[],
): Unrouted {
  // Every method that Node reads; CONNECT never comes as a request.
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !app.supportedMethods.includes(method)) app.addHttpMethod(method);
  }
  const byPath = new Map<string, string[]>();
  for (const { method, path } of routes) {
    // HEAD comes with GET.
    byPath.set(path, [...(byPath.get(path) ?? []), ...(method === 'GET' ? ['GET', 'HEAD'] : [method])]);
  }
  const known = [...byPath].map(([path, allowed]) => ({
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]*')}$`),
    allowed,
  }));
  return (request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const allowed = known.find(({ pattern }) => pattern.test(path))?.allowed;
    if (!allowed) return new RunsteadError('ERR_NOT_FOUND', `Path ${path} does not exist`);
    reply.header('allow', allowed.join(', '));
    return new RunsteadError(
      'ERR_METHOD_NOT_ALLOWED',
      `Method ${request.method} is not allowed here; ${allowed.join(', ')} ${allowed.length > 1 ? 'are' : 'is'}`,
    );
  };
}
