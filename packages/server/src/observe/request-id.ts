import { randomUUID } from 'node:crypto';

/** The field that carries a call's id on every answer; the gateway makes it, the control process repeats it. */
export const REQUEST_ID_HEADER = 'x-acs-request-id';

export function newRequestId(): string {
  return randomUUID();
}
