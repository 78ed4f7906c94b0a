import { expect, test } from 'vitest';
import { parseDomains } from './custom-domains.ts';

const refuse = (fault: string): never => {
  throw new Error(fault);
};

test('a host stands for an endpoint, Default unless another is named', () => {
  expect(parseDomains(['Chat.Example.com = hello/blue', 'api.example.com=other'], refuse)).toEqual([
    { host: 'chat.example.com', runtimeName: 'hello', endpointName: 'blue' },
    { host: 'api.example.com', runtimeName: 'other', endpointName: 'Default' },
  ]);
});

test.each([
  ['chat.example.com', /got "chat\.example\.com"/],
  ['chat.example.com=a=b', /got "/],
  ['=hello', /"" is no DNS name/],
  ['chat.example.com:443=hello', /no DNS name/],
  ['*.example.com=hello', /no DNS name/],
  ['10.0.0.7=hello', /no DNS name/],
  ['localhost=hello', /this machine's own name/],
  ['chat.example.com=', /"" is no runtime/],
  ['chat.example.com=1x', /"1x" is no runtime/],
  ['chat.example.com=hello/', /"hello\/" is no runtime/],
  ['chat.example.com=hello/Default/x', /is no runtime/],
])('"%s" is refused', (entry, says) => {
  expect(() => parseDomains([entry], refuse)).toThrow(says);
});

test('a host that is there twice is refused, however it is spelled', () => {
  expect(() => parseDomains(['a.example=x', 'A.example=y'], refuse)).toThrow(/"a\.example" is there twice/);
});
