import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { headersOf, isoSeconds, signControl } from '../packages/server/test/signing.ts';
import { hasProc } from './harness/processes.ts';
import { type Server, startServer } from './harness/server.ts';

const MIB = 1024 * 1024;
const BODY_BYTES = 128 * MIB;
const CREATES = 200;
const AT_ONCE = 20;
/** What each sends on after its refusal, as a client does that does not listen. A few send all. */
const SENT_ON_BYTES = 4 * MIB;
const WHOLE_EVERY = 50;
const PATH = '/2025-09-10/agents/runtimes';
const PIECE = Buffer.alloc(64 * 1024, 'x');

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server?.dispose());

const residentBytes = (pid: number) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
const both = () => residentBytes(server.pid) + residentBytes(server.gatewayPid()!);

/** One create that sends a body of 128 MiB, or of that what fits before its sender has heard enough. */
function create(headers: Record<string, string>, sendAll: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const all: Record<string, string | number> = {
      host: new URL(server.url).host,
      'content-type': 'application/json',
      ...headers,
      'content-length': BODY_BYTES,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    // A bare connection: HTTP clients end theirs with the answer.
    const socket = connect(server.port, '127.0.0.1');
    let [sent, until, text] = [0, BODY_BYTES, ''];
    const write = () => {
      while (sent < until) {
        sent += PIECE.length;
        if (!socket.write(PIECE)) return void socket.once('drain', write);
      }
      socket.destroy();
    };
    socket.on('data', (piece) => {
      text += String(piece);
      if (!sendAll) until = Math.min(until, sent + SENT_ON_BYTES);
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [, status, code] = /^HTTP\/1\.1 (\d+) .*"code":"([\w.]+)"/s.exec(text) ?? [];
      resolve(`${status} ${code}`);
    });
    socket.write(`${[`POST ${PATH} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`);
    write();
  });
}

describe.runIf(hasProc)('200 creates of 128 MiB that nobody may send', () => {
  test.each([
    ['without a credential', () => ({}), '401 AccessDenied'],
    [
      'wrongly signed',
      () => {
        const key = JSON.parse(readFileSync(join(server.data, 'local-key.json'), 'utf8')) as {
          accessKeyId: string;
        };
        const pair = { accessKeyId: key.accessKeyId, accessKeySecret: 'wrong' };
        const date = isoSeconds(Date.now());
        return headersOf(
          signControl({ method: 'POST', path: PATH, host: new URL(server.url).host, pair, date, body: 'x' }),
        );
      },
      '401 SignatureDoesNotMatch',
    ],
  ] as [string, () => Record<string, string>, string][])(
    '%s are refused one and all, cost less than 64 MiB of memory and leave nothing',
    async (_, headers, refusal) => {
      // What the first requests make the runtime set up is no part of it.
      for (let count = 0; count < 20; count++) await create(headers(), false);
      const before = both();
      let most = before;
      const watch = setInterval(() => {
        most = Math.max(most, both());
      }, 20);
      const outcomes: string[] = [];
      try {
        let next = 0;
        const sender = async () => {
          while (next < CREATES) {
            const sendAll = next++ % WHOLE_EVERY === 0;
            outcomes.push(await create(headers(), sendAll));
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, sender));
      } finally {
        clearInterval(watch);
      }
      expect(outcomes).toEqual(Array(CREATES).fill(refusal));
      console.info(`memory grew by ${Math.round((most - before) / MIB)} MiB`);
      expect(most - before).toBeLessThan(64 * MIB);
      const left = readdirSync(join(server.data, 'blobs'), { recursive: true, withFileTypes: true });
      expect(left.filter((entry) => entry.isFile())).toEqual([]);
      expect(server.gatewayPid()).toBeDefined();
    },
  );
});
