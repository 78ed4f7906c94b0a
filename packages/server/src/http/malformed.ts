/** Why bytes are no message that can be passed on. A value, not thrown: readers return it. */
export class Malformed {
  /** What a client is told: 400, 413, 417, 431, 501 or 505. */
  readonly status: number;
  /** One sentence that names the place and what was seen. */
  readonly reason: string;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

/** Quotes bytes of a stranger for a message: short, and printable. */
export function excerpt(text: string, most = 60): string {
  const shown = text.length > most ? `${text.slice(0, most)}…` : text;
  return JSON.stringify(shown);
}
