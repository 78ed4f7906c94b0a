import type { Socket } from 'node:net';
import { RunsteadError } from '@runstead/contract';
import { newRequestId } from '../observe/request-id.ts';
import { dataPlaneError } from './errors.ts';
import { ownFields } from './exchange.ts';
import { lines, platformFields } from './headers.ts';

/** So many are told at once; of more at one time the rest is only closed: telling costs a descriptor, too. */
const TOLD_AT_ONCE = 24;
/** For somebody to say what they want, to be told, and to read it. */
const PATIENCE_MS = 1000;
const RETRY_AFTER_SECONDS = 1;

/** Sends away those who come when there is no room for another connection. */
export class FullHouse {
  readonly #told = new Set<Socket>();

  refuse(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#told.size >= TOLD_AT_ONCE) return void socket.destroy();
    this.#told.add(socket);
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#told.delete(socket);
    });
    // Said once they have asked: an answer before that would surprise many a client.
    socket.once('data', () => {
      socket.end(answer());
      // What is still coming is read away; closing instead could lose the answer on its way.
      socket.resume();
    });
    socket.once('end', () => socket.end());
  }

  /** Cuts off those who are being told. */
  close(): void {
    for (const socket of this.#told) socket.destroy();
  }
}

function answer(): Buffer {
  const requestId = newRequestId();
  const error = new RunsteadError(
    'ERR_UNAVAILABLE',
    'This server has as many connections open as it may (its limit of open files); try again in a moment',
  );
  const body = JSON.stringify({
    ...dataPlaneError(error),
    code: error.code,
    message: error.message,
    requestId,
  });
  const fields = [
    ...ownFields(body),
    'connection',
    'close',
    'retry-after',
    String(RETRY_AFTER_SECONDS),
    ...platformFields({ requestId, status: error.status, origin: 'platform', crossOrigin: undefined }),
  ];
  return Buffer.from(`HTTP/1.1 503 Service Unavailable\r\n${lines(fields)}\r\n${body}`);
}
