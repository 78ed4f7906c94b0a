// What is deployed: answers at once with what it was asked, after a while (`/slow?ms=10`), or with a stream of numbered
// events (`/stream?events=100&every=20`, the last one `done`).
import { createServer } from 'node:http';

createServer((request, response) => {
  const [path, query] = request.url.split('?');
  const number = (name) => Number(new URLSearchParams(query).get(name));
  if (path === '/slow') {
    const ms = number('ms');
    setTimeout(() => sendJson(response, { delayedMs: ms }), ms);
    return;
  }
  if (path === '/stream') {
    stream(response, number('events'), number('every'));
    return;
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (piece) => {
    body += piece;
  });
  request.on('end', () => sendJson(response, { method: request.method, path: request.url, body }));
}).listen(9000, '127.0.0.1');

function stream(response, events, everyMs) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let sent = 0;
  const timer = setInterval(() => {
    if (sent < events) response.write(`data: ${sent++}\n\n`);
    else response.end('data: done\n\n');
  }, everyMs);
  response.once('close', () => clearInterval(timer));
}

function sendJson(response, value) {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
}
