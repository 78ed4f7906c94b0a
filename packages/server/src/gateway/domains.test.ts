import { expect, test } from 'vitest';
import { domainOf } from './domains.ts';

const chat = { host: 'chat.example.com', runtimeName: 'hello', endpointName: 'Default' };
const domains = new Map([[chat.host, chat]]);

test.each(['chat.example.com', 'Chat.Example.com', 'chat.example.com:8443', 'chat.example.com:'])(
  'Host %s is the domain',
  (host) => {
    expect(domainOf(domains, ['host', host])).toBe(chat);
  },
);

test.each([
  ['another host', ['host', 'example.com']],
  ['one below it', ['host', 'x.chat.example.com']],
  ['no Host', []],
  ['two of them', ['host', 'chat.example.com', 'Host', 'localhost']],
  ['another field', ['x-forwarded-host', 'chat.example.com']],
])('%s is not', (_, fields) => {
  expect(domainOf(domains, fields)).toBeUndefined();
});
