import { expect, test } from 'vitest';
import { type BrokenStream, StreamTail, streamEndEvent } from './stream-end.ts';

const broken: BrokenStream = {
  contentType: 'text/event-stream',
  path: '/',
  reason: 'The instance that answers is being stopped: "version 1"\nwas replaced',
  code: 'ERR_UNAVAILABLE',
  requestId: 'r-1',
};
const MESSAGE = `${broken.reason} (request r-1)`;
const ERROR = { error: { message: MESSAGE, type: 'platform_error', code: 'ERR_UNAVAILABLE', param: null } };
const RUN_ERROR = { type: 'RUN_ERROR', message: MESSAGE, code: 'ERR_UNAVAILABLE' };

test.each<[string, Partial<BrokenStream>, object]>([
  ['OpenAI chat completions', { path: '/openai/v1/chat/completions' }, ERROR],
  ['OpenAI chat completions with a query', { path: '/v1/chat/completions?x=/ag-ui/' }, ERROR],
  ['AG-UI', { path: '/ag-ui/agent' }, RUN_ERROR],
  ['AG-UI at its root, with a query', { path: '/ag-ui?a=b' }, RUN_ERROR],
  ['AG-UI as its documentation has it', { path: '/agui/v1/run' }, RUN_ERROR],
  ['a path that only begins like AG-UI', { path: '/ag-uint/agent' }, ERROR],
  ['MCP', { path: '/mcp' }, ERROR],
  ['any path', { path: '' }, ERROR],
  ['a content type with parameters', { contentType: 'Text/Event-Stream; charset=utf-8' }, ERROR],
  ['a body that is said to be as it is', { contentEncoding: 'identity' }, ERROR],
  [
    'an agent that died',
    { code: 'ERR_AGENT_UNREACHABLE' },
    { error: { ...ERROR.error, type: 'agent_error', code: 'ERR_AGENT_UNREACHABLE' } },
  ],
])('%s is told in its own shape', (_, stream, expected) => {
  const text = streamEndEvent({ ...broken, ...stream })!.toString();
  const [event, data, ...rest] = text.split('\n');
  expect([event, ...rest]).toEqual(['event: error', '', '']);
  expect(JSON.parse(data!.slice('data: '.length))).toEqual(expected);
});

test.each<[string, Partial<BrokenStream>]>([
  ['JSON', { contentType: 'application/json' }],
  ['nothing said', { contentType: undefined }],
  ['another type of the same beginning', { contentType: 'text/event-stream-like' }],
  ['a compressed stream', { contentEncoding: 'gzip' }],
])('nothing is added to %s', (_, stream) => {
  expect(streamEndEvent({ ...broken, ...stream })).toBeUndefined();
});

/** As the specification of server-sent events says, read by its rules and not by ours. */
function eventsIn(text: string): { event: string; data: string }[] {
  const events = [];
  let event = '';
  let data: string[] = [];
  const lines = text.split(/\r\n|\r|\n/);
  // What follows the last line end is no whole line.
  lines.pop();
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push({ event: event || 'message', data: data.join('\n') });
      event = '';
      data = [];
    } else if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
    else if (line.startsWith('event:')) event = line.slice(6).trim();
  }
  return events;
}

const STREAMS = [
  'data: a\n\ndata: b\n\n',
  'data: a\r\n\r\nevent: x\r\ndata: b\r\n\r\n',
  'data: a\r\rdata: b\r\r',
  ': comment\n\nid: 1\ndata: a\ndata: b\n\n\n\ndata: c\n\n',
  '\n\n\ndata: long enough to be more than four bytes\n\n',
];

test.each(STREAMS)('cut anywhere, %j is followed by an event of its own', (stream) => {
  for (let cut = 0; cut <= stream.length; cut++) {
    // In pieces of all sizes: what a piece ends with may have begun in an earlier one.
    for (const size of [1, 2, 3, 4, 5, 7, 100]) {
      const tail = new StreamTail();
      for (let at = 0; at < cut; at += size)
        tail.passed(Buffer.from(stream.slice(at, Math.min(cut, at + size))));
      const sent = `${stream.slice(0, cut)}${tail.gap}${streamEndEvent(broken)}`;
      expect(eventsIn(sent).at(-1), JSON.stringify(sent)).toEqual({
        event: 'error',
        data: JSON.stringify(ERROR),
      });
      const before = eventsIn(`${stream.slice(0, cut)}\n\n`);
      expect(eventsIn(sent).slice(0, -1)).toEqual(before);
    }
  }
});

test.each([
  ['', ''],
  ['data: a', '\n\n'],
  ['data: a\n', '\n'],
  ['data: a\r\n', '\n'],
  ['data: a\r', '\n\n'],
  ['data: a\n\n', ''],
  ['data: a\r\n\r\n', ''],
  ['data: a\r\n\r', ''],
  ['data: a\n\r\n', ''],
])('after %j %j is enough', (sent, gap) => {
  const tail = new StreamTail();
  tail.passed(Buffer.from(sent));
  expect(tail.gap).toBe(gap);
});
