import type { RequestHead as WireHead } from '../http/request-head.ts';

/** A request without its body, as plain values: what the steps before forwarding may know of it. */
export interface RequestHead {
  method: string;
  /** The request target, byte for byte. */
  target: string;
  /** Names and values by turns, in the order and spelling of the wire; names may repeat. */
  fields: readonly string[];
  /** Address of the caller's end of the connection. */
  peer: string;
  /** Address of our end of it. */
  local: string;
  /** Whether it came over TLS. */
  secure: boolean;
}

/** The ends of a connection. */
export type Ends = Pick<RequestHead, 'peer' | 'local' | 'secure'>;

export function describeHead(wire: WireHead, { peer, local, secure }: Ends): RequestHead {
  const { method, target, section } = wire;
  // HTTP/1.0 has no Expect (RFC 9110 section 10.1.1), and whoever the request is passed on to would act on it.
  const fields =
    wire.minor === 0 && section.names.includes('expect')
      ? section.fields.filter((_, at) => section.names[at >> 1] !== 'expect')
      : section.fields;
  return { method, target, fields, peer, local, secure };
}

/** Whether a body comes only after "100 Continue". */
export function expectsContinue({ section }: WireHead): boolean {
  return section.expect !== undefined;
}

/** All values of a field, in order. @param name in lower case */
export function fieldValues(fields: readonly string[], name: string): string[] {
  let values: string[] | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at]!;
    if (field.length !== name.length || (field !== name && field.toLowerCase() !== name)) continue;
    if (values) values.push(fields[at + 1]!);
    else values = [fields[at + 1]!];
  }
  return values ?? NO_VALUES;
}

const NO_VALUES: string[] = [];
Object.freeze(NO_VALUES);
