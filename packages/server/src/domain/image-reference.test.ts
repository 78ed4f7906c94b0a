import { describe, expect, it } from 'vitest';
import { isLocalImage, parseImageReference, pinned } from './image-reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe("an image's name", () => {
  it.each([
    ['agent', undefined, 'agent', 'agent', undefined, undefined],
    ['team/agent:v1', undefined, 'team/agent', 'team/agent', 'v1', undefined],
    ['reg.example/team/agent', 'reg.example', 'reg.example/team/agent', 'team/agent', undefined, undefined],
    ['reg:5000/agent:1.2-rc', 'reg:5000', 'reg:5000/agent', 'agent', '1.2-rc', undefined],
    [
      '127.0.0.1:5000/a__b/c-d',
      '127.0.0.1:5000',
      '127.0.0.1:5000/a__b/c-d',
      'a__b/c-d',
      undefined,
      undefined,
    ],
    ['localhost/mine:latest', 'localhost', 'localhost/mine', 'mine', 'latest', undefined],
    [`reg.example/a:v1@${digest}`, 'reg.example', 'reg.example/a', 'a', 'v1', digest],
  ])('%s is read', (text, registry, name, path, tag, itsDigest) => {
    expect(parseImageReference(text)).toEqual({ registry, name, path, tag, digest: itsDigest });
  });

  it.each([
    '',
    ':v1',
    'Agent',
    'a b',
    'reg.example/',
    'reg.example//a',
    '../a',
    'a:',
    'a:b:c',
    'a:-x',
    'a@sha256:short',
    `a@${digest}@${digest}`,
    'https://reg.example/a',
    'reg.example:port/a',
    '--privileged',
    'a\nb',
  ])('%j is none', (text) => {
    expect(parseImageReference(text)).toBeUndefined();
  });

  it('says whether it is in a registry at all', () => {
    expect(isLocalImage(parseImageReference('localhost/mine')!)).toBe(true);
    expect(isLocalImage(parseImageReference('localhost:5000/mine')!)).toBe(false);
    expect(isLocalImage(parseImageReference('mine')!)).toBe(false);
  });

  it('is pinned without its tag', () => {
    expect(pinned(parseImageReference('reg:5000/agent:v1')!, digest)).toBe(`reg:5000/agent@${digest}`);
  });
});
