/** Why bytes are no message that can be passed on. A value, not thrown: readers return it. */
export class Malformed {
  /** What a client is told: 400, 414, 417, 431, 501 or 505 of a request; 502 of an answer. */
  readonly status: number;
  /**
   * What was wrong, and where. Quotes only what cannot be a credential: methods, versions, hosts, and values of fields
   * that frame a message; of other fields it tells the number alone.
   */
  readonly reason: string;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

/** Quotes bytes of a stranger for a message: short, and printable. */
export function excerpt(text: string, most = 40): string {
  const shown = text.length > most ? `${text.slice(0, most)}…` : text;
  return JSON.stringify(shown).replace(/[\x7f-\x9f]/g, (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`);
}
