import { RunsteadError } from '@runstead/contract';
import { z } from 'zod';
import type { Call } from './call.ts';

/**
 * Reads a value by a schema. Nulls count as absent, unknown fields are passed over.
 * @param more faults the schema cannot see; all are reported together
 * @throws RunsteadError ERR_VALIDATION_FAILED naming every offending field with the value seen
 */
export function parse<S extends z.ZodType>(
  schema: S,
  value: unknown,
  more: (value: Record<string, unknown>) => string[] = () => [],
): z.infer<S> {
  const given = withoutNulls(value);
  if (given === null || typeof given !== 'object' || Array.isArray(given)) {
    throw new RunsteadError('ERR_VALIDATION_FAILED', `The body must be a JSON object (got ${show(given)})`);
  }
  const result = schema.safeParse(given, { reportInput: true });
  const faults = [
    ...(result.error?.issues.flatMap(describe) ?? []),
    ...more(given as Record<string, unknown>),
  ];
  if (faults.length > 0) throw new RunsteadError('ERR_VALIDATION_FAILED', listed(faults, '; ', FAULTS_MAX));
  return result.data as z.infer<S>;
}

/**
 * Reads the query of a request by a schema. An empty parameter is an absent one: forms send all they have.
 * @throws RunsteadError ERR_VALIDATION_FAILED
 */
export function parseQuery<S extends z.ZodType>(schema: S, query: Record<string, string>): z.infer<S> {
  return parse(schema, Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '')));
}

/** @throws RunsteadError ERR_BAD_REQUEST */
export function parseJson(text: string): unknown {
  if (text.trim() === '')
    throw new RunsteadError('ERR_BAD_REQUEST', 'The body is empty; a JSON object is needed');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      `The body is not valid JSON: ${withoutExcerpt((error as Error).message)}`,
    );
  }
}

/** Says which fields the schema does not know, so that a misspelt one does not vanish without a word. */
export function warnOfUnknown(call: Pick<Call, 'warn'>, schema: z.ZodType, value: unknown): void {
  const unknown = unknownFields(schema, value, []);
  if (unknown.length > 0) {
    call.warn(`ignored fields that are not known: ${listed(unknown, ', ', UNKNOWN_MAX)}`);
  }
}

function unknownFields(schema: z.ZodType, value: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional) return unknownFields(schema.unwrap() as z.ZodType, value, path);
  if (value === null || typeof value !== 'object') return [];
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.flatMap((item, at) => unknownFields(schema.element as z.ZodType, item, [...path, at]));
  }
  if (!(schema instanceof z.ZodObject) || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    Object.hasOwn(schema.shape, key)
      ? unknownFields(schema.shape[key] as z.ZodType, item, [...path, key])
      : [fieldPath([...path, key])],
  );
}

/** So many faults and unknown fields are named; an answer has to stay readable, and a header field short. */
const FAULTS_MAX = 100;
const UNKNOWN_MAX = 10;

function listed(texts: readonly string[], separator: string, max: number): string {
  const distinct = [...new Set(texts)];
  const more = distinct.length - max;
  return [...distinct.slice(0, max), ...(more > 0 ? [`and ${more} more`] : [])].join(separator);
}

/** The parser's message without the piece of the body that it quotes: secrets may stand there. */
function withoutExcerpt(message: string): string {
  return message.replace(/(?:, )?(?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/s, '') || 'it cannot be read';
}

/** No field of the contract lies nearly as deep. */
const DEPTH_MAX = 64;

function withoutNulls(value: unknown, depth = 0): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (depth > DEPTH_MAX) {
    throw new RunsteadError('ERR_VALIDATION_FAILED', `The body is nested more than ${DEPTH_MAX} levels deep`);
  }
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item, depth + 1)]),
  );
}

function describe(issue: z.core.$ZodIssue): string[] {
  const path = fieldPath(issue.path);
  const got = `(got ${isSecret(issue.path) ? 'a value that is not shown' : show(issue.input)})`;
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return [`${REQUIRED_LABELS[path] ?? path} is required`];
      return [`${path} must be ${TYPES[issue.expected] ?? issue.expected} ${got}`];
    case 'invalid_value':
      if (issue.input === undefined) return [`${path} is required`];
      return [`${path} must be one of ${issue.values.map(String).join(', ')} ${got}`];
    case 'too_small':
      return [`${path} must ${measure(issue.origin, 'at least', issue.minimum)} ${got}`];
    case 'too_big':
      return [`${path} must ${measure(issue.origin, 'at most', issue.maximum)} ${got}`];
    case 'invalid_key':
      return [`${path} ${issue.issues[0]?.message ?? 'has an invalid name'} ${got}`];
    default:
      // What is required was not seen: the value at hand is that of the object around it.
      if (issue.input === undefined || issue.message.startsWith('is required'))
        return [`${path} ${issue.message}`];
      return [
        `${path} ${issue.message.replace(new RegExp(`^${issue.path.at(-1)?.toString()} `), '')} ${got}`,
      ];
  }
}

/** The official clients' users know these three in this form (contract: CreateAgentRuntimeInput). */
const REQUIRED_LABELS: Record<string, string> = { cpu: 'CPU', memory: 'Memory', port: 'Port' };

const TYPES: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

function measure(origin: string, bound: string, limit: number | bigint): string {
  if (origin === 'string') return `have ${bound} ${limit} characters`;
  if (origin === 'array') return `have ${bound} ${limit} entries`;
  return `be ${bound} ${limit}`;
}

function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${keyName(part)}` : keyName(part),
    '',
  );
}

/** What follows a "=" in a name is a value that slid into it, as likely as not a secret. */
function keyName(key: PropertyKey): string {
  return shortened(String(key).replace(/=.*$/s, '=…'));
}

/** Values under these are never shown; nor is what was given in the place of the objects that hold them. */
const SECRET_FIELDS = new Set<PropertyKey>(['environmentVariables', 'authConfig', 'armsConfiguration']);

function isSecret(path: readonly PropertyKey[]): boolean {
  // `value` at the top is that of a secret; no other body has such a field.
  const isValue = path.length === 1 && path[0] === 'value';
  return isValue || path.some((part) => SECRET_FIELDS.has(part)) || path.at(-1) === 'registryConfig';
}

const SHOWN_MAX = 80;

function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'an object';
  return shortened(JSON.stringify(value) ?? 'nothing');
}

/** A text that a person can still take in. */
export function shortened(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}
