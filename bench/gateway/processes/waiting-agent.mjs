// An agent that is slow without being busy: it answers every call after so many milliseconds.
import { createServer } from 'node:http';

const waitMs = Number(process.argv[2]);
const text = JSON.stringify({ waitedMs: waitMs });

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  request.resume();
  setTimeout(() => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length });
    response.end(text);
  }, waitMs);
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
