import { expect, test } from 'vitest';
import type { RuntimeRoute } from '../feed/messages.ts';
import { RouteTable } from './route-table.ts';

function route(runtimeId: string, name: string): RuntimeRoute {
  return { runtimeId, name, state: 'serving', endpoints: [], versions: [] };
}

test('a snapshot replaces everything and names all runtimes it touched', () => {
  const table = new RouteTable();
  expect(table.installed).toBe(false);
  table.installSnapshot([route('1', 'a'), route('2', 'b')]);
  expect(table.installSnapshot([route('2', 'b'), route('3', 'c')]).sort()).toEqual(['1', '2', '3']);
  expect(table.byName('a')).toBeUndefined();
  expect(table.byId('1')).toBeUndefined();
  expect(table.byName('c')?.runtimeId).toBe('3');
  expect(table.installed).toBe(true);
});

test('routes replace one runtime, and null removes it', () => {
  const table = new RouteTable();
  table.installSnapshot([route('1', 'a'), route('2', 'b')]);
  table.install('1', { ...route('1', 'a'), state: 'deleting' });
  expect(table.byName('a')?.state).toBe('deleting');
  table.install('1', null);
  expect(table.byName('a')).toBeUndefined();
  expect(table.byName('b')).toBeDefined();
});

test('removing a runtime leaves the one that took over its name', () => {
  const table = new RouteTable();
  table.install('1', route('1', 'a'));
  table.install('2', route('2', 'a'));
  table.install('1', null);
  expect(table.byName('a')?.runtimeId).toBe('2');
});
