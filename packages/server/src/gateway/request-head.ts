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

/** The head of a request on a connection; its fields are taken apart only when somebody asks for all of them. */
export class SentHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly peer: string;
  readonly local: string;
  readonly secure: boolean;
  readonly #wire: WireHead;

  constructor(wire: WireHead, { peer, local, secure }: Ends) {
    this.method = wire.method;
    this.target = wire.target;
    this.peer = peer;
    this.local = local;
    this.secure = secure;
    this.#wire = wire;
  }

  get fields(): readonly string[] {
    return this.#wire.section.fields;
  }
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
