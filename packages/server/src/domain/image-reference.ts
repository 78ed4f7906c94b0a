/** An image's name, taken apart. */
export interface ImageReference {
  /** `registry.example:5000`; undefined where the engine has to know which is meant. */
  registry: string | undefined;
  /** Without tag and digest, as given: `registry.example:5000/team/agent`. */
  name: string;
  /** The part of the name after the registry: `team/agent`. */
  path: string;
  tag: string | undefined;
  /** `sha256:…` */
  digest: string | undefined;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const SEGMENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;

/**
 * Reads `[registry/]path[:tag][@sha256:…]`. The first part is a registry when it has a dot, a port, or is `localhost`:
 * so do engines tell it from a folder.
 * @returns undefined when it is not the name of an image
 */
export function parseImageReference(text: string): ImageReference | undefined {
  const [named = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return undefined;
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  if (tag !== undefined && !TAG.test(tag)) return undefined;
  const segments = name.split('/');
  const first = segments[0]!;
  const hasRegistry = segments.length > 1 && (/[.:]/.test(first) || first === 'localhost');
  const path = hasRegistry ? segments.slice(1) : segments;
  if ((hasRegistry && !REGISTRY.test(first)) || !path.every((it) => SEGMENT.test(it))) return undefined;
  return { registry: hasRegistry ? first : undefined, name, path: path.join('/'), tag, digest };
}

/**
 * Images that are built on the machine and are in no registry bear this name, as Podman gives it to them. They are
 * never asked for anywhere: what another has left in the engine under a registry's name is not for everybody to run.
 */
export function isLocalImage({ registry }: ImageReference): boolean {
  return registry === 'localhost';
}

/** By which it is the same for ever, whatever becomes of the tag. */
export function pinned({ name }: ImageReference, digest: string): string {
  return `${name}@${digest}`;
}
