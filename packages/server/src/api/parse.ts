import { RunsteadError } from '@runstead/contract';
import type { z } from 'zod';

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
  if (faults.length > 0) throw new RunsteadError('ERR_VALIDATION_FAILED', [...new Set(faults)].join('; '));
  return result.data as z.infer<S>;
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
      `The body is not valid JSON: ${shortened((error as Error).message)}`,
    );
  }
}

/** Names of fields that the schema does not know, so that a misspelt one does not vanish without a word. */
export function unknownFields(schema: z.ZodObject, value: unknown): string[] {
  if (value === null || typeof value !== 'object') return [];
  return Object.keys(value).filter((key) => !(key in schema.shape));
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item)]),
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
      // Where the schema words the rule itself, the field is all that is missing.
      if (issue.input === undefined) return [`${path} ${issue.message}`];
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
      typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part),
    '',
  );
}

function isSecret(path: readonly PropertyKey[]): boolean {
  return path[0] === 'environmentVariables' || path.includes('password') || path.includes('armsLicenseKey');
}

const SHOWN_MAX = 80;

function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'an object';
  return shortened(JSON.stringify(value) ?? 'nothing');
}

function shortened(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}
