// Takes a port the moment it is free and answers everything there, health checks included, as "squatter".
//
//   node squatter.mjs PORT
//
// Says `held` when it has the port. Asked over IPC, it says how many connections and which requests it got.

import { createServer } from 'node:http';

const port = Number(process.argv[2]);
const requests = [];
let connections = 0;

const server = createServer((request, response) => {
  requests.push(`${request.method} ${request.url}`);
  response.end('squatter');
});
server.on('connection', () => connections++);
server.on('upgrade', (request, socket) => {
  requests.push(`${request.method} ${request.url}`);
  socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: squatter\r\n\r\nsquatter');
});
server.on('error', (error) => {
  if (error.code !== 'EADDRINUSE') throw error;
  setImmediate(take);
});
server.on('listening', () => process.send('held'));
process.on('message', () => process.send({ connections, requests }));
process.on('disconnect', () => process.exit());

function take() {
  server.listen(port, '127.0.0.1');
}
take();
