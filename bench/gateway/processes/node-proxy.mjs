// One of Node's proxy packages, set up as its documentation advises for speed: kept connections, no log.
import { Agent, createServer } from 'node:http';

const [agentPort, name] = process.argv.slice(2);
const target = `http://127.0.0.1:${agentPort}`;
const agent = new Agent({ keepAlive: true, maxFreeSockets: 256 });

const starts = {
  async 'http-proxy-3'() {
    const { createProxyServer } = await import('http-proxy-3');
    const proxy = createProxyServer({ target, agent });
    proxy.on('error', () => {});
    return listen(createServer((request, response) => proxy.web(request, response)));
  },
  async httpxy() {
    const { createProxyServer } = await import('httpxy');
    const proxy = createProxyServer({ target, agent });
    return listen(
      createServer((request, response) => {
        proxy.web(request, response).catch(() => response.destroy());
      }),
    );
  },
  async '@fastify/http-proxy'() {
    const { default: fastify } = await import('fastify');
    const { default: httpProxy } = await import('@fastify/http-proxy');
    const app = fastify({ logger: false });
    await app.register(httpProxy, { upstream: target, undici: { connections: 256, pipelining: 1 } });
    await app.listen({ host: '127.0.0.1', port: 0 });
    return app.server.address().port;
  },
};

process.send({ port: await starts[name]() });

function listen(server) {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}
