import { RunsteadError } from '@runstead/contract';
import { ANSWERS_KEPT_MS, type AnswerToKeep } from '../store/store.ts';
import type { Call } from './call.ts';
import { shortened } from './parse.ts';

/** On answers that were given before. */
export const REPLAY_HEADER = 'x-runstead-idempotent-replay';

/** 1 to 255 visible ASCII characters. */
const KEY = /^[\x21-\x7e]{1,255}$/;

/**
 * The key under which a caller may send the same request again (`Idempotency-Key`).
 * @returns undefined when none was sent
 * @throws RunsteadError ERR_BAD_REQUEST when it has no form of a key
 */
export function idempotencyKey({ request }: Pick<Call, 'request'>): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && KEY.test(key)) return key;
  throw new RunsteadError(
    'ERR_BAD_REQUEST',
    `Idempotency-Key must be sent once and have 1 to 255 visible ASCII characters without spaces (got ${shortened(JSON.stringify(key))})`,
  );
}

/** What the store needs to keep an answer with what it creates; undefined when the caller sent no key. */
export type Keep<T> = <R>(data: (created: R) => T) => AnswerToKeep<R> | undefined;

/**
 * Does work that creates something, once for each key: a request sent again, while the first is under way or within 24
 * hours, gets the first one's data. Only success is kept, in the transaction that creates: what failed changed nothing,
 * and may be mended and sent under the same key.
 * @param sha256 of the body as received; two requests are the same when it is. Default: that of a body in memory
 * @throws RunsteadError ERR_BAD_REQUEST, ERR_IDEMPOTENCY_CONFLICT, and what the work throws
 */
export async function once<T>(call: Call, work: (keep: Keep<T>) => Promise<T>, sha256?: string): Promise<T> {
  const key = idempotencyKey(call);
  if (key === undefined) return work(() => undefined);
  const { method, url } = call.request;
  const scope = `${call.principal.keyId} ${method} ${url.split('?', 1)[0]}`;
  const bodySha256 = sha256 ?? (await call.body()).sha256;
  return call.inTurn(`${scope} ${key}`, async () => {
    const now = Date.now();
    const kept = await call.deps.store.keptAnswer(scope, key, new Date(now - ANSWERS_KEPT_MS).toISOString());
    if (kept !== undefined) {
      if (kept.bodySha256 !== bodySha256) {
        throw new RunsteadError(
          'ERR_IDEMPOTENCY_CONFLICT',
          'Idempotency-Key was used with another body within the last 24 hours; send that body again, or another key',
        );
      }
      call.setHeader(REPLAY_HEADER, 'true');
      return kept.data as T;
    }
    // What was kept is what is answered, to the letter.
    let answer: T | undefined;
    const result = await work((data) => ({
      scope,
      key,
      bodySha256,
      at: new Date(now).toISOString(),
      data: (created) => {
        answer = data(created);
        return answer;
      },
    }));
    return answer ?? result;
  });
}
