import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { newRequestId, requestIds } from './request-id.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/;

test('an id has the shape of a random UUID, whichever number it is', () => {
  for (let number = 0; number < 10_000; number++) expect(newRequestId()).toMatch(UUID);
});

test('no id comes twice, over several blocks of numbers', () => {
  const next = requestIds();
  const seen = new Set<string>();
  for (let number = 0; number < 20_000; number++) seen.add(next());
  expect(seen.size).toBe(20_000);
});

test('two makers that run at the same time share no id', () => {
  const [one, other] = [requestIds(), requestIds()];
  const seen = new Set<string>();
  for (let number = 0; number < 5000; number++) seen.add(one()).add(other());
  expect(seen.size).toBe(10_000);
});

test('a process that starts anew begins elsewhere', () => {
  const file = fileURLToPath(new URL('../../dist/observe/request-id.js', import.meta.url));
  const script = `import(${JSON.stringify(file)}).then((m) => console.log(m.newRequestId()))`;
  const first = () => execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim();
  const ids = [first(), first(), newRequestId()];
  for (const id of ids) expect(id).toMatch(UUID);
  expect(new Set(ids.map((id) => id.slice(0, 24))).size).toBe(3);
}, 30_000);
