/** What an agent says its start has looked up and loaded. Nothing of it is believed without a look at the package. */
export interface StartClaim {
  /** Such as `v24.21.0`. */
  node: string;
  /** Why it is not to be kept. */
  unfit?: string;
  resolves: readonly ClaimedResolve[];
  loads: readonly ClaimedLoad[];
}

export interface ClaimedResolve {
  /** URL of the module that asks; empty: the process itself. */
  parent: string;
  conditions: readonly string[];
  /** `type` among the import attributes; empty: none. */
  type: string;
  specifier: string;
  url: string;
  /** As Node answered it: undefined says that it did not. */
  format: string | null | undefined;
}

export interface ClaimedLoad {
  url: string;
  /** Whether `require` loaded it, or `import`. */
  kind: 'require' | 'import';
  /** Empty: Node said none. */
  format: string;
  /** SHA-256 of the source, hex. */
  hash: string;
}

/** Longer texts stand in no package. */
const TEXT_MAX = 8192;

/**
 * Reads a claim, of whose writer nothing is known.
 * @throws Error saying what is wrong with it
 */
export function readClaim(text: string): StartClaim {
  const { node, unfit, resolves = [], loads = [] } = JSON.parse(text) as Record<string, unknown>;
  if (!isText(node)) throw new Error('it names no Node');
  if (isText(unfit)) return { node, unfit, resolves: [], loads: [] };
  return { node, resolves: list(resolves).map(readResolve), loads: list(loads).map(readLoad) };
}

function readResolve(item: unknown): ClaimedResolve {
  const [parent, conditions, type, specifier, url, answered] = list(item);
  const [format] = list(answered);
  const texts = [parent, conditions, type, specifier, url];
  if (!texts.every(isText) || !(format === undefined || format === null || isText(format)))
    throw new Error('a resolution in it is malformed');
  const [from, on, attributes, wanted, target] = texts as string[];
  return {
    parent: from!,
    conditions: on!.split(','),
    type: attributes!,
    specifier: wanted!,
    url: target!,
    format: format as string | null | undefined,
  };
}

function readLoad(item: unknown): ClaimedLoad {
  const [url, kind, format, hash] = list(item);
  if (!isText(url) || (kind !== 'require' && kind !== 'import') || !isText(format) || !isText(hash))
    throw new Error('a module in it is malformed');
  return { url, kind, format, hash };
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error('a list in it is none');
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX;
}
