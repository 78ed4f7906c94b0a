import { expect, it } from 'vitest';
import { descriptorLimit, descriptorsIn, mostConnections, mostHandshakes } from './descriptor-limit.ts';

it('clients may have a third of what is left besides the reserve, and never none', () => {
  expect(mostConnections(256)).toBe(53);
  expect(mostConnections(1024)).toBe(309);
  expect(mostConnections(1_048_576)).toBeGreaterThan(300_000);
  expect(mostConnections(32)).toBe(8);
  expect(mostConnections(undefined)).toBe(Number.POSITIVE_INFINITY);
});

it('beside them, a quarter may be agreeing on TLS, and no more than ever', () => {
  expect(mostHandshakes(53)).toBe(14);
  expect(mostHandshakes(Number.POSITIVE_INFINITY)).toBe(1024);
});

it('the soft limit is read as the kernel writes it', () => {
  const head = 'Limit                     Soft Limit           Hard Limit           Units     \n';
  const line = 'Max open files            256                  4096                 files     \n';
  expect(descriptorsIn(`${head}Max processes             100  100  processes\n${line}`)).toBe(256);
  expect(
    descriptorsIn(`${head}Max open files            unlimited            unlimited            files\n`),
  ).toBeUndefined();
  expect(descriptorsIn('')).toBeUndefined();
});

it('is known here, where there is /proc', (test) => {
  if (process.platform !== 'linux') return test.skip('there is no /proc on this system');
  expect(descriptorLimit()).toBeGreaterThan(0);
});
