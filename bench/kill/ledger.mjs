/** What was found, and how much was done. */
export class Ledger {
  /**
   * `lost`: an acknowledged write is not there. `untrue`: an answer that does not hold. `cut`: a call without an answer,
   * although nobody killed the gateway.
   */
  findings = { lost: [], untrue: [], cut: [], orphans: [], notFinal: [] };
  counts = new Map();
  #say;

  constructor(say) {
    this.#say = say;
  }

  add(kind, text) {
    // Told once: a thing that stays wrong would be found again after every kill.
    if (this.findings[kind].includes(text)) return;
    this.findings[kind].push(text);
    this.#say(`  ${kind}: ${text}`);
  }

  count(what, by = 1) {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }
}
