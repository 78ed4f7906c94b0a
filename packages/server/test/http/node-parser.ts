import { type ClientRequest, createServer, type IncomingMessage, request, type Server } from 'node:http';
import { Duplex } from 'node:stream';

/** What Node's own parser makes of bytes: the other reader in the comparison. */
export interface NodeMessage {
  /** Method, target and version, or version, status and reason. */
  line: string;
  fields: readonly string[];
  body: string;
  isComplete: boolean;
}

/** Both ends of a connection without a network: what is written to it goes nowhere. */
class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }
}

const LENIENT = { insecureHTTPParser: false, maxHeaderSize: 1024 * 1024 } as const;

/** Reads requests with a server of `node:http` that is given connections and answers nothing. */
export class NodeRequests {
  readonly #server: Server;
  readonly #seen = new Map<object, NodeMessage[]>();

  constructor() {
    this.#server = createServer({
      ...LENIENT,
      requireHostHeader: false,
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
    });
    const take = (message: IncomingMessage) => {
      const line = `${message.method} ${message.url} ${message.httpVersion}`;
      this.#seen.get(message.socket)?.push(collect(message, line));
    };
    this.#server.on('request', take);
    this.#server.on('checkContinue', take);
    this.#server.on('checkExpectation', take);
    // Without it the connection would be closed, with messages on it that were read well and are not taken yet.
    this.#server.on('clientError', () => {});
  }

  /** For each of the byte strings, which come on connections of their own, what is read. */
  async read(cases: readonly Buffer[]): Promise<NodeMessage[][]> {
    const wires = cases.map((bytes) => {
      const wire = new Wire();
      wire.on('error', () => {});
      this.#seen.set(wire, []);
      this.#server.emit('connection', wire);
      wire.push(bytes);
      return wire;
    });
    await settled();
    return wires.map((wire) => {
      const messages = this.#seen.get(wire)!;
      this.#seen.delete(wire);
      wire.destroy();
      return messages;
    });
  }
}

/**
 * Reads answers with clients of `node:http`: interim answers, then the final one.
 * @param ends whether the connection ends behind the bytes
 */
export async function readWithClients(
  cases: readonly { bytes: Buffer; method: string; ends: boolean }[],
): Promise<NodeMessage[][]> {
  const open = cases.map(({ bytes, method, ends }) => {
    const wire = new Wire();
    wire.on('error', () => {});
    const messages: NodeMessage[] = [];
    const client: ClientRequest = request({ ...LENIENT, method, path: '/', createConnection: () => wire });
    client.on('error', () => {});
    client.on('information', ({ statusCode, statusMessage, httpVersion, rawHeaders }) => {
      messages.push({
        line: `${httpVersion} ${statusCode} ${statusMessage}`,
        fields: rawHeaders,
        body: '',
        isComplete: true,
      });
    });
    client.on('response', (message) => {
      messages.push(
        collect(message, `${message.httpVersion} ${message.statusCode} ${message.statusMessage}`),
      );
    });
    client.end();
    return { wire, client, messages, bytes, ends };
  });
  await settled();
  for (const { wire, bytes, ends } of open) {
    wire.push(bytes);
    if (ends) wire.push(null);
  }
  await settled();
  return open.map(({ wire, client, messages }) => {
    client.destroy();
    wire.destroy();
    return messages;
  });
}

function collect(message: IncomingMessage, line: string): NodeMessage {
  const seen: NodeMessage = { line, fields: message.rawHeaders, body: '', isComplete: false };
  message.on('data', (chunk: Buffer) => {
    seen.body += chunk.toString('latin1');
  });
  message.on('end', () => {
    seen.isComplete = message.complete;
  });
  message.on('error', () => {});
  return seen;
}

/** Bodies come on later ticks; none of what happens here waits for anything else. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
