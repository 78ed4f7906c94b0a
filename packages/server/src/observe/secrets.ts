const SECRET_NAME = /KEY|TOKEN|SECRET|PASSWORD/i;

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/**
 * What must not show in a log: the values of variables that are named like secrets. Longest first.
 * @param known further variables whose values are secrets, whatever they are called
 */
export function secretsIn(
  environment: Readonly<Record<string, string | undefined>>,
  known: readonly string[] = [],
): string[] {
  const values = Object.entries(environment)
    .filter(([name]) => isSecretName(name) || known.includes(name))
    // A log is masked line by line; so are values of several lines.
    .flatMap(([, value = '']) => [value, ...value.split(/\r?\n/)])
    .filter((value) => value.length >= 4);
  return [...new Set(values)].sort((a, b) => b.length - a.length);
}

/** @param secrets longest first, so that none is hidden by a part of itself */
export function mask(text: string, secrets: readonly string[]): string {
  return secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text);
}
