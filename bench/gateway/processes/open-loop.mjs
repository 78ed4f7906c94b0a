// Calls that come whether or not those before them are answered, at a fixed rate. Each message
// `{ port, path, perSecond, seconds }` is answered, when all of its calls are, with `{ admitted, refused, failed }`: times
// in ms, counted from when a call was due, of those answered 200 and 429, and what became of others.
import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxFreeSockets: 1000 });

process.on('message', async ({ port, path, perSecond, seconds }) => {
  const figures = { admitted: [], refused: [], failed: [] };
  const total = perSecond * seconds;
  const begunMs = performance.now();
  const open = [];
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      for (;;) {
        const dueMs = begunMs + (open.length * 1000) / perSecond;
        if (dueMs > performance.now()) return;
        open.push(call(port, path, dueMs, figures));
        if (open.length === total) {
          clearInterval(timer);
          return resolve();
        }
      }
    }, 1);
  });
  await Promise.all(open);
  process.send(figures);
});

function call(port, path, dueMs, { admitted, refused, failed }) {
  return new Promise((resolve) => {
    const sent = request({ port, host: '127.0.0.1', path, method: 'POST', agent }, (response) => {
      response.resume();
      response.once('error', (error) => failed.push(`cut off: ${error.message}`));
      response.once('close', () => {
        const tookMs = performance.now() - dueMs;
        if (!response.complete) failed.push('cut off');
        else if (response.statusCode === 200) admitted.push(tookMs);
        else if (response.statusCode === 429) refused.push(tookMs);
        else failed.push(`HTTP ${response.statusCode}`);
        resolve();
      });
    });
    sent.once('error', (error) => {
      failed.push(error.message);
      resolve();
    });
    sent.end('{"messages":[{"role":"user","content":"hello"}]}');
  });
}
