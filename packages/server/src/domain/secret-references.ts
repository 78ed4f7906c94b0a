/** A variable of an agent may refer to a secret in place of holding it: its whole value is then `secret://` and a name. */
const PREFIX = 'secret://';

/** Begins with a letter; letters, digits, `_` and `-`; at most 64 characters. */
export const SECRET_NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** In words, for whoever wrote it otherwise. */
export const SECRET_NAME_FORM = 'a name of 1 to 64 letters, digits, "_" and "-" that begins with a letter';

type Variables = Readonly<Record<string, string>>;

/** Variables that refer to a secret, with the names of the secrets. */
export function secretReferences(variables: Variables): Map<string, string> {
  return new Map(
    Object.entries(variables)
      .filter(([, value]) => value.startsWith(PREFIX))
      .map(([variable, value]) => [variable, value.slice(PREFIX.length)]),
  );
}

/** One sentence for each variable that would refer to a secret and names none; never with the value. */
export function referenceFaults(variables: Variables): string[] {
  return [...secretReferences(variables)]
    .filter(([, name]) => !SECRET_NAME_PATTERN.test(name))
    .map(
      ([variable]) =>
        `environmentVariables.${variable} must be secret:// and ${SECRET_NAME_FORM}, since it begins with secret:// (got a value that is not shown)`,
    );
}

/** What an agent is given where references stand. */
export interface ResolvedVariables {
  variables: Record<string, string>;
  /** Names of the variables whose values are secrets, whatever they are called. */
  secretVariables: string[];
  /** Variables whose secrets are not there, with the names of these. */
  missing: [variable: string, name: string][];
}

/** Puts the secrets where they are referred to. A value is taken as it is, whatever it looks like. */
export function resolveReferences(
  variables: Variables,
  secrets: ReadonlyMap<string, string>,
): ResolvedVariables {
  const resolved: ResolvedVariables = { variables: { ...variables }, secretVariables: [], missing: [] };
  for (const [variable, name] of secretReferences(variables)) {
    const value = secrets.get(name);
    if (value === undefined) resolved.missing.push([variable, name]);
    else {
      resolved.variables[variable] = value;
      resolved.secretVariables.push(variable);
    }
  }
  return resolved;
}
