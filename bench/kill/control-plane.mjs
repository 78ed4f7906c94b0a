import { fillPath, invocationPath, operationPaths } from '@runstead/contract/paths';
import { ask } from './ask.mjs';

/** The server's API, one request each, with everything the caller cannot know left open; see `ask`. */
export class ControlPlane {
  #server;

  constructor(server) {
    this.#server = server;
  }

  /** @param operation a name from the contract's table */
  async send(operation, path = {}, { body, query } = {}) {
    const { method, path: template } = operationPaths[operation];
    const search = query ? `?${new URLSearchParams(query)}` : '';
    const url = this.#server.url + fillPath(template, path) + search;
    const seen = await ask(url, { method, apiKey: this.#server.apiKey, body });
    // A gateway whose control process died in the middle of a request cannot know either.
    if (seen.kind === 'answered' && seen.status >= 500) {
      return { kind: 'silent', why: `HTTP ${seen.status} ${JSON.stringify(seen.body)}` };
    }
    if (seen.kind !== 'answered') return seen;
    return { ...seen, ok: seen.status >= 200 && seen.status < 300, data: seen.body?.data };
  }

  /**
   * A read while nothing is being killed.
   * @returns the data; undefined for 404
   * @throws Error for any other answer
   */
  async read(operation, path, options) {
    const seen = await this.send(operation, path, options);
    if (seen.kind === 'answered' && seen.status === 404) return undefined;
    if (!seen.ok) throw new Error(`${operation}: ${describeAnswer(seen)}`);
    return seen.data;
  }

  /** All items of a list, page by page. */
  async readAll(operation, path, query = {}) {
    const items = [];
    for (let pageNumber = 1; ; pageNumber++) {
      const page = await this.read(operation, path, { query: { ...query, pageNumber, pageSize: 100 } });
      items.push(...(page?.items ?? []));
      if (items.length >= (page?.total ?? 0)) return items;
    }
  }

  /** What runs: `/runstead/v1/instances`. */
  async instances() {
    const seen = await ask(`${this.#server.url}/runstead/v1/instances`, { apiKey: this.#server.apiKey });
    if (seen.kind !== 'answered' || seen.status !== 200)
      throw new Error(`instances: ${describeAnswer(seen)}`);
    return seen.body.data.items;
  }

  /** A call to an agent. */
  call(runtimeName, endpointName = 'Default') {
    return ask(`${this.#server.url}${invocationPath(runtimeName, endpointName)}/`);
  }
}

export function describeAnswer(seen) {
  if (seen.kind === 'answered') return `HTTP ${seen.status} ${JSON.stringify(seen.body)}`.slice(0, 400);
  return seen.kind === 'refused' ? 'connection refused' : seen.why;
}
