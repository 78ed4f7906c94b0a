import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorTable } from './errors.ts';
import { buildOpenApiDocument } from './openapi.ts';
import { commonErrors, type Operation, operations } from './operations.ts';

interface Parameter {
  name: string;
  in: string;
  required: boolean;
  style?: string;
  explode?: boolean;
  deprecated?: boolean;
  schema: Record<string, unknown>;
}
interface Described {
  operationId: string;
  summary: string;
  parameters: Parameter[];
  requestBody?: { required: boolean; content: { 'application/json': { schema: { $ref: string } } } };
  responses: Record<
    string,
    { description: string; headers: Record<string, unknown>; content: Record<string, { schema: unknown }> }
  >;
}
type Schema = { type?: string; properties?: Record<string, unknown>; required?: string[] };
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Described>>;
  security: Record<string, string[]>[];
  components: {
    schemas: Record<string, Schema>;
    securitySchemes: Record<string, unknown>;
    headers: Record<string, unknown>;
  };
}

const built = buildOpenApiDocument() as unknown as Document;
const described = Object.entries(built.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

/** Every object in the document, with where it stands. */
function* objects(value: unknown, at = '#'): Generator<[string, Record<string, unknown>]> {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) yield [at, value as Record<string, unknown>];
  for (const [key, item] of Object.entries(value)) yield* objects(item, `${at}/${key}`);
}

describe('docs/openapi.json', () => {
  it('is what the tables give', () => {
    const file = new URL('../../../docs/openapi.json', import.meta.url);
    const written = readFileSync(file, 'utf8');
    expect(written === `${JSON.stringify(built, null, 2)}\n`, 'run npm run openapi').toBe(true);
  });
});

describe('the OpenAPI document', () => {
  it('is of version 3.1 and has every operation once', () => {
    expect(built.openapi).toBe('3.1.0');
    const ids = described.map(({ operation }) => operation.operationId);
    expect([...ids].sort()).toEqual(Object.keys(operations).sort());
    for (const { path, method, operation } of described) {
      const { method: expected, ...rest } = operations[operation.operationId as keyof typeof operations];
      expect([path, method]).toEqual([rest.path, expected.toLowerCase()]);
    }
  });

  it('refers only to what it has', () => {
    const referred = new Set<string>();
    for (const [at, { $ref }] of objects(built)) {
      if ($ref === undefined) continue;
      expect($ref, at).toMatch(/^#\/components\/(schemas|headers)\/\w+$/);
      const [, , kind, name] = String($ref).split('/') as [string, string, 'schemas' | 'headers', string];
      expect(built.components[kind], at).toHaveProperty(name);
      referred.add(name);
    }
    // And has nothing that nobody refers to.
    expect([...referred].sort()).toEqual(
      [...Object.keys(built.components.schemas), ...Object.keys(built.components.headers)].sort(),
    );
    for (const requirement of built.security) {
      for (const scheme of Object.keys(requirement))
        expect(built.components.securitySchemes).toHaveProperty(scheme);
    }
  });

  it('has no word that means something else inside it, and no bound that is none', () => {
    for (const [at, value] of objects(built)) {
      if (!at.endsWith('/properties')) {
        expect(value, at).not.toHaveProperty('$id');
        expect(value, at).not.toHaveProperty('$schema');
        expect(value, at).not.toHaveProperty('$defs');
        expect(value, at).not.toHaveProperty('nullable');
      }
      expect(Object.values(value), at).not.toContain(Number.MAX_SAFE_INTEGER);
      expect(Object.values(value), at).not.toContain(Number.MIN_SAFE_INTEGER);
      if (typeof value.pattern === 'string')
        expect(() => new RegExp(value.pattern as string, 'u'), at).not.toThrow();
    }
  });

  it.each(described)('declares every part of $method $path', ({ path, operation }) => {
    const inPath = operation.parameters.filter((parameter) => parameter.in === 'path');
    expect(inPath.map(({ name }) => `{${name}}`)).toEqual(path.match(/\{\w+\}/g) ?? []);
    for (const { required, schema } of inPath) {
      expect(required).toBe(true);
      expect(schema).toEqual({ type: 'string', format: 'uuid' });
    }
    const names = operation.parameters.map(({ name, in: place }) => `${place} ${name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(described)('describes each query parameter of $method $path as it is sent', ({ operation }) => {
    const { query } = operations[operation.operationId as keyof typeof operations] as Operation;
    const inQuery = operation.parameters.filter((parameter) => parameter.in === 'query');
    expect(inQuery.map(({ name }) => name)).toEqual(Object.keys(query?.shape ?? {}));
    for (const { name, required, schema, style, explode } of inQuery) {
      expect(required).toBe(false);
      expect(schema, name).toHaveProperty('type');
      // Values joined by commas are one parameter, not one each.
      if (schema.type === 'array')
        expect({ style, explode, schema }).toMatchObject({
          style: 'form',
          explode: false,
          schema: { items: {} },
        });
      else expect(style).toBeUndefined();
    }
  });

  it('has lists, numbers and defaults where the query has them', () => {
    const list = built.paths['/2025-09-10/agents/runtimes']!.get!;
    const by = Object.fromEntries(list.parameters.map((parameter) => [parameter.name, parameter]));
    expect(by.pageNumber!.schema).toMatchObject({ type: 'integer', minimum: 1, default: 1 });
    expect(by.pageSize!.schema).toMatchObject({ type: 'integer', minimum: 1, default: 50 });
    expect(by.status!.schema).toEqual({
      type: 'array',
      items: { $ref: '#/components/schemas/ResourceStatus' },
    });
    for (const name of ['systemTags', 'workspaceIds']) {
      expect(by[name]!.schema).toEqual({ type: 'array', items: { type: 'string' } });
    }
    expect(by.resourceGroupId!.deprecated).toBe(true);
  });

  it.each(described)('describes body and answers of $method $path', ({ operation }) => {
    const { body, errors } = operations[operation.operationId as keyof typeof operations] as Operation;
    expect(operation.requestBody?.required).toBe(body ? true : undefined);
    if (operation.requestBody) {
      expect(operation.requestBody.content['application/json'].schema.$ref).toMatch(/Input$/);
    }
    const codes = [...commonErrors, ...errors];
    const statuses = [200, ...codes.map((code) => errorTable[code].status)];
    expect(Object.keys(operation.responses).map(Number)).toEqual(
      [...new Set(statuses)].sort((a, b) => a - b),
    );
    for (const code of codes) {
      const { description } = operation.responses[errorTable[code].status]!;
      expect(description.split('\n').filter((line) => line.startsWith(`${code}: `))).toHaveLength(1);
    }
    for (const [status, { headers, content }] of Object.entries(operation.responses)) {
      expect(headers).toHaveProperty('x-acs-request-id');
      const { schema } = content['application/json']!;
      if (status === '200') {
        expect(schema).toMatchObject({
          required: ['code', 'requestId', 'data'],
          properties: { code: { const: 'SUCCESS' } },
        });
      } else {
        expect(schema).toEqual({ $ref: '#/components/schemas/Error' });
      }
    }
  });

  it.each(described)('says whether $method $path is done once for a key', ({ method, operation }) => {
    const { once } = operations[operation.operationId as keyof typeof operations] as Operation;
    // A POST creates, and would create twice.
    expect(once === true).toBe(method === 'post');
    const keys = operation.parameters.filter(
      ({ name, in: place }) => place === 'header' && name === 'Idempotency-Key',
    );
    expect(keys).toHaveLength(once ? 1 : 0);
    for (const { required, schema } of keys) {
      expect(required).toBe(false);
      const pattern = new RegExp(String(schema.pattern), 'u');
      expect(['k', '!~', ' ', 'a b', 'ü', '\t'].map((key) => pattern.test(key))).toEqual([
        true,
        true,
        false,
        false,
        false,
        false,
      ]);
      expect(schema).toMatchObject({ minLength: 1, maxLength: 255 });
    }
    const ok = operation.responses['200']!.headers;
    if (once) expect(ok).toHaveProperty('x-runstead-idempotent-replay');
    else expect(ok).not.toHaveProperty('x-runstead-idempotent-replay');
    for (const { headers } of Object.values(operation.responses))
      expect(headers).toHaveProperty('x-runstead-features');
  });

  it('says what must be given, and what a page always has', () => {
    const required = Object.fromEntries(
      Object.entries(built.components.schemas).flatMap(([name, schema]) =>
        schema.required ? [[name, [...schema.required].sort()]] : [],
      ),
    );
    expect(required).toEqual({
      CreateAgentRuntimeInput: ['agentRuntimeName', 'artifactType', 'cpu', 'memory', 'port'],
      CreateAgentRuntimeEndpointInput: ['agentRuntimeEndpointName'],
      CreateWorkspaceInput: ['name'],
      VersionWeight: ['version', 'weight'],
      Error: ['code', 'message', 'requestId'],
    });
    for (const { operation } of described.filter(({ operation }) =>
      operation.operationId.startsWith('List'),
    )) {
      const { schema } = operation.responses['200']!.content['application/json']!;
      expect((schema as { properties: { data: Schema } }).properties.data.required).toEqual([
        operation.operationId === 'ListWorkspaces' ? 'workspaces' : 'items',
        'total',
        'pageNumber',
        'pageSize',
      ]);
    }
    for (const [at, schema] of objects(built.components.schemas)) {
      for (const name of (schema as Schema).required ?? [])
        expect((schema as Schema).properties, at).toHaveProperty(name);
    }
  });

  it('sends no package back', () => {
    expect(built.components.schemas.CodeConfigurationInput!.properties).toHaveProperty('zipFile');
    expect(built.components.schemas.CodeConfiguration!.properties).not.toHaveProperty('zipFile');
    expect(built.components.schemas.AgentRuntime!.properties).not.toHaveProperty('armsConfiguration');
  });
});
