import type { UpMessage } from '../feed/messages.ts';

/** Lines kept for the next control process, and their length in all. */
const KEPT_LINES = 1000;
const KEPT_CHARS = 256 * 1024;

/**
 * The gateway's log goes where the control process's goes, through the feed: a pipe or terminal inherited from that
 * process might be read by nobody once it is gone. While there is no control process the newest lines are kept.
 */
export class RelayedLog {
  #kept: string[] = [];
  #keptChars = 0;
  #dropped = 0;
  #send: ((message: UpMessage) => void) | undefined;

  write(line: string): void {
    if (this.#send) {
      this.#send({ type: 'log', line });
      return;
    }
    this.#kept.push(line);
    this.#keptChars += line.length;
    while (this.#kept.length > KEPT_LINES || (this.#keptChars > KEPT_CHARS && this.#kept.length > 1)) {
      this.#keptChars -= this.#kept.shift()!.length;
      this.#dropped++;
    }
  }

  /**
   * Lines go there from now on, the kept ones first.
   * @returns ends that, if they do not go elsewhere already
   */
  attach(send: (message: UpMessage) => void): () => void {
    this.#send = send;
    if (this.#dropped > 0)
      send({ type: 'log', line: `${this.#dropped} lines of the gateway's log were not kept\n` });
    for (const line of this.#kept) send({ type: 'log', line });
    this.#kept = [];
    this.#keptChars = 0;
    this.#dropped = 0;
    return () => {
      if (this.#send === send) this.#send = undefined;
    };
  }
}
