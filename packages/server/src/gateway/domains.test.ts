import { expect, test } from 'vitest';
import { domainOf } from './domains.ts';

const chat = { host: 'chat.example.com', runtimeName: 'hello', endpointName: 'Default' };
const domains = new Map([[chat.host, chat]]);

test.each(['chat.example.com', 'Chat.Example.com', 'chat.example.com:8443', 'chat.example.com:'])(
  'Host %s is the domain',
  (host) => {
    expect(domainOf(domains, host)).toBe(chat);
  },
);

test.each([
  ['another host', 'example.com'],
  ['one below it', 'x.chat.example.com'],
  ['no Host', undefined],
])('%s is not', (_, host) => {
  expect(domainOf(domains, host)).toBeUndefined();
});
