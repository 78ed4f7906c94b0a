/** Servers quote what they were sent; a credential in it stays out of messages. */
export function redact(text: string, secrets: readonly string[]): string {
  let redacted = text;
  for (const secret of secrets) {
    if (secret !== '') redacted = redacted.replaceAll(secret, '***');
  }
  return redacted;
}

/** Whether the value under a name is a secret: of a header, or of a field in a body. */
export function isSecretName(name: string): boolean {
  return /authorization|cookie|token|secret|passw|signature|credential$|api-?key|access-?key|license-?key|cert.*base64/i.test(
    name,
  );
}

export function redactHeaders(headers: Headers | Readonly<Record<string, string>>): Record<string, string> {
  const entries = headers instanceof Headers ? [...headers] : Object.entries(headers);
  return Object.fromEntries(entries.map(([name, value]) => [name, isSecretName(name) ? '***' : value]));
}

const MAX_DEPTH = 20;

/**
 * A body as it may stand in a log: secrets and the values of environment variables as `***`, packages as their length.
 * Other values stay what they are.
 */
export function redactBody(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) return '…';
  if (Array.isArray(value)) return value.map((item) => redactBody(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, redactField(name, field, depth)]),
  );
}

function redactField(name: string, field: unknown, depth: number): unknown {
  if (name === 'zipFile' && typeof field === 'string') return `<${field.length} characters>`;
  if (name === 'environmentVariables' && typeof field === 'object' && field !== null) {
    return Object.fromEntries(Object.keys(field).map((variable) => [variable, '***']));
  }
  if (isSecretName(name) && field !== null && field !== undefined) return '***';
  return redactBody(field, depth + 1);
}
