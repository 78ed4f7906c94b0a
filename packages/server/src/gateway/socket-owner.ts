import type { Socket } from 'node:net';

/** Whoever a socket belongs to. */
export interface SocketOwner {
  /** The other end sends no more. */
  onSocketEnd(): void;
  /** What was written has been taken. */
  onSocketDrain(): void;
  onSocketError(error: NodeJS.ErrnoException): void;
  /** The last that is told. */
  onSocketClose(): void;
}

const OWNER = Symbol('owner');

interface OwnedSocket extends Socket {
  [OWNER]: SocketOwner;
}

/**
 * Tells an owner what becomes of a socket. By the same functions for all sockets: with some of its own for each, an open
 * stream would keep half a kilobyte more.
 */
export function own(socket: Socket, owner: SocketOwner): void {
  (socket as OwnedSocket)[OWNER] = owner;
  socket.on('end', onEnd);
  socket.on('drain', onDrain);
  socket.on('error', onError);
  // `once` would add a wrapper, and it comes once anyway.
  socket.on('close', onClose);
}

function onEnd(this: OwnedSocket): void {
  this[OWNER].onSocketEnd();
}

function onDrain(this: OwnedSocket): void {
  this[OWNER].onSocketDrain();
}

function onError(this: OwnedSocket, error: NodeJS.ErrnoException): void {
  this[OWNER].onSocketError(error);
}

function onClose(this: OwnedSocket): void {
  this[OWNER].onSocketClose();
}
