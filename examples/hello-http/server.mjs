// The smallest agent: anything that answers HTTP on port 9000.

import { createServer } from 'node:http';

createServer((request, response) => {
  const [path, query] = request.url.split('?');
  if (path === '/health') {
    sendJson(response, { status: 'ok' });
    return;
  }
  if (path === '/slow') {
    const ms = Number(new URLSearchParams(query).get('ms'));
    setTimeout(() => sendJson(response, { delayedMs: ms }), ms);
    return;
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (piece) => {
    body += piece;
  });
  request.on('end', () => sendJson(response, { method: request.method, path: request.url, body }));
}).listen(9000, '0.0.0.0');

function sendJson(response, value) {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
}
