import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { endianness } from 'node:os';

/** A TCP socket that somebody listens on. */
export interface Listener {
  /** As written in a URL, without brackets: `127.0.0.1`, `::1`, `::`. */
  address: string;
  port: number;
  inode: string;
}

/**
 * Everything that listens on this machine; undefined where the kernel does not say (no /proc).
 * @param net of another network namespace: `/proc/PID/net`
 */
export function listeners(net = '/proc/net'): Listener[] | undefined {
  try {
    return [...parse(`${net}/tcp`), ...parse(`${net}/tcp6`)];
  } catch {
    return undefined;
  }
}

/**
 * A process's sockets: their inodes, each with the link in /proc that names it for as long as the process keeps it
 * open. Undefined when they are not ours to see.
 */
export function socketsOf(pid: number): Map<string, string> | undefined {
  const sockets = new Map<string, string>();
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return undefined;
  }
  for (const name of names) {
    const path = `/proc/${pid}/fd/${name}`;
    try {
      const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(path));
      if (match) sockets.set(match[1]!, path);
    } catch {
      // Closed since.
    }
  }
  return sockets;
}

/**
 * The listeners that a connection to this port can end at: those bound to the very address, else those bound to all.
 * Undefined where the kernel does not say.
 */
export function listenersAt(host: '127.0.0.1' | '::1', port: number): Listener[] | undefined {
  try {
    if (host === '127.0.0.1') {
      // Nearly always the answer, and at a tenth of the price: looking for the few IPv6 sockets the kernel goes through
      // all connections of the machine.
      const exact = parse('/proc/net/tcp').filter((it) => it.port === port && it.address === host);
      if (exact.length > 0) return exact;
    }
    const addresses = host === '::1' ? [['::1'], ['::']] : [['::ffff:7f00:1'], ['0.0.0.0', '::']];
    const there = listeners()?.filter((it) => it.port === port);
    const groups = addresses.map((group) => there?.filter((it) => group.includes(it.address)) ?? []);
    return there && (groups.find((group) => group.length > 0) ?? []);
  } catch {
    return undefined;
  }
}

export function isLoopback(address: string): boolean {
  return /^127\.|^::1$|^::ffff:7f/.test(address);
}

const LISTEN = '0A';

/**
 * Reads no further than the listening sockets, which the kernel lists first: a machine that serves many short
 * connections has tens of thousands of lines about those that are over, and writing them takes it 100 ms. In small
 * pieces, since a large one is filled with some of those.
 */
function parse(path: string): Listener[] {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (path.endsWith('6')) return []; // A kernel without IPv6.
    throw error;
  }
  const found: Listener[] = [];
  try {
    const piece = Buffer.alloc(1024);
    let rest = '';
    for (let isHeading = true; ; ) {
      const count = readSync(file, piece);
      if (count === 0) return found;
      const lines = (rest + piece.toString('latin1', 0, count)).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const fields = line.trim().split(/\s+/);
        if (!isHeading && fields[3] !== LISTEN) return found;
        if (!isHeading) found.push(readListener(fields));
        isHeading = false;
      }
    }
  } finally {
    closeSync(file);
  }
}

function readListener(fields: string[]): Listener {
  const [address, port] = fields[1]!.split(':') as [string, string];
  return { address: readAddress(address), port: Number.parseInt(port, 16), inode: fields[9]! };
}

/** Hexadecimal words of 32 bits, each in the byte order of the machine. */
function readAddress(hex: string): string {
  const words = hex.match(/.{8}/g)!.map((word) => {
    const bytes = word.match(/../g)!;
    return endianness() === 'LE' ? bytes.reverse() : bytes;
  });
  const bytes = words.flat();
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => `${bytes[2 * i]}${bytes[2 * i + 1]}`);
  // The URL parser knows the short form.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
