import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { errorTable } from './errors.ts';
import { commonErrors, type Operation, operations } from './operations.ts';
import { operationPaths } from './paths.ts';

const all = Object.entries(operations) as [keyof typeof operations, Operation][];

describe('the table of operations', () => {
  it('has the operations that have a path, and no others', () => {
    expect(Object.keys(operations).sort()).toEqual(Object.keys(operationPaths).sort());
  });

  it.each(all)('has %s where its path says', (name, { method, path }) => {
    expect({ method, path }).toEqual(operationPaths[name]);
  });

  it('gives no two operations the same method and path', () => {
    const places = all.map(([, { method, path }]) => `${method} ${path}`);
    expect(new Set(places).size).toBe(places.length);
  });

  it.each(all)('gives %s a body exactly where its method has one', (_name, { method, body, query }) => {
    expect(body !== undefined).toBe(method === 'POST' || method === 'PUT');
    if (query) expect(method).toBe('GET');
  });

  it.each(all)('names each error of %s once, and what its shape brings about', (_name, operation) => {
    const { errors, path, body, query } = operation;
    expect(new Set(errors).size).toBe(errors.length);
    for (const code of errors) {
      expect(errorTable).toHaveProperty(code);
      expect(commonErrors).not.toContain(code);
    }
    if (path.includes('{')) expect(errors).toContain('ERR_NOT_FOUND');
    if (query?.shape.pageSize) expect(errors).toContain('ERR_VALIDATION_FAILED');
    if (body) {
      expect(errors).toEqual(
        expect.arrayContaining([
          'ERR_VALIDATION_FAILED',
          'ERR_PAYLOAD_TOO_LARGE',
          'ERR_UNSUPPORTED_MEDIA_TYPE',
        ]),
      );
    }
  });

  it.each(all)('says of %s what it does, in a line', (_name, { summary }) => {
    expect(summary).toMatch(/^[A-Z][^\n]{5,90}$/);
  });

  it('takes every query parameter as text, and none of them must be given', () => {
    for (const [, { query }] of all) {
      if (!query) continue;
      expect(query.parse({})).toEqual({});
      for (const schema of Object.values(query.shape)) expect(schema).toBeInstanceOf(z.ZodOptional);
    }
  });

  it('answers lists with items and their place; workspaces have a name of their own', () => {
    for (const [name, { data }] of all) {
      const fields = data instanceof z.ZodObject ? Object.keys(data.shape) : [];
      const items = name === 'ListWorkspaces' ? 'workspaces' : 'items';
      const isPage = [items, 'total', 'pageNumber', 'pageSize'].every((field) => fields.includes(field));
      expect(isPage).toBe(name.startsWith('List'));
    }
  });
});
