/** What decides whether agents may run without a sandbox. */
export interface Exposure {
  setting: 'auto' | 'require' | 'off';
  /** Why there is no sandbox; undefined where there is one. */
  missing: string | undefined;
  /** Keys besides the one of this machine: others than its owner deploy or call. */
  hasNamedKeys: boolean;
  /** Others than this machine reach the server. */
  isPublic: boolean;
}

/**
 * Why a server must not start without a sandbox (S18). On one's own machine, for oneself alone, an agent is what it is
 * when started by hand; among several people it would read the others' files and this server's keys.
 * @returns a sentence for the operator; undefined when it may start
 */
export function sandboxFault({ setting, missing, hasNamedKeys, isPublic }: Exposure): string | undefined {
  if (missing === undefined || setting === 'off') return undefined;
  const remedy =
    'Install bubblewrap or make it work, or let agents read what the server reads with --sandbox off';
  if (setting === 'require') return `--sandbox require, but there is no sandbox: ${missing}. ${remedy}`;
  if (!hasNamedKeys && !isPublic) return undefined;
  const why = isPublic ? 'the server listens beyond loopback' : 'there are keys besides the local one';
  return `Agents must be kept apart, as ${why}, and there is no sandbox: ${missing}. ${remedy}`;
}

/** What to say to whoever makes a named key on a server without a sandbox; undefined where that changes nothing. */
export function namedKeyWarning({
  setting,
  missing,
}: Omit<Exposure, 'hasNamedKeys' | 'isPublic'>): string | undefined {
  if (missing === undefined || setting !== 'auto') return undefined;
  return `agents run without a sandbox (${missing}); with this key there, the server will not start again before there is one, or --sandbox off is said`;
}
