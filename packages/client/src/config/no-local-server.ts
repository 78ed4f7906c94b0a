import type { LocalServer } from './local-server.ts';

/** Where there is no file system (browsers, edge workers) there is no server of one's own either. */
export function readLocalServer(): LocalServer {
  return {};
}
