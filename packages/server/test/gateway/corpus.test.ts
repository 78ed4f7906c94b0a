import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { ANSWERS } from '../http/answers.ts';
import { readAnswers } from '../http/reading.ts';
import { AGENT, REQUESTS } from '../http/requests.ts';
import {
  closeAtEnd,
  INVOKE,
  instanceOf,
  rawConnection,
  runtime,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

/** The corpus of `test/http`, sent at a running gateway: nothing that it refuses is passed on, and nothing is mixed up. */

test('both corpora mean the same agent', () => {
  expect(INVOKE).toBe(AGENT);
});

test.each(REQUESTS.map((row) => [row.name, row] as const))('request: %s', async (_, row) => {
  const agent = await recordingAgent();
  const control: string[] = [];
  const controlSocket = await startControl((request, response) => {
    control.push(request.url!);
    response.setHeader('x-answers', 'control').end();
  });
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent.instance], slots: 50 }] })],
  });
  const client = await rawConnection(gateway.port);
  const methods = row.messages.map(({ method }) => method);
  const answers = () =>
    readAnswers([Buffer.from(client.state.text, 'latin1')], [...methods, 'GET']).messages.filter(
      ({ head }) => head.status >= 200,
    );
  const told = () =>
    answers().map(({ head }) => {
      const at = head.section.names.findIndex(({ lower }) => lower === 'x-answers');
      return at === -1 ? head.status : head.section.fields[2 * at + 1];
    });
  const isOver = () => client.state.ended || client.state.closed;
  client.socket.write(row.raw, 'latin1');

  const who = row.messages.map((_message, index) => row.gateway?.[index] ?? 'agent');
  const passed = row.messages.filter((_message, index) => who[index] === 'agent');
  const asSeen = passed.map(({ method, target, body }) => ({ method, target: restOf(target), body }));
  const wanted = row.messages.map(({ target }, index) =>
    who[index] === 'agent' ? restOf(target) : who[index],
  );
  const isLast = row.status !== undefined || row.messages.at(-1)?.keepAlive === false;

  if (row.unfinished) client.socket.end();
  if (isLast || row.unfinished) {
    await until(isOver, 'the end of the connection');
  } else {
    await until(() => isOver() || answers().length >= wanted.length, 'answers');
  }
  if (row.unfinished)
    expect(told().filter((answer) => typeof answer !== 'number' || answer < 400)).toEqual([]);
  else expect(told()).toEqual([...wanted, ...(row.status === undefined ? [] : [row.status])]);
  // Requests that came at once may reach it in any order; answers keep theirs.
  expect(agent.seen.map(asText).sort()).toEqual(asSeen.map(asText).sort());
  expect(control).toHaveLength(who.filter((one) => one === 'control').length);
  expect(agent.faults).toEqual([]);

  if (isOver()) return;
  client.socket.write(`GET ${AGENT}/second HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(() => isOver() || answers().length > wanted.length, 'the second answer');
  const isAnswered = answers().length > wanted.length;
  expect(told().slice(wanted.length)).toEqual(isAnswered ? ['/second'] : []);
  expect(agent.seen.slice(asSeen.length)).toEqual(
    isAnswered ? [{ method: 'GET', target: '/second', body: '' }] : [],
  );
  // Only what the gateway itself has refused may cost the connection.
  if (who.every((one) => typeof one === 'string')) expect(isAnswered).toBe(true);
});

test.each(ANSWERS.map((row) => [row.name, row] as const))('answer: %s', async (_, row) => {
  const agent = await rawAgent(row.raw, row.ends);
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 50 }] })],
  });
  const client = await rawConnection(gateway.port);
  const read = () => {
    const reading = readAnswers([Buffer.from(client.state.text, 'latin1')], [row.method, 'GET']);
    return { ...reading, answers: reading.messages.filter(({ head }) => head.status >= 200) };
  };
  const isOver = () => client.state.ended || client.state.closed;
  client.socket.write(`${row.method} ${AGENT}/first HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(() => isOver() || read().answers.length > 0, 'an answer');

  const [answer] = read().answers;
  if (row.outcome === 'whole') {
    expect(answer).toMatchObject({ head: { status: row.status }, body: row.body });
    expect(answer!.head.section.has('x-acs-request-id')).toBe(true);
  } else if (row.outcome === 'refused' || answer !== undefined) {
    expect(answer?.head.status).toBe(502);
    expect(answer!.head.section.value('x-runstead-error-origin')).toBe('platform');
  } else {
    expect(client.state.text === '' || read().isUnfinished).toBe(true);
  }
  expect(client.state.text).not.toContain('poison');

  if (!isOver()) {
    client.socket.write(`GET ${AGENT}/second HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => isOver() || read().answers.length > 1, 'the second answer');
    for (const { body } of read().answers.slice(1)) expect(body).toBe('second');
  }
  const other = await rawConnection(gateway.port);
  other.socket.write(`GET ${AGENT}/second HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  await until(() => other.state.ended || other.state.closed, 'the answer of another client');
  const third = readAnswers([Buffer.from(other.state.text, 'latin1')], 'GET');
  expect(third.messages.map(({ head, body }) => [head.status, body])).toEqual([[200, 'second']]);
});

const asText = (seen: object) => JSON.stringify(seen);

function restOf(target: string): string {
  const rest = target.replace(/^https?:\/\/[^/]*/i, '').slice(AGENT.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** An agent that reads with Node's parser and says which request an answer is for. */
async function recordingAgent() {
  const seen: { method: string; target: string; body: string }[] = [];
  const faults: string[] = [];
  const take = (request: IncomingMessage) => {
    let body = '';
    request.on('error', () => {});
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1');
    });
    request.on('end', () => {
      if (request.complete) seen.push({ method: request.method!, target: request.url!, body });
    });
  };
  const server = createHttpServer(
    { maxHeaderSize: 256 * 1024, keepAliveTimeout: 60_000 },
    (request, response) => {
      take(request);
      request.on('end', () => response.setHeader('x-answers', request.url!).end(request.url));
    },
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // A gateway that gives up a request half-way closes the connection; anything else it should not have sent.
    if (error.code?.startsWith('HPE_') && error.code !== 'HPE_INVALID_EOF_STATE') faults.push(error.code);
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAtEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  return { instance: instanceOf(server.address() as AddressInfo), seen, faults };
}

/** An agent that answers the call to `/first` with the bytes given, and all others well. */
async function rawAgent(raw: string, ends: boolean) {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const isFirst = text.slice(0, end).includes(' /first ');
        text = text.slice(end + 4);
        if (!isFirst) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond');
        else if (ends) socket.end(raw, 'latin1');
        else socket.write(raw, 'latin1');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAtEnd(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return instanceOf(server.address() as AddressInfo);
}
