import { z } from 'zod';
import { errorTable } from './errors.ts';
import { commonErrors, type Operation, operations } from './operations.ts';
import { API_VERSION } from './paths.ts';

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of the control plane, made from the operation and error tables. */
export function buildOpenApiDocument(): Json {
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: 'input',
  });
  const paths: Record<string, Json> = {};
  for (const [name, operation] of Object.entries(operations) as [string, Operation][]) {
    paths[operation.path] ??= {};
    paths[operation.path]![operation.method.toLowerCase()] = describe(name, operation);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Runstead agent runtimes',
      version: API_VERSION,
      description: "AgentRun's agent-runtime API as Runstead serves it.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7700' }],
    security: [{ apiKey: [] }],
    paths,
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', bearerFormat: 'rsk_…' } },
      schemas: {
        ...Object.fromEntries(Object.entries(schemas).map(([id, s]) => [id, stripIds(s as Json)])),
        Error: errorSchema,
      },
    },
  };
}

const errorSchema = {
  type: 'object',
  required: ['code', 'message', 'requestId'],
  properties: {
    code: { type: 'string', enum: Object.keys(errorTable) },
    message: { type: 'string' },
    requestId: { type: 'string' },
  },
};

function describe(name: string, operation: Operation): Json {
  const parameters = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => ({
    name: parameter,
    in: 'path',
    required: true,
    schema: { type: 'string', format: 'uuid' },
  }));
  const query = Object.entries(operation.query?.shape ?? {}).map(([parameter, schema]) => ({
    name: parameter,
    in: 'query',
    required: false,
    schema: inline(schema as z.ZodType),
  }));
  return {
    operationId: name,
    summary: operation.summary,
    parameters: [...parameters, ...query],
    ...(operation.body && {
      requestBody: { required: true, content: { 'application/json': { schema: reference(operation.body) } } },
    }),
    responses: { 200: success(operation), ...failures(operation) },
  };
}

function success(operation: Operation): Json {
  const schema = {
    type: 'object',
    required: ['code', 'requestId', 'data'],
    properties: {
      code: { const: 'SUCCESS' },
      requestId: { type: 'string' },
      data: reference(operation.data),
    },
  };
  return { description: 'OK', content: { 'application/json': { schema } } };
}

/** One entry per status; codes that share a status are listed in its description. */
function failures(operation: Operation): Record<string, Json> {
  const byStatus = new Map<number, string[]>();
  for (const code of [...commonErrors, ...operation.errors]) {
    const status = errorTable[code].status;
    byStatus.set(status, [...(byStatus.get(status) ?? []), `${code}: ${errorTable[code].message}`]);
  }
  const answers: Record<string, Json> = {};
  for (const [status, lines] of [...byStatus].sort(([a], [b]) => a - b)) {
    answers[String(status)] = {
      description: lines.join('\n'),
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
    };
  }
  return answers;
}

function reference(schema: z.ZodType): Json {
  const id = z.globalRegistry.get(schema)?.id;
  if (id !== undefined) return { $ref: `#/components/schemas/${id}` };
  if (schema instanceof z.ZodObject) {
    const properties = Object.entries(schema.shape).map(([key, value]) => [
      key,
      reference(value as z.ZodType),
    ]);
    return { type: 'object', properties: Object.fromEntries(properties) };
  }
  if (schema instanceof z.ZodArray) return { type: 'array', items: reference(schema.element as z.ZodType) };
  return inline(schema);
}

function inline(schema: z.ZodType): Json {
  return stripIds(z.toJSONSchema(schema, { io: 'input' }) as Json);
}

/** `$id` and `$schema` mean something else inside an OpenAPI document. */
function stripIds({ $id: _id, $schema: _schema, id: _name, ...rest }: Json): Json {
  return rest;
}
