// An agent that streams: server-sent events of 50 bytes, chunked, one every so many milliseconds on each connection,
// spread evenly over time, until it is told to stop. `GET …?every=10`; messages: `count` is answered with how many went out.
import { createServer } from 'node:net';

const EVENT = `data: ${'.'.repeat(42)}\n\n`;
const CHUNK = Buffer.from(`${EVENT.length.toString(16)}\r\n${EVENT}\r\n`);
const HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n';
if (EVENT.length !== 50) throw new Error('an event has not 50 bytes');

/** Streams by the milliseconds between two of their events; of each the sockets by the millisecond in which theirs falls. */
const streams = new Map();
let opened = 0;
let sent = 0;

const server = createServer({ noDelay: true }, (socket) => {
  let head = '';
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    head += bytes.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    const every = Number(/[?&]every=(\d+)/.exec(head)?.[1] ?? 10);
    head = '';
    socket.write(HEAD);
    if (!streams.has(every))
      streams.set(
        every,
        Array.from({ length: every }, () => new Set()),
      );
    const turn = streams.get(every)[opened++ % every];
    turn.add(socket);
    socket.once('close', () => turn.delete(socket));
  });
});
server.listen(0, '127.0.0.1', 4096, () => process.send({ port: server.address().port }));

// Late ticks are made up for, so that the rate holds whatever the machine does.
let tick = Math.floor(performance.now());
setInterval(() => {
  for (const now = Math.floor(performance.now()); tick < now; tick++) {
    for (const [every, turns] of streams) {
      for (const socket of turns[tick % every]) {
        socket.write(CHUNK);
        sent++;
      }
    }
  }
}, 1);

process.on('message', (asked) => {
  if (asked === 'count') process.send({ sent });
});
