import { expect, it } from 'vitest';
import { PullProgress } from './pull-progress.ts';

const MIB = 1024 * 1024;

it('of Docker is told in layers and bytes', () => {
  const progress = new PullProgress();
  expect(progress.describe()).toBeUndefined();
  const hear = (id: string, status: string, current?: number, total?: number) =>
    progress.hear({ id, status, progressDetail: total === undefined ? {} : { current, total } });
  progress.hear({ id: 'v1', status: 'Pulling from team/agent' });
  expect(progress.describe()).toBeUndefined();
  hear('aaaaaaaaaaaa', 'Already exists');
  hear('bbbbbbbbbbbb', 'Pulling fs layer');
  hear('cccccccccccc', 'Pulling fs layer');
  hear('bbbbbbbbbbbb', 'Downloading', 5 * MIB, 20 * MIB);
  hear('cccccccccccc', 'Downloading', 1.5 * MIB, 2 * MIB);
  expect(progress.describe()).toBe('1 of 3 layers, 6.5 of 22 MiB');
  hear('bbbbbbbbbbbb', 'Download complete');
  hear('bbbbbbbbbbbb', 'Extracting', 1, 400 * MIB);
  hear('cccccccccccc', 'Pull complete');
  expect(progress.describe()).toBe('2 of 3 layers, 22 of 22 MiB');
});

it('of Podman is told in layers', () => {
  const progress = new PullProgress();
  for (const blob of ['a', 'b', 'b']) progress.hear({ stream: `Copying blob sha256:${blob.repeat(64)}\n` });
  progress.hear({ status: `Copying blob ${'c'.repeat(12)}` });
  expect(progress.describe()).toBe('3 layers');
});
