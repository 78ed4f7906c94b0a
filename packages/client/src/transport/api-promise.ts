import { ValueError } from '../errors.ts';

/** What a call gives together with the answer it came in. */
export interface WithResponse<T> {
  data: T;
  /** Its body is read already, but for a stream's, which belongs to `data`. */
  response: Response;
  /** The platform's id of the request, under which it is logged. */
  requestId: string | undefined;
}

/** What is to be made of the answer: read and understood, or handed over with its body unread. */
export type Wanted = 'data' | 'response';

export type Answered<T> = Omit<WithResponse<T>, 'data'> & { data?: T };

/** A call that is ready to be made. */
export type Run<T> = (wanted: Wanted) => Promise<Answered<T>>;

/**
 * The promise of one call. Awaited, it is what the call gives; `withResponse()` also gives the HTTP answer,
 * `asResponse()` only that, with its body unread.
 *
 * The request is sent in any case, right after the statement that made the call. A failure nobody waits for is reported
 * once, as that of any promise.
 */
export class ApiPromise<T> extends Promise<T> {
  // What `then` gives is a promise like any other: there is no answer of its own behind it.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  readonly #answered: Promise<Answered<T>>;
  #wanted: Wanted = 'data';
  #begun = false;

  /** @param run sends; called once */
  constructor(run: Run<T>) {
    let settle: [resolve: (data: T) => void, reject: (reason: unknown) => void] | undefined;
    super((...functions) => {
      settle = functions;
    });
    const [resolve, reject] = settle!;
    // In the next microtask, when `asResponse()` has had its chance.
    this.#answered = Promise.resolve().then(() => {
      this.#begun = true;
      return run(this.#wanted);
    });
    this.#answered.then((answered) => {
      if (this.#wanted === 'data') resolve(answered.data as T);
      else reject(new ValueError('the answer was taken by asResponse(): its data cannot be awaited as well'));
    }, reject);
  }

  /**
   * The answer as fetch gives it, once it has begun with success; its body is unread and the caller's to read or cancel.
   * To be called at once, on what the method gives.
   */
  asResponse(): Promise<Response> {
    if (this.#begun && this.#wanted === 'data') {
      const late =
        'asResponse() comes too late: call it on what the method gives, before anything is awaited';
      return Promise.reject(new ValueError(late));
    }
    this.#wanted = 'response';
    this.#disown();
    return this.#answered.then(({ response }) => response);
  }

  withResponse(): Promise<WithResponse<T>> {
    this.#disown();
    return Promise.all([this, this.#answered]).then(([data, { response, requestId }]) => ({
      data,
      response,
      requestId,
    }));
  }

  /** The caller holds another promise now, which is the one that reports a failure. */
  #disown(): void {
    this.then(undefined, () => {});
  }
}
