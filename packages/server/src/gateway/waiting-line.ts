/** What can stand in a line; the line keeps its neighbours. */
export interface InLine<T> {
  before: T | undefined;
  after: T | undefined;
}

/** A line that anybody may leave at any time: entering and leaving cost the same however long it is. */
export class WaitingLine<T extends InLine<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Who is next. */
  get first(): T | undefined {
    return this.#first;
  }

  /** Whoever enters is last. */
  enter(one: T): void {
    one.before = this.#last;
    one.after = undefined;
    if (this.#last) this.#last.after = one;
    else this.#first = one;
    this.#last = one;
    this.#length++;
  }

  /** Goes before all others. */
  enterFirst(one: T): void {
    one.before = undefined;
    one.after = this.#first;
    if (this.#first) this.#first.before = one;
    else this.#last = one;
    this.#first = one;
    this.#length++;
  }

  /** Must be in this line. */
  leave(one: T): void {
    if (one.before) one.before.after = one.after;
    else this.#first = one.after;
    if (one.after) one.after.before = one.before;
    else this.#last = one.before;
    one.before = undefined;
    one.after = undefined;
    this.#length--;
  }
}
