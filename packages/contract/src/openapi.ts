import { z } from 'zod';
import { type ErrorCode, errorTable } from './errors.ts';
import { commonErrors, type Operation, operations } from './operations.ts';
import { API_VERSION } from './paths.ts';

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of the control plane, made from the operation and error tables. */
export function buildOpenApiDocument(): Json {
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: 'input',
    override: withoutIntegerBounds,
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
      headers,
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

/** Fields of answers. */
const headers = {
  RequestId: {
    description: 'Under which the server logs the call; the same as requestId in the body.',
    required: true,
    schema: { type: 'string' },
  },
  Warning: {
    description: 'Remarks that changed nothing, such as fields of the request that are not known.',
    schema: { type: 'string' },
  },
  Features: {
    description: 'What clients may rely on beyond the contract, by commas: idempotency-key.',
    required: true,
    schema: { type: 'string' },
  },
  IdempotentReplay: {
    description: 'The answer was given before, to a request under the same Idempotency-Key.',
    schema: { type: 'string', const: 'true' },
  },
  RetryAfter: {
    description: 'Seconds after which trying again makes sense.',
    schema: { type: 'integer', minimum: 0 },
  },
};

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'The request is done once: sent again under the same key within 24 hours, it gets the first answer. Another body under the key is refused.',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
};

const header = (name: keyof typeof headers) => ({ $ref: `#/components/headers/${name}` });

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
    ...((z.globalRegistry.get(schema as z.ZodType)?.parameter as Json | undefined) ?? {
      schema: inline(schema as z.ZodType),
    }),
  }));
  return {
    operationId: name,
    summary: operation.summary,
    parameters: [...parameters, ...query, ...(operation.once ? [idempotencyKey] : [])],
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
  return {
    description: 'OK',
    headers: {
      'x-acs-request-id': header('RequestId'),
      'x-runstead-features': header('Features'),
      'x-runstead-warning': header('Warning'),
      ...(operation.once && { 'x-runstead-idempotent-replay': header('IdempotentReplay') }),
    },
    content: { 'application/json': { schema } },
  };
}

/** One entry per status; codes that share a status are listed in its description. */
function failures(operation: Operation): Record<string, Json> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...commonErrors, ...operation.errors])) {
    const { status } = errorTable[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const answers: Record<string, Json> = {};
  for (const [status, codes] of [...byStatus].sort(([a], [b]) => a - b)) {
    const again = status >= 500 && codes.some((code) => errorTable[code].retryable);
    answers[String(status)] = {
      description: codes.map((code) => `${code}: ${errorTable[code].message}`).join('\n'),
      headers: {
        'x-acs-request-id': header('RequestId'),
        'x-runstead-features': header('Features'),
        ...(again && { 'retry-after': header('RetryAfter') }),
      },
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
    const required = Object.entries(schema.shape).flatMap(([key, value]) =>
      value instanceof z.ZodOptional ? [] : key,
    );
    return { type: 'object', required, properties: Object.fromEntries(properties) };
  }
  if (schema instanceof z.ZodArray) return { type: 'array', items: reference(schema.element as z.ZodType) };
  return inline(schema);
}

function inline(schema: z.ZodType): Json {
  return stripIds(z.toJSONSchema(schema, { io: 'input', override: withoutIntegerBounds }) as Json);
}

/** That an integer must be one JavaScript can count with is no bound a caller should see. */
function withoutIntegerBounds({ jsonSchema }: { jsonSchema: { minimum?: number; maximum?: number } }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** `$id` and `$schema` mean something else inside an OpenAPI document. */
function stripIds({ $id: _id, $schema: _schema, id: _name, ...rest }: Json): Json {
  return rest;
}
