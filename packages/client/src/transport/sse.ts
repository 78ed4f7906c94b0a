/** Server-sent events (HTML standard, section 9.2), without reconnecting. */

export interface SseEvent {
  /** `undefined` where the stream names none. */
  event: string | undefined;
  /** Lines of the `data` fields, joined by line feeds. */
  data: string;
}

/** Longest event, in UTF-16 units: a server that never ends one must not fill the memory. */
const MAX_EVENT_LENGTH = 64 * 1024 * 1024;

/**
 * Bytes in, events out; bytes may be cut anywhere. Each piece is scanned once, however long an event is.
 * @throws RangeError for an event longer than 64 Mi characters
 */
export class SseParser {
  // Drops a byte order mark at the beginning, and holds back the bytes of a character that is not complete yet.
  readonly #decoder = new TextDecoder();
  #line = '';
  #skipLineFeed = false;
  #event: string | undefined;
  #data: string[] = [];
  #length = 0;

  push(bytes: Uint8Array): SseEvent[] {
    return this.#feed(this.#decoder.decode(bytes, { stream: true }));
  }

  /**
   * What stands at the end without the blank line that would end it. The standard drops it; servers that leave out the
   * last line feed are common enough to look at it.
   */
  end(): SseEvent[] {
    const events = this.#feed(this.#decoder.decode());
    if (this.#line !== '') this.#field(this.#line);
    this.#line = '';
    this.#dispatch(events);
    return events;
  }

  #feed(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    const ends = /\r\n|\r|\n/g;
    let start = 0;
    // A carriage return that ended the last piece has ended its line: the line feed after it is no second end.
    if (this.#skipLineFeed && text !== '') {
      if (text[0] === '\n') start = 1;
      this.#skipLineFeed = false;
    }
    ends.lastIndex = start;
    for (let match = ends.exec(text); match !== null; match = ends.exec(text)) {
      const line = this.#line + text.slice(start, match.index);
      this.#line = '';
      start = ends.lastIndex;
      if (match[0] === '\r' && start === text.length) this.#skipLineFeed = true;
      if (line === '') this.#dispatch(events);
      else this.#field(line);
    }
    this.#line += text.slice(start);
    if (this.#line.length + this.#length > MAX_EVENT_LENGTH) throw new RangeError('an event is too long');
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (name === 'data') {
      this.#data.push(value);
      this.#length += value.length + 1;
    } else if (name === 'event') {
      this.#event = value;
    }
    // `id` and `retry` matter only for reconnecting; other names are ignored by the standard.
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) {
      events.push({ event: this.#event === '' ? undefined : this.#event, data: this.#data.join('\n') });
    }
    this.#data = [];
    this.#length = 0;
    this.#event = undefined;
  }
}
