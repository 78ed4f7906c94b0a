import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startTestGateway,
  type TestAgent,
  until,
} from './harness.ts';

/** What a client sees of an event stream that ends before it is whole. */

async function streaming(first = 'data: one\n\n') {
  const open: { end: (text?: string) => void; destroy: () => void }[] = [];
  const agent: TestAgent = await startAgent((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(first);
    open.push({ end: (text) => response.end(text), destroy: () => response.destroy() });
  });
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
  });
  /** A stream under way, as its bytes on the wire. */
  const stream = async (path: string) => {
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(`GET ${INVOKE}${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => state.text.includes(first), 'the first event');
    return state;
  };
  return { agent, gateway, open, stream };
}

const over = (state: { ended: boolean; closed: boolean }) =>
  until(() => state.ended || state.closed, 'the end');

test('an agent that dies in the middle of a stream is told of in a last event, and the answer is not whole', async () => {
  const { open, stream } = await streaming();
  const state = await stream('/openai/v1/chat/completions');
  open[0]!.destroy();
  await over(state);
  const [, data] = /event: error\ndata: (\{.*\})\n\n/.exec(state.text) ?? [];
  expect(JSON.parse(data!).error).toMatchObject({
    code: 'ERR_AGENT_UNREACHABLE',
    type: 'agent_error',
    message: expect.stringContaining('broke off') as string,
  });
  expect(state.text).not.toMatch(/\r\n0\r\n\r\n$/);
});

test('an event that was half sent is ended before the last one', async () => {
  const { open, stream } = await streaming('data: half of');
  const state = await stream('/x');
  open[0]!.destroy();
  await over(state);
  expect(state.text).toMatch(/data: half of\r\n[0-9a-f]+\r\n\n\nevent: error\n/);
});

test('a stream whose instance is about to be stopped is told so, in the shape of AG-UI where that is spoken', async () => {
  const { agent, gateway, stream } = await streaming();
  const state = await stream('/ag-ui/agent');
  const instanceId = `instance-${agent.port}`;
  gateway.control.send({ type: 'cut', instanceId, reason: 'The version was replaced' });
  await over(state);
  const [, data] = /event: error\ndata: (\{.*\})\n\n/.exec(state.text) ?? [];
  expect(JSON.parse(data!)).toMatchObject({
    type: 'RUN_ERROR',
    code: 'ERR_UNAVAILABLE',
    message: expect.stringContaining('The version was replaced') as string,
  });
  await until(() => gateway.of('drained').some((said) => said.instanceId === instanceId), 'drained');
});

test('a stream that is cut at the end of a shutdown is told so', async () => {
  const { gateway, stream } = await streaming();
  const state = await stream('/x');
  gateway.control.send({ type: 'shutdown', graceMs: 20 });
  await over(state);
  expect(state.text).toContain('event: error');
  expect(state.text).toContain('The server is shutting down');
});

test('a call that has no answer yet when its instance is cut may still get it, and is told 503 when that stops', async () => {
  const open: (() => void)[] = [];
  const agent = await startAgent((_, response) => void open.push(() => response.end('in time')));
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 2 }] })],
  });
  const first = call(gateway.port, INVOKE, { body: '{}' });
  await until(() => open.length === 1, 'the first call');
  const second = call(gateway.port, INVOKE, { body: '{}' });
  await until(() => open.length === 2, 'the second call');
  gateway.control.send({ type: 'cut', instanceId: `instance-${agent.port}`, reason: 'It goes' });
  await gateway.routes({ runtimeId: 'none', gone: true });
  open[0]!();
  expect((await first).body).toBe('in time');
  await agent.close();
  const reply = await second;
  expect(reply.status).toBe(503);
  expect(reply.json().error.message).toBe('It goes');
});

test('an answer that is no event stream has nothing added when it is cut', async () => {
  const agent = await startAgent((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"half":');
    setImmediate(() => response.destroy());
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  let text = '';
  const reply = await answer;
  reply.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await expect(readAll(reply)).rejects.toThrow();
  expect(text).not.toContain('event');
});

test('an event stream that is open is counted as one, however it ends', async () => {
  const { gateway, open, stream } = await streaming();
  const streams = async () => {
    const before = gateway.of('counts').length;
    gateway.control.send({ type: 'count' });
    await until(() => gateway.of('counts').length > before, 'the counts');
    return gateway.of('counts').at(-1)!.counts.now.streams;
  };
  expect(await streams()).toBe(0);
  const [whole, brokenOff] = [await stream('/x'), await stream('/y')];
  expect(await streams()).toBe(2);
  open[0]!.end();
  await until(() => whole.text.endsWith('\r\n0\r\n\r\n'), 'the end');
  expect(await streams()).toBe(1);
  open[1]!.destroy();
  await over(brokenOff);
  expect(await streams()).toBe(0);
});
